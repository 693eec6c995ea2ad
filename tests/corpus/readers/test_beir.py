"""BEIR folders as a source of chunks and of judged questions."""

import json

import pytest
from readings import read_from

from triptych.corpus.readers.beir import read_beir, read_beir_queries
from triptych.errors import UserError

HEADER = "query-id\tcorpus-id\tscore\n"


def corpus(tmp_path, *records):
    lines = [one if isinstance(one, str) else json.dumps(one) for one in records]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def judged(tmp_path, queries='{"_id": "q1", "text": "how to sort"}\n', **qrels):
    (tmp_path / "qrels").mkdir()
    (tmp_path / "queries.jsonl").write_text(queries, encoding="utf-8")
    for name, table in qrels.items():
        (tmp_path / "qrels" / f"{name}.tsv").write_text(table, encoding="utf-8")
    return tmp_path


def test_record_becomes_a_chunk_under_its_title(tmp_path):
    folder = corpus(tmp_path, {"_id": 3, "title": "Sorting", "text": "Call sort."})
    (chunk,) = read_from(read_beir, folder, "api").chunks
    assert (chunk.chunk_id, chunk.category, chunk.content) == ("3", "api", "Call sort.")
    assert (chunk.header_path, chunk.title, chunk.source) == (("Sorting",), "Sorting", "corpus.jsonl:1")


def test_metadata_provides_the_fields_that_beir_does_not_have(tmp_path):
    metadata = {
        "category": "guide",
        "header_path": ["Lists", "Sorting"],
        "filename": "lists.md",
        "lang": "en",
    }
    record = {"_id": "a", "title": "Sorting", "text": "Call sort.", "metadata": metadata}
    (chunk,) = read_from(read_beir, corpus(tmp_path, record), None).chunks
    assert (chunk.category, chunk.header_path, chunk.filename) == ("guide", ("Lists", "Sorting"), "lists.md")


def test_record_without_a_file_is_a_document_of_its_own(tmp_path):
    records = [{"_id": name, "text": f"Text {name}."} for name in ("a", "b")]
    assert [one.filename for one in read_from(read_beir, corpus(tmp_path, *records), "api").chunks] == ["a", "b"]


def test_empty_title_gives_an_empty_header_path(tmp_path):
    (chunk,) = read_from(read_beir, corpus(tmp_path, {"_id": "a", "title": "", "text": "Call sort."}), "api").chunks
    assert (chunk.header_path, chunk.title) == ((), "")


def test_bad_records_are_rejected_with_their_line(tmp_path):
    folder = corpus(tmp_path, {"_id": "a", "text": ""}, "{broken", {"_id": "b", "text": "Call sort."})
    reading = read_from(read_beir, folder, "api")
    assert [one[:2] for one in reading.reasons()] == [
        ("corpus.jsonl:1", "empty content"),
        ("corpus.jsonl:2", "invalid JSON"),
    ]
    assert [one.chunk_id for one in reading.chunks] == ["b"]


def test_record_without_category_is_rejected(tmp_path):
    assert read_from(read_beir, corpus(tmp_path, {"_id": "a", "text": "x"}), None).rejected[0].reason == "no category"


@pytest.mark.parametrize(
    ("record", "field"), [({"_id": "a", "body": "x"}, "'text'"), ({"id": "a", "text": "x"}, "'_id'")]
)
def test_corpus_without_a_needed_field_is_refused(tmp_path, record, field):
    with pytest.raises(UserError, match=rf"corpus\.jsonl: no record has the field {field}"):
        read_from(read_beir, corpus(tmp_path, record), "api")


def test_missing_corpus_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"corpus\.jsonl"):
        read_from(read_beir, tmp_path, "api")


def test_queries_and_judgments_are_read_by_name(tmp_path):
    table = HEADER + "q1\tc1\t2\nq1\tc2\t0\n\n7\tc1\t1\n"
    queries = '{"_id": "q1", "text": " how to sort "}\n{"_id": 7, "text": "join"}\n'
    texts, qrels = read_beir_queries(judged(tmp_path, queries, test=table, dev=HEADER))
    assert texts == {"q1": "how to sort", "7": "join"}
    assert qrels == {"dev": {}, "test": {"q1": {"c1": 2, "c2": 0}, "7": {"c1": 1}}}


def test_columns_are_found_by_name_and_quotes_are_letters(tmp_path):
    table = 'score\tcorpus-id\tquery-id\r\n1\t"c1\tq1\r\n'
    assert read_beir_queries(judged(tmp_path, test=table))[1] == {"test": {"q1": {'"c1': 1}}}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (HEADER + "q1\tc1\t1\nq1\tc2\thigh\n", ["test.tsv:3", "score", "'high'"]),
        (HEADER + "q1\tc1\t1.5\n", ["test.tsv:2", "'1.5'"]),
        ("q1\tc1\t1\n", ["test.tsv:1", "query-id", "tabs"]),
        ("query-id\tcorpus-id\nq1\tc1\n", ["test.tsv:1", "no column score"]),
        ("", ["test.tsv:1", "found nothing"]),
        (HEADER + "q1 c1 1\n", ["test.tsv:2", "expected 3 columns"]),
        (HEADER + "\tc1\t1\n", ["test.tsv:2", "empty"]),
        (HEADER + "q1\tc1\t1\nq1\tc1\t2\n", ["test.tsv:3", "different"]),
    ],
)
def test_bad_judgments_are_refused_with_file_and_line(tmp_path, table, words):
    with pytest.raises(UserError) as error:
        read_beir_queries(judged(tmp_path, test=table))
    assert [word for word in words if word not in str(error.value)] == []


@pytest.mark.parametrize(
    ("queries", "words"),
    [
        ('{"_id": "q1", "text": "a"}\n{"_id": "q2", "text": ""}', ["queries.jsonl:2", "text"]),
        ('{"_id": "q1", "text": "a"}\n{"text": "b"}', ["queries.jsonl:2", "_id"]),
        ('{"_id": "q1", "text": "a"}\n{"_id": "q1", "text": "b"}', ["queries.jsonl:2", "'q1'", "different"]),
        ('{"_id": "q1", "text": "a"}\n{', ["queries.jsonl:2", "invalid JSON"]),
        ('{"_id": "q1", "query": "a"}', ["queries.jsonl:1", "text", "_id, query"]),
        ("", ["queries.jsonl contains no records"]),
    ],
)
def test_bad_queries_are_refused_with_file_and_line(tmp_path, queries, words):
    with pytest.raises(UserError) as error:
        read_beir_queries(judged(tmp_path, queries, test=HEADER))
    assert [word for word in words if word not in str(error.value)] == []


def test_folder_without_judgments_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"qrels: no \.tsv file"):
        read_beir_queries(judged(tmp_path))


def test_missing_queries_are_refused(tmp_path):
    (judged(tmp_path, test=HEADER) / "queries.jsonl").unlink()
    with pytest.raises(UserError, match=r"queries\.jsonl"):
        read_beir_queries(tmp_path)

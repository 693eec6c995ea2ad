"""Corpora and judged questions that a user brings for an evaluation."""

import json

import pytest

from triptych.corpus.readers.judged_questions import read_corpus, read_questions
from triptych.corpus.records import Chunk, write_chunks
from triptych.errors import UserError

HEADER = "query-id\tcorpus-id\tscore\n"
CHUNKS = [Chunk(name, category, "a.md", (), "", name, "x") for name, category in (("c1", "lists"), ("c2", "tables"))]


@pytest.fixture
def questions(tmp_path):
    """Write queries and qrels and read them."""

    def call(qrels, *queries):
        lines = queries or ({"_id": "q1", "text": "how to sort"}, {"_id": "q2", "text": "how to join"})
        (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
        (tmp_path / "qrels.tsv").write_text(HEADER + qrels, encoding="utf-8")
        return read_questions(tmp_path / "queries.jsonl", tmp_path / "qrels.tsv", CHUNKS)

    return call


def test_questions_take_the_category_of_their_best_answer_and_those_without_judgments_are_counted(questions):
    (query,), qrels, left_out = questions("q1\tc1\t1\nq1\tc2\t2\n")
    assert (query.query_id, query.text, query.category, query.kind, query.exclude) == (
        "q1",
        "how to sort",
        "tables",
        "user",
        (),
    )
    assert qrels == {"q1": {"c1": 1, "c2": 2}}
    assert left_out == 1


def test_kind_and_excluded_chunks_are_read_from_the_metadata(questions):
    metadata = {"kind": "crossref", "category": "lists", "exclude": ["c2"]}
    (query,), _, _ = questions("q1\tc1\t1\n", {"_id": "q1", "text": "how to sort", "metadata": metadata})
    assert (query.kind, query.exclude) == ("crossref", ("c2",))


def test_other_metadata_is_ignored(questions):
    (query,), _, _ = questions("q1\tc1\t1\n", {"_id": "q1", "text": "how to sort", "metadata": {"url": "x"}})
    assert query.kind == "user"


@pytest.mark.parametrize(
    ("qrels", "message"),
    [
        (
            "q1\tc1\t1\nq1\tc9\t0\nq2\tc8\t1\n",
            r"2 values of corpus-id \(c8, c9\) are not chunks.*look like c1",
        ),
        ("q7\tc1\t1\n", r"1 values of query-id \(q7\) are not in .*queries.jsonl"),
        ("q1\tc1\t0\n", r"1 values of query-id \(q1\) have no answer of score 1"),
        ("", "contains no judgments"),
    ],
)
def test_unusable_qrels_are_refused_by_name(questions, qrels, message):
    with pytest.raises(UserError, match=message):
        questions(qrels)


@pytest.mark.parametrize("metadata", [{"exclude": "c2"}, {"kind": 3}])
def test_metadata_of_the_wrong_type_is_refused(questions, metadata):
    with pytest.raises(UserError, match="'q1': metadata: expected"):
        questions("q1\tc1\t1\n", {"_id": "q1", "text": "how to sort", "metadata": metadata})


def test_chunks_of_a_stage_are_read(tmp_path):
    write_chunks(tmp_path / "chunks.parquet", CHUNKS)
    assert read_corpus(tmp_path) == (CHUNKS, {})


@pytest.mark.parametrize(("metadata", "category"), [({}, "docs"), ({"metadata": {"category": "guide"}}, "guide")])
def test_a_beir_corpus_is_read_and_what_is_left_out_is_counted(tmp_path, metadata, category):
    folder = tmp_path / "docs"
    folder.mkdir()
    records = [{"_id": "a", "title": "Sorting", "text": "Call sort."}, {"_id": "b", "text": ""}]
    lines = [json.dumps(record | metadata) for record in records]
    (folder / "corpus.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (chunk,), left_out = read_corpus(folder)
    assert (chunk.chunk_id, chunk.category, chunk.content) == ("a", category, "Call sort.")
    assert sum(left_out.values()) == 1


def test_folder_without_a_corpus_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"neither chunks\.parquet nor corpus\.jsonl"):
        read_corpus(tmp_path)
    (tmp_path / "corpus.jsonl").write_text('{"_id": "a", "text": "x"}\n{"_id": "a", "text": "y"}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"1 ids belong to several chunks \(a\)"):
        read_corpus(tmp_path)

"""The benchmark of written questions runs on a tiny model."""

import json

import pytest

from benchmarks import written_questions
from triptych.artifacts import write_jsonl
from triptych.corpus.records import read_chunks
from triptych.errors import UserError
from triptych.retrieval import question_scores


@pytest.fixture
def asked(prepared, tmp_path, monkeypatch):
    """Run on the prepared corpus with a question for each chunk, and queries equal to some of these."""
    monkeypatch.chdir(prepared)
    for name, value in {"FIRST": (16, 32), "LENGTH": 32, "FEWEST": 2, "CACHE": tmp_path / "vectors"}.items():
        monkeypatch.setattr(written_questions, name, value)
    chunks = read_chunks(prepared / "data/corpus/chunks.parquet")
    forms = [lambda text: text, lambda text: {"text": text, "form": "task"}]
    rows = [(chunk.chunk_id, forms[row % 2](f"zq{row} zr{row}")) for row, chunk in enumerate(chunks)]
    write_jsonl(tmp_path / "journal.jsonl", ({"chunk_id": one, "questions": [question]} for one, question in rows))

    def run(gold):
        queries = [{"query": f"zq{row} zr{row}", "gold": [gold(chunks[row])]} for row in (0, 3)]
        write_jsonl(tmp_path / "users.jsonl", queries)
        files = ["--questions", str(tmp_path / "journal.jsonl"), "--asked", str(tmp_path / "users.jsonl")]
        written_questions.main(["data/corpus", *files])

    return run


@pytest.mark.parametrize("page", ["chunk_id", "filename"])
def test_questions_lead_queries_with_their_words_to_their_chunks(asked, capsys, page):
    asked(lambda chunk: getattr(chunk, page))
    lines = capsys.readouterr().out.splitlines()
    record = json.loads(lines[-1])
    assert record["questions"] == record["chunks_with_questions"] == record["chunks"]
    systems = record["systems"]
    assert systems["hybrid, windows and questions"]["users.jsonl"] == 1.0
    assert systems["BM25"]["users.jsonl"] < 1.0
    assert systems["BM25"].keys() == {"crossref", "users.jsonl"}
    assert sum(line.startswith("| users.jsonl (2) | ") for line in lines) == 1
    assert record["weights"]["0.8"]["0.7"] == pytest.approx(
        sum(systems["hybrid, windows and questions"].values()) / len(systems["BM25"])
    )
    assert question_scores.WEIGHT == 0.8


def test_a_page_that_the_corpus_lacks_is_an_error(asked):
    with pytest.raises(UserError, match=r"users\.jsonl:1: the corpus has no page gone\.md"):
        asked(lambda chunk: "gone.md")

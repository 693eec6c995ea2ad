"""``triptych label`` as a person types it, and stage split on the labels it writes."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner
from verdicts import make_verdicts

from stages import split
from triptych import Searcher
from triptych.cli import app
from triptych.corpus.readers.judged_questions import answered_chunks
from triptych.corpus.records import read_chunks, read_qrels, read_queries
from triptych.evaluation.chosen_on_dev import FusionChoice
from triptych.evaluators.own_questions import PRIOR, SearchSettings, deployed_search


@pytest.fixture
def project(prepared, tmp_path, monkeypatch):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def typed(*lines, **more):
    arguments = [part for name, value in more.items() for part in (f"--{name}", value)]
    return CliRunner().invoke(app, ["label", "asked", *arguments], input="".join(f"{line}\n" for line in lines))


def labels():
    return [json.loads(line) for line in Path("asked/labels.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_session_is_stopped_and_resumed_and_split_reads_what_was_written(project):
    first = typed("how do I pass over nothing", "", "", "what is the second question", "1 2", "q")
    assert first.exit_code == 0, first.output
    assert "These are the current search's hits; your chunk is" in first.output
    assert "label: 2 chunks with a question, 1 skipped; asked" in first.output
    second = typed("how do I go on")  # the input ends before the second prompt is answered
    assert second.exit_code == 0, second.output
    assert len(labels()) == 3
    third = typed("how do I go on", "", "q")
    assert third.exit_code == 0
    found = labels()
    assert [bool(one["question"]) for one in found] == [True, False, True, True]
    assert len({one["chunk_id"] for one in found}) == 4
    assert len(found[2]["relevant"]) in (2, 3)

    chunks = {chunk.chunk_id: chunk for chunk in read_chunks(project / "data/corpus/chunks.parquet")}
    asked = [one for one in found if one["question"]]
    assert {chunks[one["chunk_id"]].category for one in asked} == {"fft", "ma"}
    assert not {one["chunk_id"] for one in found} & answered_chunks(project / "data/corpus")
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    params["split"]["queries"] = "asked"
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    split.main(["--chunks", "data/chunks", "--corpus", "data/again", "--metrics", "metrics/split.json"])
    queries = read_queries(project / "data/again")
    own = {query.text: query.query_id for query in queries.values() if query.kind == "user"}
    assert own.keys() == {one["question"] for one in asked}
    for one in asked:  # each question stays in the split of its chunk, with all its answers
        judged = read_qrels(project / "data/again/qrels" / f"{one['split']}.tsv")
        assert judged[own[one["question"]]].keys() == set(one["relevant"])


def test_numbers_out_of_range_are_asked_for_again(project):
    found = typed("how do I count", "99", "one", "0", "1,2", "q")
    assert found.exit_code == 0
    assert found.output.count("Numbers from 1 to 10, please") == 3
    assert len(labels()) == 1


def test_a_chunk_that_search_finds_is_marked_with_its_rank_and_search_follows_the_verdict(
    indexed, tmp_path, monkeypatch
):
    shutil.copytree(indexed, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    bm25_alone = make_verdicts(fusion=FusionChoice("rrf", 0.0))
    bm25_alone.write(Path("metrics/verdict.json"))
    shown = [line for line in typed("", "q").stdout.splitlines() if " · " in line]
    name = shown[1].split(" · ")[1]  # a function's
    found = typed(name, "", "q").output
    assert "→  1 " in found
    assert "your chunk is at rank 1." in found


def test_before_the_split_chunks_of_ingest_are_labeled(project):
    assert typed("how do I begin", "", "q", corpus="data/chunks").exit_code == 0
    assert [path.name for path in Path("asked/qrels").iterdir()] == ["questions.tsv"]


def test_labeling_needs_no_stage_but_split(project, monkeypatch):
    """The metrics of an earlier run, such as those in the repository, may say that written questions are searched."""
    settings = SearchSettings(dict.fromkeys(("base", "tuned"), PRIOR), windows=True, questions=True)
    monkeypatch.setattr("triptych.evaluators.own_questions.read_search_settings", lambda metrics: settings)
    shutil.rmtree(project / "data/questions")
    assert typed("how do I begin", "", "q").exit_code == 0
    assert len(labels()) == 1


def test_nothing_is_written_where_nothing_was_answered(project):
    found = typed("q")
    assert found.exit_code == 0
    assert "label: 0 chunks with a question, 0 skipped" in found.output
    assert not Path("asked").exists()


def test_a_missing_corpus_is_one_message(project):
    found = typed(corpus="data/none")
    assert found.exit_code == 1
    assert found.stderr.startswith("error: data/none ")


def test_search_is_that_of_users_with_late_interaction(indexed, tmp_path, monkeypatch):
    shutil.copytree(indexed, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    make_verdicts(late=(50, 1.0)).write(Path("metrics/verdict.json"))
    chunks = read_chunks(tmp_path / "data/corpus/chunks.parquet")
    expected = [hit.chunk.chunk_id for hit in Searcher().search("mask an array", 10)]
    assert deployed_search(Searcher(), chunks, 10)("mask an array") == expected
    assert "late" in Searcher().search("mask an array", 10)[0].scores
    known = [chunk for chunk in chunks if chunk.chunk_id != expected[0]]
    assert deployed_search(Searcher(), known, 10)("mask an array") == expected[1:]
    found = typed("mask an array", "", "q")
    assert f"  1 {name_of(chunks, expected[0])}: " in found.output


def name_of(chunks, chunk_id):
    (chunk,) = (one for one in chunks if one.chunk_id == chunk_id)
    return " > ".join(chunk.header_path)

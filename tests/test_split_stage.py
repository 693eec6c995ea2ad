"""Stage split on a user's corpus: the splits, the printed lines, and the errors."""

import json
from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages import command, split
from triptych.corpus.records import Chunk, Link, read_chunks, read_qrels, read_queries, write_chunks, write_links

PATHS = ["--chunks", "data/chunks", "--corpus", "data/corpus", "--metrics", "metrics/split.json"]
WORDS = [a + b + c for a in "bdgkmnprst" for b in "aeiou" for c in "lnrsx"]


def chunk(row, category="lists", **changes):
    words = Random(row).sample(WORDS, 30)
    content = f"{' '.join(words[:15]).capitalize()}. {' '.join(words[15:]).capitalize()}."
    title = f"{words[0]} {words[1]} {row}"
    one = Chunk(f"{category}{row:03}", category, f"{category}{row // 2}.md", (title,), title, content, f"x:{row}")
    return replace(one, **changes)


def two_categories(number=120):
    return [chunk(row, ("lists", "tables")[row // 2 % 2]) for row in range(number)]


def links_to(chunks):
    """Return a link to each chunk from the one after it, with its own words."""
    pairs = zip([*chunks[1:], chunks[0]], chunks, strict=True)
    return [Link(one.chunk_id, other.chunk_id, f"what {other.chunk_id} is about", "") for one, other in pairs]


@pytest.fixture
def run_split(tmp_path, monkeypatch, write_params, capsys):
    """Run the stage on chunks, links and questions; return its metrics and its printed lines."""
    monkeypatch.chdir(tmp_path)

    def call(chunks, links=(), questions=None, **changes):
        write_chunks(tmp_path / "data/chunks/chunks.parquet", list(chunks))
        write_links(tmp_path / "data/chunks/links.parquet", list(links))
        if questions is not None:
            changes["queries"] = "questions"
            (tmp_path / "questions/qrels").mkdir(parents=True, exist_ok=True)
            lines = [json.dumps({"_id": str(row), "text": text}) for row, (text, _) in enumerate(questions)]
            (tmp_path / "questions/queries.jsonl").write_text("\n".join(lines), encoding="utf-8")
            rows = ["query-id\tcorpus-id\tscore", *(f"{row}\t{one}\t1" for row, (_, one) in enumerate(questions))]
            (tmp_path / "questions/qrels/all.tsv").write_text("\n".join(rows), encoding="utf-8")
        settings = {"min_queries": 1, "group_titles": False} | changes
        write_params(tmp_path, **{f"split.{key}": value for key, value in settings.items()})
        command.run(lambda: split.main(PATHS))
        metrics = json.loads((tmp_path / "metrics/split.json").read_text(encoding="utf-8"))
        return metrics, capsys.readouterr().out.splitlines()

    return call


@pytest.fixture
def refused(run_split, capsys, tmp_path):
    """Run the stage; return standard error after it exited with 1 and wrote nothing."""

    def call(*arguments, **changes):
        with pytest.raises(SystemExit) as stopped:
            run_split(*arguments, **changes)
        assert stopped.value.code == 1
        assert not (tmp_path / "data/corpus").exists()
        assert not (tmp_path / "metrics").exists()
        output = capsys.readouterr().err
        assert output.startswith("error: ")
        return output

    return call


def written(folder):
    """Return the split of each chunk, the qrels and the queries."""
    corpus = folder / "data/corpus"
    splits = {one.chunk_id: one.split for one in read_chunks(corpus / "chunks.parquet")}
    judged = {name: read_qrels(corpus / "qrels" / f"{name}.tsv") for name in ("train", "dev", "test")}
    return splits, judged, read_queries(corpus)


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False), st.sampled_from(["links", "questions", "nothing"]))
def test_order_of_the_rows_does_not_matter(run_split, tmp_path, random, source):
    chunks = two_categories(60)
    chunks += [replace(one, chunk_id=f"copy-{one.chunk_id}", filename="copies.md") for one in chunks[:3]]
    links = links_to(chunks[:60]) if source == "links" else []
    questions = [(f"how about {one.chunk_id}", one.chunk_id) for one in chunks] if source == "questions" else None
    metrics, _ = run_split(chunks, links, questions)
    before = written(tmp_path)
    again, _ = run_split(random.sample(chunks, len(chunks)), links, questions)
    assert written(tmp_path) == before
    assert again == metrics


def test_questions_come_before_links_and_pseudo_queries_only_where_there_is_neither(run_split, tmp_path):
    chunks = two_categories()
    questions = [(f"how about {one.chunk_id}", one.chunk_id) for one in chunks]
    for links, with_questions, kinds in (
        (links_to(chunks), questions, ["user", "crossref"]),
        ([], questions, ["user"]),
        (links_to(chunks), None, ["crossref"]),
        ([], None, ["pseudo"]),
    ):
        metrics, _ = run_split(chunks, links, with_questions)
        assert list(dict.fromkeys(query.kind for query in written(tmp_path)[2].values())) == kinds
        assert set(metrics["kinds"]["test"]) == set(kinds)


def test_links_that_are_all_dropped_leave_pseudo_queries_and_are_counted(run_split):
    chunks = two_categories()
    links = [replace(one, text="see") for one in links_to(chunks)]
    metrics, output = run_split(chunks, links)
    assert metrics["queries_dropped"]["too_short"] == len(links)
    assert set(metrics["kinds"]["test"]) == {"pseudo"}
    assert any("pseudo-queries are used instead, which prove nothing" in line for line in output)


def test_few_queries_give_a_warning(run_split):
    chunks = two_categories()
    questions = [(f"how about {one.chunk_id}", one.chunk_id) for one in chunks]
    metrics, output = run_split(chunks, questions=questions, min_queries=5, warn_queries=10)
    few = [line for line in output if line.startswith("warning: category 'lists' has 6 dev queries, fewer than 10")]
    assert (len(few), len(metrics["warnings"])) == (1, 2)
    assert run_split(chunks, questions=questions, min_queries=5, warn_queries=6)[0]["warnings"] == []


def test_too_few_queries_are_refused(refused):
    chunks = two_categories()
    output = refused(chunks, questions=[(f"how about {one.chunk_id}", one.chunk_id) for one in chunks], min_queries=7)
    assert "category 'lists' has 6 dev queries, fewer than 7" in output
    assert "category 'tables' has 6 dev queries, fewer than 7" in output
    assert "test queries" not in output
    assert "add questions (split.queries)" in output


def test_near_duplicates_across_categories_are_reported(run_split, tmp_path):
    chunks = two_categories()
    chunks.append(replace(chunks[0], chunk_id="copy", category="tables", filename="copy.md"))
    metrics, output = run_split(chunks, links_to(chunks))
    assert metrics["near_duplicates"]["across_categories"]["categories"] == [
        {"clusters": 1, "names": ["lists", "tables"]}
    ]
    assert "1 near-duplicate clusters across categories" in output[-1]
    splits = written(tmp_path)[0]
    assert splits["copy"] == splits[chunks[0].chunk_id]


def test_chunks_that_are_all_near_duplicates_are_refused_with_the_remedy(refused):
    chunks = [replace(one, content=chunk(0).content) for one in two_categories()]
    output = refused(chunks, links_to(chunks))
    assert "the largest document contains 100% of the chunks, 100% are near-duplicates of each other" in output
    assert "raise split.near_duplicates.threshold" in output


def test_single_document_is_refused_with_the_remedy(refused):
    chunks = [replace(one, filename="export.json", category="lists") for one in two_categories()]
    output = refused(chunks, links_to(chunks))
    assert "the largest document contains 100% of the chunks: give each page its own filename" in output


def test_equal_titles_of_all_chunks_are_refused_with_the_remedy(refused):
    chunks = [replace(one, title="Overview") for one in two_categories()]
    assert "set split.group_titles: false" in refused(chunks, links_to(chunks), group_titles=True)


@pytest.mark.parametrize("source", ["links", "nothing"])
def test_a_category_of_one_chunk_is_refused_by_name(refused, source):
    chunks = [*two_categories(), chunk(900, "faq")]
    output = refused(chunks, links_to(chunks) if source == "links" else [])
    assert "category 'faq'" in output
    assert "category 'lists'" not in output


def test_questions_about_unknown_chunks_alone_are_refused_with_an_id_that_is_known(refused):
    chunks = two_categories()
    output = refused(chunks, links_to(chunks), questions=[("how about it", "gone"), ("and this", "gone too")])
    assert "no question of questions has an answer among the chunks (2 nothing_relevant, 2 unknown_chunk)" in output
    assert f"must be ids of chunks, such as {chunks[0].chunk_id}" in output


def test_dropped_questions_are_reported(run_split):
    chunks = two_categories()
    questions = [*((f"how about {one.chunk_id}", one.chunk_id) for one in chunks), ("how about it", "gone")]
    _, output = run_split(chunks, questions=questions)
    assert "warning: split.queries: left out 1 of unknown_chunk" in output


def test_links_to_unknown_chunks_are_counted(run_split):
    chunks = two_categories()
    links = [*links_to(chunks), Link("gone", chunks[0].chunk_id, "what is gone from here", "")]
    metrics, _ = run_split(chunks, links)
    assert metrics["queries_dropped"]["unknown_chunk"] == 1


def test_the_closest_train_query_of_each_test_query_is_reported(run_split, tmp_path):
    chunks = two_categories()
    metrics, _ = run_split(chunks, links_to(chunks))
    near = metrics["nearest_train_query"]
    _, judged, queries = written(tmp_path)
    assert (near["test_queries"], near["train_queries"]) == (len(judged["test"]), len(judged["train"]))
    assert 0 < near["p50"] <= near["max"] < 1
    for pair in near["closest"]:
        ((test, text),) = pair["test"].items()
        assert test in judged["test"]
        assert queries[test].text == text
        assert set(pair["train"]) <= set(judged["train"])


def test_each_cluster_has_one_representative_on_disk(run_split, tmp_path):
    from triptych.artifacts import read_table

    chunks = two_categories()
    chunks.append(replace(chunks[0], chunk_id="a-copy", content=chunks[0].content.upper()))
    run_split(chunks, links_to(chunks))
    rows = read_table(tmp_path / "data/corpus/near_duplicates.parquet").to_pylist()
    assert [(row["chunk_id"], row["representative"]) for row in rows] == [("a-copy", True), ("lists000", False)]


def test_missing_chunks_are_named_with_the_stage_that_writes_them(run_split, tmp_path, write_params, capsys):
    write_params(tmp_path)
    with pytest.raises(SystemExit):
        command.run(lambda: split.main(PATHS))
    assert "data/chunks/chunks.parquet is missing; `dvc repro ingest` makes it" in capsys.readouterr().err

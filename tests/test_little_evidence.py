"""Small documentation runs from ingest to the page and to a search, whatever evidence is missing."""

import json

import pytest
from hand_made import EVALUATE, INDEX, PROMOTE, TRAIN

from triptych.corpus.records import read_qrels, read_queries

pytestmark = pytest.mark.dag

RATE = (
    "--texts data/triplets/texts --tokens data/tokens --base models/base --embedder data/triplets/embedder"
    " --reranker data/triplets/reranker0 --metrics metrics/rate.json --tables metrics/rate --vectors data/vectors"
)
MINE = (
    "--corpus data/corpus --texts data/triplets/texts --tokens data/tokens"
    " --round data/triplets/round0 --model models/round0"
    " --mined data/triplets/round1 --metrics metrics/mine/round1.json --vectors data/vectors"
)
TRAIN_RERANKER = (
    "--corpus data/corpus --texts data/triplets/texts --tokens data/tokens --round data/triplets/reranker"
    " --retriever models/round1 --reranker models/reranker-candidate"
    " --metrics metrics/train_reranker.json --curve metrics/train_reranker.csv --checkpoints .checkpoints/reranker"
)
REPORT = (
    "--metrics metrics --corpus data/corpus --tokens data/tokens/metadata.json --runs data/runs"
    " --embedder models/embedder --page metrics/report.html"
)
ROUND = {"steps": 2, "learning_rate": 1.0e-3}
SETTINGS = {
    "split.min_train_queries": 300,
    "mine.relative_margin": 1.0,
    "rate.anchors": 20,
    "rate.shown": 2,
    "split.min_queries": 20,
    "rounds.train": {"round0": {"previous": "base", **ROUND}, "round1": {"previous": "round0", **ROUND}},
    "rounds.mine": {
        "round1": {"previous": "round0", "examples": "round0"},
        "reranker": {"previous": "round1", "examples": "reranker0"},
    },
    "evaluate.round": "round1",
    "evaluate.bootstrap_samples": 100,
}
PARTS = ["pump", "valve", "filter", "sensor", "motor", "seal", "hose", "gauge", "tank", "relay", "fuse", "lamp"]
VERBS = ["clean", "replace", "inspect", "store", "order", "mount", "test", "label", "ship", "paint", "weigh", "sell"]


def page(row, link=""):
    """Return a page of two sections in sentences of its own."""
    part, verb, other = PARTS[row % 12], VERBS[row * 5 % 12], PARTS[row * 7 % 12 - 1]
    return (
        f"# The {part}\n\nYou {verb} the {part} number {row} once a year before winter comes. It sits beside the"
        f" {other} in case {row}.\n\n## Faults\n\nA {part} that leaks in hall {row} must be {verb}ed by two people."
        f" {link}\n"
    )


@pytest.fixture
def to_the_page(tmp_path, prepare, monkeypatch):
    """Run every stage from ingest to report on pages by path below the folder ``docs``; return metrics by stage."""
    from stages import evaluate, index, mine, promote, rate, report, train, train_reranker

    def call(pages, **changes):
        for name, text in pages.items():
            path = tmp_path / "docs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        prepare(tmp_path, **(SETTINGS | {"ingest.sources": [{"path": "docs", "category": "parts"}]} | changes))
        rate.main(RATE.split())
        train.main(TRAIN.split())
        mine.main(MINE.split())
        second = TRAIN.replace("models/round0", "models/round1").replace("models/base", "models/round0")
        train.main(second.replace("triplets/round0", "triplets/round1").replace("train/round0", "train/round1").split())
        mine.main(MINE.replace("round1", "reranker").replace("models/round0", "models/round1").split())
        train_reranker.main(TRAIN_RERANKER.split())
        evaluate.main(EVALUATE.replace("round0", "round1").split())
        promote.main([*PROMOTE.replace("round0", "round1").split(), "models/embedder"])
        index.main(INDEX.split())
        report.main(REPORT.split())
        assert (tmp_path / "metrics/report.html").stat().st_size > 10_000
        names = ("split", "evaluate", "verdict", "index")
        return {one: json.loads((tmp_path / f"metrics/{one}.json").read_text(encoding="utf-8")) for one in names}

    return call


def test_pages_without_a_link_in_one_category_run_to_the_page(to_the_page):
    metrics = to_the_page({f"p{row}.md": page(row) for row in range(12)})
    assert metrics["verdict"]["verdict"] == "unproven"
    assert "`triptych label` collects them, split.queries takes them" in metrics["verdict"]["reason"]
    assert set(metrics["split"]["kinds"]["test"]) == {"pseudo"}


def test_few_links_judge_and_are_not_learned(to_the_page, tmp_path):
    links = [f"Read [what to do about the {PARTS[row]} in spring](p{row}.md)." for row in range(12)]
    metrics = to_the_page({f"p{row}.md": page(row, links[(row + 3) % 12]) for row in range(12)})
    kinds = {
        "crossref": {"found": 12, "used": 12, "dropped": {}},
        "sentence": {"found": 12, "used": 0, "dropped": {"asked_by_link_text": 12}},
    }
    assert metrics["split"]["judgments"] == {"judge_only": True, "queries": 12, "kinds": kinds}
    assert metrics["split"]["splits"]["train"]["parts"]["queries"] == 0
    assert metrics["evaluate"]["measures"]["all"]["base"]["queries"] == 8
    assert metrics["verdict"]["verdict"] == "unproven"
    assert "8 queries in test can prove nothing" in metrics["verdict"]["reason"]
    assert not read_qrels(tmp_path / "data/corpus/qrels/train.tsv")


def test_two_short_pages_run_to_the_page(to_the_page):
    metrics = to_the_page({"a.md": page(0), "b.md": page(1)})
    assert metrics["verdict"]["verdict"] == "unproven"


@pytest.mark.parametrize(
    "page_of",
    [
        lambda row: f"```python\n{PARTS[row]} = open('{VERBS[row]}')\n```\n",
        lambda row: f"| part | number |\n|---|---|\n| {PARTS[row]} | {row * 7} |\n",
        lambda row: f"{row} {row * 7} {row * 13}\n",
    ],
    ids=["only code", "only tables", "only numbers"],
)
def test_pages_with_nothing_to_learn_from_run_to_the_page(to_the_page, page_of, capsys, tmp_path):
    metrics = to_the_page({f"p{row}.md": page_of(row) for row in range(12)})
    assert metrics["verdict"]["verdict"] == "unproven"
    assert "at least 20 test questions of your users would settle it" in metrics["verdict"]["reason"]
    assert len(metrics["verdict"]["reasons"]) == 2  # nothing is said of an embedder that was not trained
    lines = capsys.readouterr().out.splitlines()
    for name in ("round0", "round1"):
        (line,) = (one for one in lines if one.startswith(f"train {name}: "))
        assert line.startswith(f"train {name}: not trained, ")
        assert line.endswith(f"; base is kept; models/{name}")
    assert "not trained: " in (tmp_path / "metrics/report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("line", ["The same line on every page of the folder.", page(0)], ids=["line", "page"])
def test_one_page_twelve_times_runs_to_the_page(to_the_page, line):
    metrics = to_the_page({f"p{row}.md": line for row in range(12)})
    assert metrics["verdict"]["verdict"] == "unproven"


def test_a_reranker_that_has_nothing_to_learn_from_is_not_trained(to_the_page):
    metrics = to_the_page({"a.md": page(0)}, **{"train_reranker.steps": 2})
    assert metrics["verdict"]["reranker"]["reason"].startswith(
        "none was trained: train_reranker: none of 3 anchors has a hard negative, which a reranker needs; see what"
    )


def test_a_single_line_runs_to_the_page(to_the_page):
    metrics = to_the_page({"a.md": "pump valve filter sensor motor seal hose gauge tank relay fuse lamp\n"})
    assert metrics["verdict"]["verdict"] == "unproven"


def test_a_category_named_all_is_not_the_row_of_all(to_the_page, tmp_path):
    links = [f"Read [what to do about the {PARTS[row]} in spring](p{row}.md)." for row in range(12)]
    pages = {
        f"{folder}/p{row}.md": page(row + 12 * number, links[(row + 3) % 12].replace("spring", folder))
        for number, folder in enumerate(("one", "two"))
        for row in range(12)
    }
    sources = [{"path": "docs/one", "category": "all"}, {"path": "docs/two", "category": "v1.2"}]
    metrics = to_the_page(pages, **{"ingest.sources": sources, "split.min_queries": 2})
    queries = {name: systems["base"]["queries"] for name, systems in metrics["evaluate"]["measures"].items()}
    assert set(queries) == {"all", "category all", "v1.2"}
    assert queries["all"] == queries["category all"] + queries["v1.2"] == 16
    assert {query.category for query in read_queries(tmp_path / "data/corpus").values()} == {"category all", "v1.2"}


def test_many_thin_categories_are_judged_together(to_the_page):
    links = [f"Read [what to do about the {PARTS[row]} in spring](../c{row % 6}/p{row}.md)." for row in range(12)]
    pages = {f"c{row % 6}/p{row}.md": page(row, links[(row + 3) % 12]) for row in range(12)}
    sources = [{"path": f"docs/c{number}", "category": f"c{number}"} for number in range(6)]
    metrics = to_the_page(pages, **{"ingest.sources": sources})
    assert set(metrics["evaluate"]["measures"]) == {"all", "(small categories)"}
    assert metrics["split"]["small_categories"]["categories"] == [f"c{number}" for number in range(6)]

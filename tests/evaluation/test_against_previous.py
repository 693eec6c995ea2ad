"""The verdict beside the last publication: on the figures of the repository's own run, with planted exams."""

from dataclasses import replace
from pathlib import Path

import pytest

from triptych.artifacts import read_json
from triptych.corpus.records import ALL, Query
from triptych.evaluation.against_previous import LAST_EXAM, NEW_QUESTIONS, compare_exams
from triptych.evaluation.chosen_on_dev import ChosenOnDev
from triptych.evaluation.comparison import NamedInterval, read_intervals
from triptych.evaluation.decisions import decide
from triptych.evaluation.significance import Interval
from triptych.evaluation.verdict import Verdicts
from triptych.params.load import load_params

ROOT = Path(__file__).parents[2]
PARAMS, EVALUATION = load_params(ROOT / "params.yaml"), read_json(ROOT / "metrics/evaluate.json")
INTERVALS, ADDED = (read_intervals(ROOT / f"metrics/evaluate/{name}.csv") for name in ("intervals", "added"))
CHOSEN = ChosenOnDev.from_record(EVALUATION["chosen_on_dev"])


def row(difference, kind=LAST_EXAM, category=ALL, half=0.02, queries=200, clusters=40):
    low, high = round(difference - half, 6), round(difference + half, 6)
    interval = Interval(difference, low, high, half / 2, 0.5, queries, clusters)
    return NamedInterval(category, "tuned_hybrid", "previous_hybrid", "mrr@10", "user", interval, 0.5, kind)


def judged(*exams, before="as the tuned"):
    """Decide with rows of exams; the embedder of before is as good as the tuned one, or as the base model."""
    chosen = replace(CHOSEN, fusions=CHOSEN.fusions | {"previous_hybrid": CHOSEN.fusions["tuned_hybrid"]})
    of_before = [replace(one, system="previous_hybrid") for one in INTERVALS if one.system == "tuned_hybrid"]
    if before == "as the base":
        none = Interval(0.0, -0.03, 0.03, 0.015, 0.9, 300, 60)
        of_before = [replace(one, interval=none, p_holm=1.0) for one in of_before]
    taught = EVALUATION["taught"]
    return decide(
        [*INTERVALS, *of_before], [*ADDED, *exams], chosen, PARAMS.promote, PARAMS.evaluate.confidence, taught=taught
    )


def test_without_a_publication_before_nothing_is_said():
    assert judged().previous is None
    assert judged().embedder.used  # of the repository's own run, on which the other tests rest


def test_a_new_embedder_that_keeps_the_last_exam_is_published():
    verdicts = judged(row(0.01), row(0.05, NEW_QUESTIONS), row(-0.001, f"{LAST_EXAM} user"))
    assert (verdicts.published, verdicts.previous.kept, verdicts.previous.published) == ("tuned", True, False)
    assert verdicts.previous.last_exam.difference == 0.01
    assert verdicts.previous.new_questions.difference == 0.05
    assert verdicts.previous.reasons == [
        "last exam: mrr@10 rises by 0.010 [-0.010, 0.030] over 200 queries against what was published before",
        "new questions: mrr@10 rises by 0.050 [0.030, 0.070] over 200 queries against what was published before",
    ]


@pytest.mark.parametrize(
    "fall",
    [row(-0.03), row(-0.03, category="numpy"), row(-0.03, f"{LAST_EXAM} user")],
    ids=["over all", "in a category", "for a kind"],
)
def test_a_sure_fall_on_the_last_exam_keeps_what_was_published(fall, tmp_path):
    exams = [fall] if (fall.category, fall.kind) == (ALL, LAST_EXAM) else [row(0.01), fall]
    verdicts = judged(*exams, row(0.1, NEW_QUESTIONS))
    assert not verdicts.embedder.used
    assert verdicts.embedder.reason.startswith("what was won is not kept: last exam")
    assert (verdicts.published, verdicts.deployed) == ("previous", "previous_hybrid")
    assert verdicts.sentence.startswith("keep the embedder that was published before")
    assert verdicts.fusion == CHOSEN.fusions["tuned_hybrid"]
    verdicts.write(tmp_path / "verdict.json")
    assert Verdicts.read(tmp_path / "verdict.json") == verdicts


def test_what_was_published_must_still_be_better_than_what_is_free():
    verdicts = judged(row(-0.03), before="as the base")
    assert verdicts.published == "base"
    assert "against the best search without training" in verdicts.previous.reasons[-1]


@pytest.mark.parametrize("open_", [row(-0.03, half=0.04), row(-0.1, queries=5), row(-0.1, NEW_QUESTIONS)])
def test_what_is_not_sure_or_not_of_the_last_exam_stops_nothing(open_):
    verdicts = judged(row(0.01), open_) if open_.kind == NEW_QUESTIONS else judged(open_)
    assert verdicts.published == "tuned"
    assert verdicts.previous.kept


def test_the_exams_are_compared_apart():
    ids = [f"q{number}" for number in range(40)]
    queries = {one: Query(one, one, "user", ("a", "b")[number % 2]) for number, one in enumerate(ids)}
    qrels = {one: {"c": 1} for one in ids}
    last = set(ids[:30])
    found, missed = {"c": 2.0, "d": 1.0}, {"d": 2.0, "c": 1.0}
    runs = {
        "base_hybrid": dict.fromkeys(ids, missed),
        "previous_hybrid": {one: found if one in last else missed for one in ids},
        "tuned_hybrid": {one: missed if one in last else found for one in ids},
        "bm25": dict.fromkeys(ids, found),
    }
    documents = {one: number for number, one in enumerate(ids)}
    settings = PARAMS.evaluate.model_copy(update={"bootstrap_samples": 100})
    intervals, measures = compare_exams(runs, qrels, queries, documents, settings, last)
    of = {(one.kind, one.category): one for one in intervals if (one.system, one.measure) == ("tuned_hybrid", "mrr@10")}
    assert of[LAST_EXAM, ALL].interval.difference == -0.5
    assert of[NEW_QUESTIONS, ALL].interval.difference == 0.5
    assert (of[LAST_EXAM, "a"].interval.queries, of[NEW_QUESTIONS, ALL].interval.queries) == (15, 10)
    assert {one.baseline for one in intervals} == {"previous_hybrid"}
    assert measures[LAST_EXAM]["previous_hybrid"]["mrr@10"] == 1.0
    assert measures[NEW_QUESTIONS].keys() == {"base_hybrid", "previous_hybrid", "tuned_hybrid"}
    del runs["previous_hybrid"]  # the base model was published
    intervals, _ = compare_exams(runs, qrels, queries, documents, settings, last)
    assert {one.baseline for one in intervals} == {"base_hybrid"}

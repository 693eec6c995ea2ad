"""What the page says was decided, and which categories it draws."""

from types import SimpleNamespace

import pytest

from triptych.evaluation.comparison import NamedInterval
from triptych.evaluation.significance import Interval
from triptych.report.charts import drawn_categories
from triptych.report.decisions import decisions, deployed, headline

METRICS = {"all": {"base": {"mrr@10": 0.5}, "tuned": {"mrr@10": 0.6}, "tuned_hybrid": {"mrr@10": 0.7}}}
FIGURES = {"difference": 0.1, "low": 0.05, "high": 0.15, "reasons": ["it rises"], "verdict": "promoted"}
HYBRID = FIGURES | {"system": "tuned_hybrid", "used": True}


def verdict(**changes):
    told = {"published": "tuned", "measure": "mrr@10", "reason": "mrr@10 rises by 0.100", "kinds": "user"}
    return FIGURES | told | {"hybrid": HYBRID} | changes


def test_each_part_that_was_judged_is_a_decision_with_its_figures():
    embedder, hybrid = decisions(verdict(), METRICS)
    assert (embedder.advice, embedder.before, embedder.after) == ("Use the tuned embedder", 0.5, 0.6)
    assert (hybrid.advice, hybrid.name, hybrid.after) == ("Use the hybrid", "tuned + BM25", 0.7)
    kept = decisions(verdict(published="base", hybrid=HYBRID | {"used": False}), METRICS)
    assert [one.advice for one in kept] == ["Keep your base model", "Do without the hybrid"]


def test_a_part_without_a_measured_system_shows_its_difference_alone():
    *_, other = decisions(verdict(reranker=HYBRID | {"system": "new"}), METRICS)
    assert (other.advice, other.after, other.difference) == ("Use the reranker", None, 0.1)


@pytest.mark.parametrize(
    ("changes", "system"),
    [
        ({}, "tuned_hybrid"),
        ({"hybrid": HYBRID | {"used": False}}, "tuned"),
        ({"published": "base", "hybrid": HYBRID | {"system": "base_hybrid"}}, "base_hybrid"),
        ({"reranker": HYBRID | {"system": "reranked"}}, "reranked"),
    ],
)
def test_the_explorer_compares_what_the_verdict_says_to_use(changes, system):
    assert deployed(verdict(**changes)) == system


def test_the_headline_has_advice_and_reason_and_says_what_is_unproven():
    assert headline(verdict()) == "Use the tuned embedder: mrr@10 rises by 0.100."
    said = headline(verdict(verdict="unproven", published="base", reason="nobody asked"))
    assert said == "Keep your base model: unproven, for nobody asked."


def test_of_many_categories_those_most_in_doubt_are_drawn():
    lows = {f"c{number:02}": 0.1 - 0.01 * number for number in range(20)}
    found = [
        NamedInterval(name, system, "base", "mrr@10", "user", Interval(0.1, low, 0.2, 0.1, 0.1, 9, 9), 0.1)
        for name, low in ({"all": -1.0} | lows).items()
        for system in ("tuned", "bm25")
    ]
    findings = SimpleNamespace(verdict={"measure": "mrr@10"}, intervals=found)
    assert drawn_categories(findings) == ["all", *(f"c{number}" for number in range(12, 20))]

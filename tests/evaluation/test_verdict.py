"""The verdict and the sentences it gives."""

import pytest

from triptych.evaluation.significance import Interval
from triptych.evaluation.verdict import judge

RISE = Interval(0.112, 0.081, 0.143, 312, 40)


def category(difference, queries=20):
    return Interval(difference, difference - 0.1, difference + 0.1, queries, 8)


def test_a_sure_rise_without_a_fall_is_promoted():
    verdict = judge(RISE, {"numpy": category(0.2), "pandas": category(0.034)}, 0.0, "mrr@10")
    assert verdict.decision == "promoted"
    assert verdict.reasons == [
        "mrr@10 rises by 0.112 [0.081, 0.143] over 312 queries",
        "no category falls by more than the tolerated 0.000; the weakest, pandas, rises by 0.034 over 20 queries",
    ]


def test_an_interval_with_zero_is_not_promoted():
    verdict = judge(Interval(0.01, -0.004, 0.024, 312, 40), {"numpy": category(0.01)}, 0.0, "mrr@10")
    assert verdict.decision == "kept"
    assert verdict.reasons[0] == (
        "mrr@10 rises by 0.010 [-0.004, 0.024] over 312 queries, and the interval includes zero"
    )
    assert judge(Interval(0.01, 0.0, 0.02, 312, 40), {}, 0.0, "mrr@10").decision == "kept"


def test_a_sure_fall_is_not_promoted():
    verdict = judge(Interval(-0.02, -0.03, -0.01, 1, 1), {}, 0.5, "ndcg@10")
    assert verdict.decision == "kept"
    assert verdict.reasons == ["ndcg@10 falls by 0.020 [-0.030, -0.010] over 1 query"]


def test_the_base_model_against_itself_stays_the_same():
    same = Interval(0.0, 0.0, 0.0, 312, 40)
    verdict = judge(same, {"numpy": same}, 0.0, "mrr@10")
    assert verdict.decision == "kept"
    assert verdict.reasons == [
        "mrr@10 stays the same [0.000, 0.000] over 312 queries, and the interval includes zero",
        "no category falls by more than the tolerated 0.000; the weakest, numpy, stays the same over 312 queries",
    ]


def test_every_category_that_falls_is_named():
    falls = {"scipy": category(-0.25), "pandas": category(-0.01), "numpy": category(0.3)}
    verdict = judge(RISE, falls, 0.0, "mrr@10")
    assert verdict.decision == "kept"
    assert verdict.reasons[1:] == [
        "pandas falls by 0.010, more than the tolerated 0.000",
        "scipy falls by 0.250, more than the tolerated 0.000",
    ]


def test_tolerance():
    assert judge(RISE, {"pandas": category(-0.02)}, 0.02, "mrr@10").decision == "promoted"
    assert judge(RISE, {"pandas": category(-0.021)}, 0.02, "mrr@10").decision == "kept"
    with pytest.raises(ValueError, match="negative"):
        judge(RISE, {}, -0.1, "mrr@10")


def test_rounding_errors_are_no_change():
    assert judge(RISE, {"pandas": category(-1e-16)}, 0.0, "mrr@10").decision == "promoted"
    assert judge(Interval(0.1, 1e-16, 0.2, 312, 40), {}, 0.0, "mrr@10").decision == "kept"


def test_no_sentence_contradicts_itself_by_rounding():
    verdict = judge(Interval(0.01, 0.0002, 0.02, 312, 40), {"pandas": category(-0.0504)}, 0.05, "mrr@10")
    assert verdict.reasons == [
        "mrr@10 rises by 0.010000 [0.000200, 0.020000] over 312 queries",
        "pandas falls by 0.050400, more than the tolerated 0.050000",
    ]


def test_pseudo_queries_prove_nothing_whatever_the_figures_say():
    verdict = judge(RISE, {"numpy": category(0.2)}, 0.0, "mrr@10", "pseudo")
    assert verdict.decision == "unproven"
    assert "nobody asked" in verdict.reasons[0]
    assert "split.queries" in verdict.reasons[0]
    assert verdict.reasons[1].startswith("mrr@10 rises by 0.112")
    assert judge(RISE, {"numpy": category(0.2)}, 0.0, "mrr@10", "crossref+user").decision == "promoted"

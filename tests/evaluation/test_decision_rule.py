"""The rule that decides on one system, and its sentences."""

import pytest

from triptych.evaluation.comparison import UNTAUGHT, NamedInterval
from triptych.evaluation.promotion_rule import decide_system
from triptych.evaluation.significance import Interval
from triptych.params.sections import Promote

PARAMS = Promote(measure="mrr@10", category_tolerance=0.02, worthwhile=0.03, unproven="base")
RISE = Interval(0.112, 0.081, 0.143, 0.016, 0.0002, 312, 40)


def interval(difference, half, queries=312, clusters=40):
    return Interval(difference, difference - half, difference + half, half / 2, 0.5, queries, clusters)


def decided(overall=RISE, p_holm=0.0008, kinds="crossref", measure="mrr@10", tolerance=0.02, **categories):
    intervals = [NamedInterval("all", "tuned", "base", measure, kinds, overall, p_holm)]
    intervals += [NamedInterval(name, "tuned", "base", measure, kinds, one, 0.5) for name, one in categories.items()]
    return decide_system(intervals, PARAMS.model_copy(update={"category_tolerance": tolerance}), 0.95)


def decided_by_kind(by_kind, untaught=None, overall=RISE, **parts):
    """Decide with rows for kinds of query, for those that were not taught, and for these in each category."""
    rows = [("all", "all", "crossref+user", overall)] + [("all", kind, kind, one) for kind, one in by_kind.items()]
    rows += [("all", UNTAUGHT, "user", untaught)] if untaught else []
    rows += [(name, UNTAUGHT, "user", one) for name, one in parts.items()]
    intervals = [
        NamedInterval(category, "tuned", "base", "mrr@10", kinds, one, 0.0008, kind)
        for category, kind, kinds, one in rows
    ]
    return decide_system(intervals, PARAMS, 0.95)


def test_the_kinds_that_were_not_taught_decide():
    verdict = decided_by_kind({"crossref": RISE, "user": interval(0.05, 0.04)}, interval(0.05, 0.04, 200))
    assert verdict.decision == "promoted"
    assert verdict.reasons == [
        "mrr@10 rises by 0.050 [0.010, 0.090] over 200 queries of a kind that was not taught (user)",
        "no kind of question surely falls; the weakest, user, rises by 0.050 [0.010, 0.090] over 312 queries",
    ]
    verdict = decided_by_kind({"crossref": RISE, "user": interval(0.0, 0.03)}, interval(0.01, 0.03, 200))
    assert verdict.decision == "kept"
    assert verdict.reason == (
        "mrr@10 rises by 0.010 [-0.020, 0.040] over 200 queries of a kind that was not taught (user), and the interval"
        " includes zero"
    )


@pytest.mark.parametrize("few", [interval(-0.1, 0.02, 19), interval(-0.1, 0.02, 90, 4)])
def test_too_few_queries_of_kinds_that_were_not_taught_do_not_decide_nor_stop(few):
    verdict = decided_by_kind({"crossref": RISE, "user": few}, few)
    assert verdict.decision == "promoted"
    assert verdict.reasons == ["mrr@10 rises by 0.112 [0.081, 0.143] over 312 queries"]


def test_a_kind_that_surely_falls_stops_the_promotion():
    verdict = decided_by_kind({"crossref": interval(-0.03, 0.02), "user": RISE}, RISE)
    assert verdict.decision == "kept"
    assert (
        verdict.reason == "kind crossref: mrr@10 falls by 0.030 [-0.050, -0.010] over 312 queries, which is a sure fall"
    )
    assert decided_by_kind({"crossref": interval(-0.03, 0.04), "user": RISE}, RISE).decision == "promoted"


def test_kinds_that_were_not_taught_and_surely_fall_in_a_category_stop_the_promotion():
    verdict = decided_by_kind({"user": RISE}, RISE, numpy=interval(-0.09, 0.06, 60), pandas=RISE)
    assert verdict.decision == "kept"
    assert verdict.reason == "numpy, user: mrr@10 falls by 0.090 [-0.150, -0.030] over 60 queries, which is a sure fall"


def test_a_fall_of_written_questions_stops_nothing():
    assert decided_by_kind({"generated": interval(-0.2, 0.1), "user": RISE}, RISE).decision == "promoted"


def test_a_sure_rise_without_a_fall_is_promoted():
    verdict = decided(numpy=interval(0.2, 0.1, 20), pandas=interval(0.034, 0.05, 20))
    assert verdict.decision == "promoted"
    assert verdict.reason == verdict.reasons[0]
    assert verdict.reasons == [
        "mrr@10 rises by 0.112 [0.081, 0.143] over 312 queries",
        "no category falls by more than the tolerated 0.020; the weakest, pandas, rises by 0.034 [-0.016, 0.084] over"
        " 20 queries",
    ]


def test_an_interval_with_zero_is_not_promoted_and_the_queries_that_would_settle_it_are_named():
    verdict = decided(interval(0.01, 0.06), numpy=interval(0.01, 0.02))
    assert verdict.decision == "kept"
    assert verdict.reason == "mrr@10 rises by 0.010 [-0.050, 0.070] over 312 queries, and the interval includes zero"
    # 312 · 0.03² · (2.802 / 0.03)²
    assert verdict.reasons[-1] == "about 2449 test queries would settle whether it rises by 0.030 or more"
    assert decided(Interval(0.01, 0.0, 0.02, 0.005, 0.05, 312, 40)).decision == "kept"


def test_an_interval_that_would_have_shown_a_rise_asks_for_no_more_queries():
    verdict = decided(interval(0.001, 0.01))
    assert verdict.decision == "kept"
    assert len(verdict.reasons) == 1


def test_where_no_rise_worth_having_is_possible_nothing_is_left_to_settle():
    verdict = decided(interval(-0.1, 0.09, 20), numpy=interval(-0.3, 0.2, 9))
    assert verdict.reasons == [
        "mrr@10 falls by 0.100 [-0.190, -0.010] over 20 queries",
        "numpy: mrr@10 falls by 0.300 [-0.500, -0.100] over 9 queries, more than the tolerated 0.020",
    ]


def test_a_rise_that_holms_correction_does_not_leave_is_not_promoted():
    verdict = decided(Interval(0.03, 0.002, 0.058, 0.014, 0.03, 312, 40), p_holm=0.09)
    assert verdict.decision == "kept"
    assert "with Holm's correction for the systems compared p is 0.090" in verdict.reason
    assert "test queries would settle" in verdict.reasons[-1]


def test_a_sure_fall_is_not_promoted():
    verdict = decided(Interval(-0.02, -0.03, -0.01, 0.005, 0.001, 1, 2), measure="ndcg@10")
    assert verdict.decision == "kept"
    assert verdict.reason == "ndcg@10 falls by 0.020 [-0.030, -0.010] over 1 query"


def test_the_base_model_against_itself_stays_the_same():
    same = Interval(0.0, 0.0, 0.0, 0.0, 1.0, 312, 40)
    verdict = decided(same, p_holm=1.0, numpy=same, pandas=same)
    assert verdict.decision == "kept"
    assert verdict.reasons == [
        "mrr@10 stays the same [0.000, 0.000] over 312 queries, and the interval includes zero",
        "no category falls by more than the tolerated 0.020; the weakest, numpy, stays the same [0.000, 0.000] over"
        " 312 queries",
    ]


def test_of_a_single_category_nothing_is_said_again():
    assert decided(numpy=RISE).reasons == ["mrr@10 rises by 0.112 [0.081, 0.143] over 312 queries"]


def test_every_category_that_may_fall_is_named_with_the_queries_that_would_settle_it():
    verdict = decided(scipy=interval(-0.25, 0.1, 900), pandas=interval(0.01, 0.05, 60), numpy=interval(0.3, 0.1))
    assert verdict.decision == "kept"
    assert verdict.reason == (
        "pandas: mrr@10 rises by 0.010 [-0.040, 0.060] over 60 queries, which does not exclude a fall of more than the"
        " tolerated 0.020"
    )
    assert verdict.reasons[2] == (
        "scipy: mrr@10 falls by 0.250 [-0.350, -0.150] over 900 queries, more than the tolerated 0.020"
    )
    # 60 · 0.025² · (2.802 / (0.03 + 0.02))²
    assert "about 118 test queries of pandas would settle whether it rises by 0.030 or more" in verdict.reasons


def test_a_category_whose_queries_are_about_one_document_cannot_be_promoted_in():
    verdict = decided(numpy=Interval(0.5, -1.0, 1.0, 1.0, 1.0, 7, 1))
    assert verdict.decision == "kept"
    assert verdict.reasons[1:] == ["numpy cannot be judged: its 7 queries are about one document"]


def test_tolerance():
    assert decided(pandas=interval(0.02, 0.04), tolerance=0.02).decision == "promoted"
    assert decided(pandas=interval(0.02, 0.041), tolerance=0.02).decision == "kept"
    assert decided(pandas=interval(0.02, 0.02), tolerance=0.0).decision == "promoted"
    assert decided(pandas=interval(0.02, 0.021), tolerance=0.0).decision == "kept"


def test_rounding_errors_are_no_change():
    assert decided(pandas=Interval(0.0, -1e-16, 0.1, 0.01, 0.5, 9, 9), tolerance=0.0).decision == "promoted"
    assert decided(Interval(0.1, 1e-16, 0.2, 0.05, 0.05, 312, 40)).decision == "kept"


def test_no_sentence_contradicts_itself_by_rounding():
    verdict = decided(Interval(0.01, 0.0002, 0.02, 0.005, 0.04, 312, 40), pandas=interval(0.0, 0.0204))
    assert verdict.reasons[0] == "mrr@10 rises by 0.010000 [0.000200, 0.020000] over 312 queries"
    assert verdict.reasons[1] == (
        "pandas: mrr@10 stays the same [-0.020400, 0.020400] over 312 queries, which does not exclude a fall of more"
        " than the tolerated 0.020000"
    )


def test_no_claim_is_made_about_small_categories():
    verdict = decided(numpy=interval(0.2, 0.05), **{"(small categories)": interval(-0.3, 0.2, 9)})
    assert verdict.decision == "promoted"
    assert verdict.reasons[-1] == (
        "no claim is made about (small categories): mrr@10 falls by 0.300 [-0.500, -0.100] over 9 queries"
    )


def test_pseudo_queries_prove_nothing_whatever_the_metrics_are():
    verdict = decided(kinds="pseudo", numpy=interval(0.2, 0.05))
    assert verdict.decision == "unproven"
    assert verdict.reason == verdict.reasons[0]
    # 312 · 0.016² · (2.802 / 0.03)²
    assert "nobody asked" in verdict.reason
    assert "about 697 test questions of your users would settle it" in verdict.reason
    assert "`triptych label`" in verdict.reason
    assert "split.queries" in verdict.reason
    assert verdict.reasons[1].startswith("mrr@10 rises by 0.112")
    assert decided(kinds="crossref+user", numpy=interval(0.2, 0.05)).decision == "promoted"


@pytest.mark.parametrize(
    ("overall", "wanted"),
    [
        (interval(0.0, 0.0, 4, 4), "at least 20 test questions"),  # four equal results say nothing of the next
        (Interval(0.2, -1.0, 1.0, 0.0, 1.0, 3, 1), "at least 20 test questions"),
        (interval(0.0, 0.2, 12, 6), "about 1047 test questions"),
    ],
)
def test_too_few_queries_name_how_many_are_missing(overall, wanted):
    verdict = decided(overall, p_holm=1.0)
    assert verdict.decision == "unproven"
    assert f"queries in test can prove nothing; {wanted} of your users would settle it: `triptych label`" in (
        verdict.reason
    )


@pytest.mark.parametrize("kinds", ["crossref+pseudo", "pseudo+user", "generated"])
def test_pseudo_queries_among_others_prove_nothing_either(kinds):
    assert decided(kinds=kinds).decision == "unproven"

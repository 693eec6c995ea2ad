"""What the page shows of the verdicts, and which categories it charts."""

from dataclasses import replace
from types import SimpleNamespace

from verdicts import make_verdicts

from triptych.evaluation.comparison import NamedInterval
from triptych.evaluation.significance import Interval
from triptych.report.charts import drawn_categories
from triptych.report.query_groups import query_groups
from triptych.report.verdict_cards import decision_cards, decisive_values

METRICS = {"base_hybrid": {"mrr@10": 0.5}, "tuned": {"mrr@10": 0.6}, "tuned_hybrid": {"mrr@10": 0.7}}


def test_each_system_that_was_compared_has_a_card_with_its_metrics():
    embedder, late, *_ = decision_cards(make_verdicts(), METRICS)
    assert (embedder.advice, embedder.before, embedder.after) == ("use the tuned embedder", 0.5, 0.7)
    assert (late.advice, late.title) == ("do without late interaction", "tuned + BM25 + MaxSim")
    embedder, late, *_ = decision_cards(make_verdicts(tuned=False, late=True), METRICS)
    assert [embedder.advice, late.advice] == ["keep your base model", "use late interaction"]


def test_a_system_without_metrics_shows_its_difference_alone():
    *_, reranker = decision_cards(make_verdicts(reranked=True), METRICS)
    assert (reranker.advice, reranker.after, reranker.against_free.difference) == ("use the reranker", None, 0.1)


def test_a_system_that_was_not_compared_has_no_card():
    verdicts = make_verdicts()
    verdicts = replace(verdicts, reranker=replace(verdicts.reranker, against_free=None))
    assert len(decision_cards(verdicts, METRICS)) == len(decision_cards(make_verdicts(), METRICS)) - 1


def test_the_headline_has_advice_and_reason_and_marks_what_is_unproven():
    assert make_verdicts().headline == (
        "Use the tuned embedder: against the best search without training, mrr@10 rises by 0.100."
    )
    verdicts = make_verdicts(tuned=False)
    unproven = replace(
        verdicts.embedder, decision="unproven", reason="nobody asked; at least 20 questions: `triptych label`"
    )
    verdicts = replace(verdicts, embedder=unproven)
    assert verdicts.headline == "Keep your base model: unproven, for nobody asked."
    assert verdicts.missing == "At least 20 questions: `triptych label`."


def test_of_many_categories_those_most_in_doubt_are_drawn():
    lows = {f"c{number:02}": 0.1 - 0.01 * number for number in range(20)}
    intervals = [
        NamedInterval(name, system, "base", "mrr@10", "user", Interval(0.1, low, 0.2, 0.1, 0.1, 9, 9), 0.1)
        for name, low in ({"all": -1.0} | lows).items()
        for system in ("tuned_hybrid", "bm25")
    ]
    results = SimpleNamespace(verdicts=make_verdicts(), intervals=intervals)
    assert drawn_categories(results) == ["all", *(f"c{number}" for number in range(12, 20))]


def test_the_cards_have_the_metrics_of_the_queries_that_decided():
    evaluation = {"measures": {"all": METRICS}, "untaught": {"base_hybrid": {"mrr@10": 0.2}}}
    assert decisive_values(make_verdicts(taught=["crossref"]), evaluation) == {"base_hybrid": {"mrr@10": 0.2}}
    assert decisive_values(make_verdicts(taught=["crossref"], basis="taught"), evaluation) == METRICS
    assert decisive_values(make_verdicts(), evaluation | {"untaught": {}}) == METRICS


ROW = {"base": {"mrr@10": 0.5, "queries": 8}}


def test_tables_have_rows_for_categories_and_kinds_where_there_are_several():
    groups = query_groups({"all": ROW, "b": ROW, "a": ROW}, {"user": ROW, "crossref": ROW, "pseudo": ROW}, ["crossref"])
    assert [(one.label, one.note) for one in groups] == [
        ("all", ""),
        ("a", ""),
        ("b", ""),
        ("kind crossref", "taught"),
        ("kind pseudo", "nobody asked them"),
        ("kind user", "not taught"),
    ]
    assert [one.label for one in query_groups({"all": ROW, "a": ROW}, {"user": ROW}, ["crossref"])] == ["all"]

"""Systems side by side, and their intervals as a table."""

from triptych.evaluation.comparison import NamedInterval, compare, read_intervals, write_intervals
from triptych.evaluation.significance import Interval
from triptych.params import Evaluate

PARAMS = Evaluate(seed=1, depth=50, dense_weights=[0.5], bootstrap_samples=200, confidence=0.95, round="round0")

KINDS = {"q1": "user", "q2": "crossref"}


def test_intervals_come_back_as_they_were_written(tmp_path):
    one = NamedInterval("all", "tuned", "mrr@10", "user", Interval(0.125, 0.0625, 0.1875, 10, 4))
    write_intervals(tmp_path / "intervals.csv", [one])
    header = (tmp_path / "intervals.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header == "category,system,measure,kinds,difference,low,high,queries,clusters"
    assert read_intervals(tmp_path / "intervals.csv") == [one]


def test_each_category_is_judged_by_its_own_queries():
    qrels = {"q1": {"a": 1}, "q2": {"b": 1}}
    runs = {"base": {"q1": {"b": 2.0, "a": 1.0}, "q2": {"b": 1.0}}, "tuned": {"q1": {"a": 1.0}, "q2": {"b": 1.0}}}
    found = compare(runs, qrels, {"q1": "x", "q2": "y"}, KINDS, {"q1": 0, "q2": 1}, "base", PARAMS)
    assert found.measures["x"]["base"]["mrr@10"] == 0.5
    assert found.measures["all"]["tuned"]["mrr@10"] == 1.0
    assert found.kinds == {"all": "crossref+user", "x": "user", "y": "crossref"}
    assert {(one.category, one.kinds) for one in found.intervals} == set(found.kinds.items())
    gains = {one.category: one.interval.difference for one in found.intervals if one.measure == "mrr@10"}
    assert gains == {"all": 0.25, "x": 0.5, "y": 0.0}


def test_a_category_in_one_document_has_the_widest_interval():
    qrels = {"q1": {"a": 1}}
    runs = {"base": {"q1": {}}, "tuned": {"q1": {"a": 1.0}}}
    (interval,) = {
        one.interval for one in compare(runs, qrels, {"q1": "x"}, KINDS, {"q1": 0}, "base", PARAMS).intervals
    }
    assert (interval.low, interval.high) == (-1.0, 1.0)

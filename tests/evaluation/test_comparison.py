"""Systems side by side, and their intervals as a table."""

import pytest

from triptych.corpus.records import Query
from triptych.errors import UserError
from triptych.evaluation.comparison import (
    UNTAUGHT,
    NamedInterval,
    compare,
    of_all_kinds,
    read_intervals,
    write_intervals,
)
from triptych.evaluation.significance import Interval, holm

QUERIES = {"q1": Query("q1", "one", "user", "x"), "q2": Query("q2", "two", "crossref", "y")}
ONE = NamedInterval(
    "all", "tuned", "base", "mrr@10", "user", Interval(0.125, 0.0625, 0.1875, 0.03125, 0.015625, 10, 4), 0.25
)


@pytest.fixture
def params(params_with):
    return params_with(**{"evaluate.bootstrap_samples": 200}).evaluate


def test_intervals_come_back_as_they_were_written(tmp_path):
    path = tmp_path / "intervals.csv"
    write_intervals(path, [ONE])
    header = path.read_text(encoding="utf-8").splitlines()[0]
    assert header == "category,system,baseline,measure,kinds,p_holm,kind,difference,low,high,error,p,queries,clusters"
    assert read_intervals(path) == [ONE]


def test_intervals_of_an_older_version_say_so(tmp_path):
    path = tmp_path / "intervals.csv"
    path.write_text("category,system,measure,kinds,difference,low,high\nall,tuned,mrr@10,user,0.1,0.0,0.2\n")
    with pytest.raises(
        UserError, match=r"no column baseline, p_holm, kind, error, p, queries, clusters: an older version wrote it"
    ):
        read_intervals(path)


def test_each_category_and_each_kind_is_judged_by_its_own_queries(params):
    qrels = {"q1": {"a": 1}, "q2": {"b": 1}}
    runs = {"base": {"q1": {"b": 2.0, "a": 1.0}, "q2": {"b": 1.0}}, "tuned": {"q1": {"a": 1.0}, "q2": {"b": 1.0}}}
    found = compare(runs, qrels, QUERIES, {"q1": 0, "q2": 1}, "base", params)
    assert found.measures["x"]["base"]["mrr@10"] == 0.5
    assert found.measures["all"]["tuned"]["mrr@10"] == 1.0
    assert {kind: systems["base"]["mrr@10"] for kind, systems in found.by_kind.items()} == {
        "user": 0.5,
        "crossref": 1.0,
    }
    assert found.kinds == {"all": "crossref+user", "x": "user", "y": "crossref"}
    assert {(one.category, one.kinds) for one in of_all_kinds(found.intervals)} == set(found.kinds.items())
    gains = {(one.category, one.kind): one.interval.difference for one in found.intervals if one.measure == "mrr@10"}
    assert gains == {
        ("all", "all"): 0.25,
        ("x", "all"): 0.5,
        ("y", "all"): 0.0,
        ("all", "user"): 0.5,
        ("all", "crossref"): 0.0,
    }
    assert found.untaught == {}


def test_kinds_that_were_not_taught_are_compared_together_without_those_that_nobody_asked(params):
    kinds = ["user", "summary", "crossref", "pseudo", "generated"]
    queries = {f"q{row}": Query(f"q{row}", "", kind, "xy"[row % 2]) for row, kind in enumerate(kinds * 4)}
    qrels = {one: {"a": 1} for one in queries}
    good, bad = ({one: hits for one in queries} for hits in ({"a": 1.0}, {}))
    runs = {"base": bad, "tuned": {one: good[one] if queries[one].kind == "user" else {} for one in queries}}
    documents = {one: row for row, one in enumerate(queries)}
    found = compare(runs, qrels, queries, documents, "base", params, ["crossref", "pseudo"])
    rows = {one.category: one for one in found.intervals if (one.kind, one.measure) == (UNTAUGHT, "mrr@10")}
    assert {name: (one.kinds, one.interval.queries, one.interval.difference) for name, one in rows.items()} == {
        "all": ("summary+user", 8, 0.5),
        "x": ("summary+user", 4, 0.5),
        "y": ("summary+user", 4, 0.5),
    }
    assert found.untaught["tuned"]["mrr@10"] == 0.5
    assert found.untaught["tuned"]["queries"] == 8
    assert not [
        one for one in compare(runs, qrels, queries, documents, "base", params, kinds).intervals if one.kind == UNTAUGHT
    ]


def test_micro_counts_each_query_once_and_macro_each_category(params):
    queries = {
        name: Query(name, name, "user", "small" if name == "q0" else "large") for name in map("q{}".format, range(5))
    }
    qrels = {name: {"a": 1} for name in queries}
    run = {name: {"a": 1.0} for name in queries} | {"q0": {}}
    found = compare({"base": run}, qrels, queries, dict.fromkeys(queries, 0), "base", params)
    assert found.measures["all"]["base"]["success@1"] == 0.8
    assert found.macro["base"]["success@1"] == 0.5


def test_every_difference_is_corrected_for_the_systems_compared_in_its_category_and_measure(params):
    names = [f"q{number}" for number in range(12)]
    queries = {name: Query(name, name, "user", "x") for name in names}
    qrels = {name: {"a": 1} for name in names}
    good = {name: {"a": 1.0} for name in names}
    runs = {"base": {name: {} for name in names[:6]} | {name: good[name] for name in names[6:]}}
    runs |= {"much": good, "little": runs["base"] | {"q0": {"a": 1.0}}, "none": runs["base"]}
    found = compare(runs, qrels, queries, {name: number for number, name in enumerate(names)}, "base", params)
    of_all = {one.system: one for one in found.intervals if (one.category, one.measure) == ("all", "mrr@10")}
    corrected = holm([of_all[system].interval.p for system in ("much", "little", "none")])
    assert [of_all[system].p_holm for system in ("much", "little", "none")] == corrected
    assert of_all["much"].p_holm == pytest.approx(3 * of_all["much"].interval.p)
    assert of_all["none"].p_holm == 1.0


def test_a_category_in_one_document_has_the_widest_interval(params):
    runs = {"base": {"q1": {}}, "tuned": {"q1": {"a": 1.0}}}
    (interval,) = {
        one.interval for one in compare(runs, {"q1": {"a": 1}}, QUERIES, {"q1": 0}, "base", params).intervals
    }
    assert (interval.low, interval.high, interval.p) == (-1.0, 1.0, 1.0)

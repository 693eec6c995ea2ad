"""Measures against values computed by hand."""

import math
import random
from typing import get_args

import ir_measures
import numpy as np
import pytest
from ir_measures import RR, R, Success, nDCG

from triptych.evaluation.metrics import METRICS, mean, mean_metric, per_query, triplet_metrics
from triptych.params.evaluation import Promote


def scored(*chunk_ids):
    """A run's hits, best first."""
    return {chunk_id: float(len(chunk_ids) - rank) for rank, chunk_id in enumerate(chunk_ids)}


def test_values_by_hand():
    qrels = {"q": {"a": 1, "b": 2, "unseen": 1}}
    values = per_query(qrels, {"q": scored("x", "a", "y", "b")})

    gained = 1 / math.log2(3) + 2 / math.log2(5)
    ideal = 2 + 1 / math.log2(3) + 1 / math.log2(4)
    assert set(values) == set(METRICS)
    assert values["recall@1"]["q"] == 0.0
    assert values["recall@5"]["q"] == pytest.approx(2 / 3)
    assert values["success@1"]["q"] == 0.0
    assert values["mrr@10"]["q"] == 0.5
    assert values["ndcg@10"]["q"] == pytest.approx(gained / ideal)


def test_every_metric_may_decide():
    assert set(get_args(Promote.model_fields["measure"].annotation)) == set(METRICS)


def test_cutoffs():
    for rank, expected in [(1, 1.0), (10, 0.1), (11, 0.0)]:
        hits = [f"x{number}" for number in range(60)]
        hits[rank - 1] = "a"
        assert per_query({"q": {"a": 1}}, {"q": scored(*hits)})["mrr@10"]["q"] == pytest.approx(expected)
    hits = [f"x{number}" for number in range(60)]
    hits[49], hits[50] = "a", "b"
    values = per_query({"q": {"a": 1, "b": 1}}, {"q": scored(*hits)})
    assert values["recall@50"]["q"] == 0.5
    assert values["recall@10"]["q"] == 0.0
    assert values["ndcg@10"]["q"] == 0.0


def test_every_judged_query_is_present_and_no_other():
    qrels = {"found": {"a": 1}, "missing": {"a": 1}, "empty": {"a": 1}, "nothing relevant": {"a": 0}}
    run = {"found": scored("a"), "empty": {}, "nothing relevant": scored("a"), "unjudged": scored("a")}
    for values in per_query(qrels, run).values():
        assert values == {"found": 1.0, "missing": 0.0, "empty": 0.0, "nothing relevant": 0.0}


def test_ties_go_to_the_smaller_id_in_every_measure():
    run = {"q": {"b": 1.0, "a": 1.0}}
    first, second = per_query({"q": {"a": 1}}, run), per_query({"q": {"b": 1}}, run)
    for name in ("recall@1", "mrr@10", "ndcg@10"):
        assert first[name]["q"] == 1.0
        assert second[name]["q"] < 1.0


def test_values_equal_trec_evals_ties_included():
    """trec_eval gives equal scores to the larger id; ids turned around, the smaller comes first, as it does here."""
    draw = random.Random(11)
    qrels = {
        f"q{number}": {f"c{one:02}": draw.randint(0, 3) for one in draw.sample(range(80), draw.randint(1, 9))}
        for number in range(60)
    }
    # Halves and quarters: many ties, and nothing that single precision would change.
    run = {query: {f"c{one:02}": draw.randint(0, 9) / 4 for one in draw.sample(range(80), 60)} for query in qrels}

    def turned(table):
        return {
            query: {f"c{99 - int(one[1:]):02}": value for one, value in row.items()} for query, row in table.items()
        }

    theirs = {"success@1": Success @ 1, "ndcg@10": nDCG @ 10} | {f"recall@{k}": R @ k for k in (1, 5, 10, 50)}
    expected = {
        (name, one.query_id): one.value
        for name, measure in theirs.items()
        for one in ir_measures.pytrec_eval.iter_calc([measure], turned(qrels), turned(run))
    }
    for one in ir_measures.pytrec_eval.iter_calc([RR], turned(qrels), turned(run)):  # 0.1 is rank 10
        expected["mrr@10", one.query_id] = one.value if one.value > 0.0999 else 0.0
    found = per_query(qrels, run)
    assert {(name, query) for name in METRICS for query in qrels} == expected.keys()
    for (name, query), value in expected.items():
        assert found[name][query] == pytest.approx(value, abs=1e-6), (name, query)


def test_scores_are_compared_in_double_precision():
    run = {"q": {"a": 1.0, "b": 1.0 + 1e-12}}
    assert per_query({"q": {"b": 1}}, run)["recall@1"]["q"] == 1.0
    assert per_query({"q": {"a": 1}}, run)["mrr@10"]["q"] == 0.5


def test_the_order_of_dicts_changes_nothing():
    shuffler = random.Random(3)
    qrels = {f"q{number}": {f"c{number % 7}": 1, f"c{number % 5}": 2} for number in range(20)}
    run = {query: {f"c{number}": shuffler.choice([0.1, 0.2, 0.3]) for number in range(30)} for query in qrels}

    def shuffled(table):
        return {
            key: dict(shuffler.sample(list(table[key].items()), len(table[key])))
            for key in shuffler.sample(list(table), len(table))
        }

    expected = per_query(qrels, run)
    found = per_query(shuffled(qrels), shuffled(run))
    assert found == expected
    assert [list(values) for values in found.values()] == [list(values) for values in expected.values()]
    assert mean(found["mrr@10"], reversed(list(qrels))) == mean(expected["mrr@10"], qrels)


def test_a_score_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match=r"query 'q'.*chunk 'a' is nan"):
        per_query({"q": {"a": 1}}, {"q": {"a": math.nan}})


def test_mean():
    values = {"a": 1.0, "b": 0.0, "c": 0.5}
    assert mean(values, ["a", "c"]) == 0.75
    with pytest.raises(ValueError, match="at least one query"):
        mean(values, [])
    with pytest.raises(KeyError):
        mean(values, ["unjudged"])
    qrels = {"found": {"a": 1}, "missing": {"a": 1}}
    assert mean_metric("mrr@10", qrels, {"found": scored("x", "a")}) == 0.25


def test_triplet_measures():
    found = triplet_metrics(np.array([0.9, 0.5, 0.4, 0.2]), np.array([0.1, 0.5, 0.6, 0.0]))
    assert found == {
        "triplet_accuracy": 0.5,  # the tie is no success
        "mean_positive_similarity": pytest.approx(0.5),
        "mean_negative_similarity": pytest.approx(0.3),
        "margin": pytest.approx(0.2),
    }
    assert all(type(value) is float for value in found.values())


@pytest.mark.parametrize(
    ("positive", "negative", "message"),
    [
        ([], [], "shapes"),
        ([0.1], [0.1, 0.2], "shapes"),
        ([[0.1]], [[0.1]], "shapes"),
        ([math.nan], [0.1], "finite"),
    ],
)
def test_triplet_measures_refuse_what_they_cannot_average(positive, negative, message):
    with pytest.raises(ValueError, match=message):
        triplet_metrics(np.array(positive), np.array(negative))

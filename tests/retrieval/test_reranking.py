"""Reranking against values computed by hand."""

from functools import partial

import pytest

from triptych.corpus.records import ALL, Query
from triptych.evaluation.comparison import missing_from_top
from triptych.evaluation.metrics import mean_metric
from triptych.retrieval.reranking import Reranking, choose_reranking

FIRST = {"q": {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0, "e": 0.5}}
SCORES = {"q": {"a": -3.0, "b": 0.0, "c": 3.0, "d": 9.0}}


def order(depth, weight):
    hits = Reranking(depth, weight).rerank(FIRST, SCORES)["q"]
    assert sorted(hits, key=hits.get, reverse=True) == list(hits)
    assert len(set(hits.values())) == len(hits)
    return list(hits)


def test_weight_one_is_the_rerankers_order_of_the_best_hits_and_those_behind_stay():
    assert order(3, 1.0) == ["c", "b", "a", "d", "e"]
    assert order(4, 1.0) == ["d", "c", "b", "a", "e"]


def test_weight_zero_leaves_the_run_as_it_is():
    assert Reranking(3, 0.0).rerank(FIRST, SCORES) == FIRST


def test_between_them_both_standardized_scores_count():
    # Of a, b, c the first stage's are 1, 0, -1 and the reranker's -1, 0, 1, in deviations.
    assert order(3, 0.4) == ["a", "b", "c", "d", "e"]
    assert order(3, 0.6) == ["c", "b", "a", "d", "e"]


def test_what_does_not_help_on_dev_is_not_done():
    measure = partial(mean_metric, "mrr@10")
    ways = [Reranking(depth, weight) for depth in (3, 4) for weight in (0.0, 0.6, 1.0)]
    assert choose_reranking(FIRST, SCORES, ways, {"q": {"a": 1}}, measure)[0].weight == 0.0
    assert choose_reranking(FIRST, SCORES, ways, {"q": {"c": 1}}, measure)[0] == Reranking(3, 0.6)
    chosen, means = choose_reranking(FIRST, SCORES, ways, {"q": {"d": 1}}, measure)
    assert chosen == Reranking(4, 0.6)
    assert means[chosen] == pytest.approx(1.0)


def test_answers_missing_from_the_top_are_counted_by_category():
    qrels = {"q1": {"a": 1}, "q2": {"z": 1, "b": 1}, "q3": {"x": 1}, "q4": {"a": 0, "y": 2}}
    queries = {one: Query(one, "", "user", "left" if one < "q3" else "right") for one in qrels}
    run = {one: {"a": 3.0, "b": 2.0, "x": 1.0} for one in ("q1", "q2", "q3")}
    assert missing_from_top(run, qrels, queries, 2) == {ALL: 0.5, "left": 0.0, "right": 1.0}
    assert missing_from_top(run, qrels, queries, 3) == {ALL: 0.25, "left": 0.0, "right": 0.5}

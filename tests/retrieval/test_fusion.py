"""Fusion against values computed by hand."""

import math
import random
from functools import partial

import pytest

from triptych.evaluation.metrics import mean_metric
from triptych.retrieval.fusion import Fusion, choose_fusion


def zscore_fusion(dense, lexical, dense_weight, depth):
    return Fusion("zscore", dense_weight).fuse(dense, lexical, depth)


def rrf(dense, lexical, dense_weight, depth):
    return Fusion("rrf", dense_weight).fuse(dense, lexical, depth)


def zscores(*weights):
    return [Fusion("zscore", weight) for weight in weights]


def test_values_by_hand():
    # Deviations: sqrt(2/3) around 2 for the dense list, 1 around 11 for the lexical one.
    fused = zscore_fusion({"q": {"a": 3.0, "b": 2.0, "c": 1.0}}, {"q": {"c": 12.0, "d": 10.0}}, 0.75, 10)
    high = math.sqrt(1.5)
    assert fused["q"] == {
        "a": pytest.approx(0.75 * high - 0.25),
        "b": pytest.approx(-0.25),
        "c": pytest.approx(-0.75 * high + 0.25),
        "d": pytest.approx(-0.75 * high - 0.25),
    }
    assert list(fused["q"]) == ["a", "b", "c", "d"]


def test_scale_and_offset_of_a_system_do_not_matter():
    dense, lexical = {"q": {"a": 0.9, "b": 0.7, "c": 0.2}}, {"q": {"b": 5.0, "c": 1.0}}
    moved = {"q": {chunk: 40.0 * score + 3.0 for chunk, score in lexical["q"].items()}}
    assert zscore_fusion(dense, moved, 0.5, 9)["q"] == pytest.approx(zscore_fusion(dense, lexical, 0.5, 9)["q"])


def test_the_ends_of_the_weight_are_the_systems():
    dense, lexical = {"q": {"a": 3.0, "b": 2.0, "c": 1.0}}, {"q": {"a": 1.0, "b": 2.0, "c": 3.0}}
    assert list(zscore_fusion(dense, lexical, 1.0, 9)["q"]) == ["a", "b", "c"]
    assert list(zscore_fusion(dense, lexical, 0.0, 9)["q"]) == ["c", "b", "a"]


def test_equal_scores_of_a_system_say_nothing():
    # 0.1 seven times: the sum rounds, and a deviation of rounding errors must not be divided by.
    flat = {"q": dict.fromkeys("abcdefg", 0.1)}
    fused = zscore_fusion({"q": {"b": 2.0, "a": 1.0}}, flat, 0.5, 2)
    assert fused["q"] == {"b": 0.5, "a": -0.5}
    assert zscore_fusion(flat, {}, 1.0, 9)["q"] == dict.fromkeys("abcdefg", 0.0)
    assert zscore_fusion({"q": {"a": 4.0}}, {}, 1.0, 9) == {"q": {"a": 0.0}}


def test_ties_go_to_the_smaller_id_and_depth_cuts():
    fused = zscore_fusion({"q": {"b": 1.0, "c": 1.0, "a": 1.0}}, {}, 0.5, 2)
    assert list(fused["q"]) == ["a", "b"]


def test_queries_of_either_run_are_kept():
    fused = zscore_fusion({"left": {"a": 2.0, "b": 1.0}, "none": {}}, {"right": {"c": 5.0, "d": 1.0}}, 0.25, 9)
    assert fused == {"left": {"a": 0.25, "b": -0.25}, "none": {}, "right": {"c": 0.75, "d": -0.75}}


def test_reciprocal_ranks_by_hand():
    # Scores do not matter, ranks do; b and c are equal in the dense list, where b comes first.
    fused = rrf({"q": {"a": 9.0, "c": 0.1, "b": 0.1}}, {"q": {"c": 12.0, "d": 10.0}}, 0.75, 10)["q"]
    assert fused == {
        "c": pytest.approx(0.75 / 63 + 0.25 / 61),
        "a": pytest.approx(0.75 / 61),
        "b": pytest.approx(0.75 / 62),
        "d": pytest.approx(0.25 / 62),
    }
    assert list(fused) == ["c", "a", "b", "d"]


def test_reciprocal_ranks_with_equal_weights_rank_as_cormack_et_al_do():
    draw = random.Random(4)
    runs = [{"q": {f"c{number}": draw.random() for number in draw.sample(range(40), 30)}} for _ in range(2)]
    ranked = [sorted(run["q"], key=lambda chunk, run=run: -run["q"][chunk]) for run in runs]
    every = {chunk for ranks in ranked for chunk in ranks}
    theirs = {chunk: sum(1 / (60 + ranks.index(chunk) + 1) for ranks in ranked if chunk in ranks) for chunk in every}
    assert list(rrf(*runs, 0.5, 99)["q"]) == sorted(theirs, key=lambda chunk: (-theirs[chunk], chunk))


def test_with_all_weight_on_one_side_reciprocal_ranks_keep_its_order():
    dense, lexical = {"q": {"a": 3.0, "b": 2.0}}, {"q": {"c": 9.0, "b": 1.0}}
    assert list(rrf(dense, lexical, 1.0, 9)["q"]) == ["a", "b", "c"]
    assert list(rrf(dense, lexical, 0.0, 9)["q"]) == ["c", "b", "a"]
    assert rrf({"q": {}}, {}, 0.5, 9) == {"q": {}}


@pytest.mark.parametrize("method", ["zscore", "rrf"])
def test_the_order_of_dicts_changes_no_bit(method):
    fusion = Fusion(method, 0.7)
    draw = random.Random(1)
    dense = {f"c{number}": draw.random() for number in range(100)}
    lexical = {f"c{number}": draw.random() * 30 for number in range(50, 150)}

    def shuffled(hits):
        return dict(draw.sample(list(hits.items()), len(hits)))

    expected = fusion.fuse({"q": dense}, {"q": lexical}, 100)["q"]
    for _ in range(20):
        found = fusion.fuse({"q": shuffled(dense)}, {"q": shuffled(lexical)}, 100)["q"]
        assert list(found.items()) == list(expected.items())


def test_the_best_on_dev_is_chosen():
    # The dense run ranks a first for q1; only the lexical one does for q2.
    dense = {"q1": {"a": 2.0, "x": 1.0}, "q2": {"x": 2.0, "a": 1.0}}
    lexical = {"q1": {"a": 2.0, "x": 1.0}, "q2": {"a": 2.0, "x": 1.0}}
    qrels = {"q1": {"a": 1}, "q2": {"a": 1}}
    candidates = zscores(0.9, 0.2, 0.1)
    chosen, means = choose_fusion(dense, lexical, candidates, qrels, partial(mean_metric, "mrr@10"))
    assert list(means.values()) == [0.75, 1.0, 1.0]
    assert chosen == Fusion("zscore", 0.2)  # the larger weight of the two best


def test_of_equal_weights_the_method_named_first_is_chosen():
    dense, lexical, qrels = {"q": {"a": 2.0, "x": 1.0}}, {"q": {"a": 2.0}}, {"q": {"a": 1}}
    mrr = partial(mean_metric, "mrr@10")
    for order in (["zscore", "rrf"], ["rrf", "zscore"]):
        chosen, _ = choose_fusion(dense, lexical, [Fusion(method, 0.5) for method in order], qrels, mrr)
        assert chosen.method == order[0]


def test_the_choice_looks_at_the_given_queries_only():
    dense = {"dev": {"a": 2.0, "x": 1.0}, "test": {"x": 2.0, "a": 1.0}}
    lexical = {"dev": {"x": 2.0, "a": 1.0}, "test": {"a": 2.0, "x": 1.0}}
    mrr = partial(mean_metric, "mrr@10")
    assert choose_fusion(dense, lexical, zscores(0.1, 0.9), {"dev": {"a": 1}}, mrr)[0].dense_weight == 0.9
    assert choose_fusion(dense, lexical, zscores(0.1, 0.9), {"test": {"a": 1}}, mrr)[0].dense_weight == 0.1


def test_senseless_settings_are_refused():
    for weight, depth in [(-0.1, 5), (1.1, 5), (0.5, 0)]:
        with pytest.raises(ValueError, match="expected a weight"):
            zscore_fusion({}, {}, weight, depth)
    with pytest.raises(ValueError, match="at least one candidate"):
        choose_fusion({}, {}, [], {"q": {"a": 1}}, partial(mean_metric, "mrr@10"))

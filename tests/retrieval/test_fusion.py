"""Fusion against values computed by hand."""

import math
import random
from functools import partial

import pytest

from triptych.evaluation.measures import mean_measure
from triptych.retrieval.fusion import choose_weight, zscore_fusion


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


def test_the_order_of_dicts_changes_no_bit():
    draw = random.Random(1)
    dense = {f"c{number}": draw.random() for number in range(100)}
    lexical = {f"c{number}": draw.random() * 30 for number in range(50, 150)}

    def shuffled(hits):
        return dict(draw.sample(list(hits.items()), len(hits)))

    expected = zscore_fusion({"q": dense}, {"q": lexical}, 0.7, 100)["q"]
    for _ in range(20):
        found = zscore_fusion({"q": shuffled(dense)}, {"q": shuffled(lexical)}, 0.7, 100)["q"]
        assert list(found.items()) == list(expected.items())


def test_choose_weight():
    # The dense run ranks a first for q1; only the lexical one does for q2.
    dense = {"q1": {"a": 2.0, "x": 1.0}, "q2": {"x": 2.0, "a": 1.0}}
    lexical = {"q1": {"a": 2.0, "x": 1.0}, "q2": {"a": 2.0, "x": 1.0}}
    qrels = {"q1": {"a": 1}, "q2": {"a": 1}}
    weight, means = choose_weight(dense, lexical, [0.9, 0.2, 0.1], qrels, partial(mean_measure, "mrr@10"))
    assert means == {0.9: 0.75, 0.2: 1.0, 0.1: 1.0}
    assert weight == 0.2  # the larger of the two best


def test_choose_weight_looks_at_the_given_queries_only():
    dense, lexical = (
        {"dev": {"a": 2.0, "x": 1.0}, "test": {"x": 2.0, "a": 1.0}},
        {
            "dev": {"x": 2.0, "a": 1.0},
            "test": {"a": 2.0, "x": 1.0},
        },
    )
    mrr = partial(mean_measure, "mrr@10")
    assert choose_weight(dense, lexical, [0.1, 0.9], {"dev": {"a": 1}}, mrr)[0] == 0.9
    assert choose_weight(dense, lexical, [0.1, 0.9], {"test": {"a": 1}}, mrr)[0] == 0.1


def test_senseless_settings_are_refused():
    for weight, depth in [(-0.1, 5), (1.1, 5), (0.5, 0)]:
        with pytest.raises(ValueError, match="expected a weight"):
            zscore_fusion({}, {}, weight, depth)
    with pytest.raises(ValueError, match="at least one dense weight"):
        choose_weight({}, {}, [], {"q": {"a": 1}}, partial(mean_measure, "mrr@10"))

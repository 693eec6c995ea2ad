"""Shares of strategies: promised by params.yaml, kept over all anchors, whatever their number."""

import numpy as np
import pytest
from corpora import look_alikes, pools, topics
from hypothesis import given, settings
from hypothesis import strategies as st

from triptych.triplets.heuristics.tier_rules import cross_category_quota, easy_quotas

EASY = ("other_domain", "other_file", "other_path", "low_lexical", "random")


def shares_of(parts):
    return {name: part / sum(parts) for name, part in zip(EASY, parts, strict=True)}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 6), min_size=5, max_size=5).filter(any), st.integers(1, 6), st.integers(0, 10**6))
def test_easy_negatives_are_divided_among_the_easy_strategies_by_their_shares(params_with, parts, size, start):
    shares = shares_of(parts)
    changes = {"triplets.tiers.easy.strategies": shares, "triplets.negatives_per_anchor": size}
    quotas = easy_quotas(np.arange(start, start + 2000), params_with(**changes).triplets)
    assert (sum(quotas.values()) == size).all()
    for strategy, share in shares.items():
        assert quotas[strategy].mean() / size == pytest.approx(share, abs=0.005)
        assert share > 0 or not quotas[strategy].any()


def test_easy_quotas_do_not_repeat_from_anchor_to_anchor(params_with):
    quotas = np.stack(list(easy_quotas(np.arange(200), params_with().triplets).values()), axis=1)
    for period in range(1, 12):
        assert (quotas[period:] != quotas[:-period]).any()


@pytest.mark.parametrize("parts", [(6, 1, 1, 1, 1), (0, 1, 1, 1, 1), (1, 0, 0, 1, 0)])
def test_easy_negatives_have_the_shares_of_their_strategies(params_with, parts):
    shares = shares_of(parts)
    params = params_with(**{"triplets.tiers.easy.strategies": shares}).triplets
    easy = [one.strategy for pool in pools(topics(300), params) for one in pool if one.tier == "easy"]
    assert len(easy) == 300 * params.negatives_per_anchor
    for strategy, share in shares.items():
        assert easy.count(strategy) / len(easy) == pytest.approx(share, abs=0.02), strategy


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.floats(0, 1), st.integers(1, 8), st.integers(1, 400))
def test_share_of_another_category_holds_over_all_anchors(params_with, share, size, number):
    changes = {"triplets.cross_category_hard": share, "triplets.negatives_per_anchor": size}
    quota = cross_category_quota(np.arange(number), params_with(**changes).triplets)
    assert abs(quota.sum() - share * size * number) < 1
    assert quota.max() - quota.min() <= 1


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 1.0])
def test_share_of_hard_negatives_is_of_another_category(params_with, share):
    chunks = look_alikes(40)
    params = params_with(**{"triplets.cross_category_hard": share}).triplets
    hard = [(row, one) for row, pool in enumerate(pools(chunks, params)) for one in pool if one.tier == "hard"]
    assert len(hard) == 40 * params.negatives_per_anchor
    other = [chunks[row].category != chunks[one.chunk].category for row, one in hard]
    assert np.mean(other) == pytest.approx(share)
    assert [one.strategy == "cross_category" for _, one in hard] == other

"""Several epochs: caps hold in each, and no negative is repeated before its pool is used up."""

from collections import Counter, defaultdict
from itertools import islice

import numpy as np
import pytest
from corpora import LEAD_ROWS, Example, example, example_sets, examples_of, pairs_of, views
from hypothesis import given, settings
from hypothesis import strategies as st

from triptych.triplets.negatives import TIERS, Negative
from triptych.triplets.sampling.epoch_sampler import EpochSampler, epochs, sample, tier_shares

LEADS = examples_of(LEAD_ROWS)
RANDOM = settings(max_examples=40, deadline=None, derandomize=True)


@pytest.fixture(scope="session")
def with_caps(params_with):
    """Return params of triplets whose only view is lead."""

    def load(anchor=10**6, negative=10**6):
        changes = {"views": views(lead=1.0), "cap_per_anchor": anchor, "cap_per_negative": negative}
        return params_with(**{f"triplets.{key}": one for key, one in changes.items()}).triplets

    return load


def equal(one, other):
    same = np.array_equal(one.example, other.example) and np.array_equal(one.negative, other.negative)
    return same and one.shortfall == other.shortfall


@RANDOM
@given(example_sets(), st.integers(1, 5), st.integers(1, 6), st.integers(0, 9), st.integers(1, 60))
def test_caps_hold_in_every_epoch(with_caps, examples, anchor, negative, seed, size):
    for draw in islice(epochs(examples, with_caps(anchor, negative), "embedder", seed, size), 3):
        pairs = pairs_of(examples, draw)
        of_positive = Counter((one.positive_chunk, found.tier) for one, found in pairs)
        of_negative = Counter(found.chunk for _, found in pairs)
        assert max(of_positive.values(), default=0) <= anchor
        assert max(of_negative.values(), default=0) <= negative
        missing = size - sum(why["missing"] for why in draw.shortfall.values())
        assert len(pairs) == missing


@RANDOM
@given(example_sets(full=True), st.integers(2, 6), st.integers(3, 8), st.integers(0, 9))
def test_mix_holds_to_the_nearest_row_though_caps_are_met(with_caps, examples, anchor, negative, seed):
    draw = sample(examples, with_caps(anchor, negative), "embedder", 0, seed, 80)
    for category, shares in tier_shares(examples, draw).items():
        if len(Counter(tier for tier, share in shares.items() if share)) < 3:
            assert "missing" in draw.shortfall[category]  # all rows of a tier met the cap
            continue
        rows = int((examples.category[draw.example] == examples.categories.index(category)).sum())
        for tier, wanted in {"easy": 0.3, "medium": 0.4, "hard": 0.3}.items():
            assert abs(shares[tier] - wanted) < 1 / rows


def test_row_that_meets_a_cap_gets_another_tier_and_the_epoch_stays_whole(params_with):
    changes = {"views": views(lead=1.0), "cap_per_negative": 1, "cap_per_anchor": 9}
    mix = {"easy": 0.5, "medium": 0.0, "hard": 0.5}
    params = params_with(**{f"triplets.{key}": one for key, one in changes.items()},
                         **{"triplets.profiles.embedder": mix}).triplets  # fmt: skip
    easy = [Negative(row, "easy", "random", 0.0) for row in range(20)]
    hard = [Negative(99 if row < 10 else 50 + row, "hard", "overlap", 0.0) for row in range(20)]
    examples = examples_of(
        Example(row, row, row, "lead", "lists", pair) for row, pair in enumerate(zip(easy, hard, strict=True))
    )
    for seed in range(5):
        draw = sample(examples, params, "embedder", 0, seed)
        assert draw.shortfall == {}
        assert Counter(found.tier for _, found in pairs_of(examples, draw)) == {"easy": 10, "hard": 10}


def test_cap_that_is_met_is_named_as_the_cause(with_caps):
    shared = examples_of([example(number, positive=0) for number in range(20)])
    draw = sample(shared, with_caps(anchor=2), "embedder", 0, 1)
    assert draw.shortfall["lists"]["missing"] == 20 - len(draw.example) > 0
    assert {cause for cause in draw.shortfall["lists"] if cause.endswith("_capped")}
    assert not {cause for cause in draw.shortfall["lists"] if cause.endswith("_empty")}


@RANDOM
@given(example_sets(), st.integers(0, 4), st.integers(0, 99), st.integers(1, 40))
def test_epoch_is_a_function_of_its_number_and_seed(with_caps, examples, epoch, seed, size):
    params = with_caps(3, 4)
    again = list(islice(epochs(examples, params, "embedder", seed, size), epoch + 1))[epoch]
    assert equal(sample(examples, params, "embedder", epoch, seed, size), again)
    assert equal(sample(examples, params, "embedder", epoch, seed, size), again)


def test_seed_draws_otherwise(with_caps):
    one, other = (pairs_of(LEADS, sample(LEADS, with_caps(), "embedder", 0, seed)) for seed in (1, 2))
    assert len({found.chunk for _, found in one} & {found.chunk for _, found in other}) < 15


def test_short_runs_with_other_seeds_meet_other_examples(with_caps):
    one, other = (EpochSampler(LEADS, with_caps(), "embedder", seed, 8).draw(8).example.tolist() for seed in (1, 2))
    assert sorted(one) != sorted(other)


@pytest.mark.parametrize("tier", TIERS)
def test_next_epoch_brings_other_negatives(with_caps, tier):
    params = with_caps()
    met = [
        {found.chunk for _, found in pairs_of(LEADS, sample(LEADS, params, "embedder", epoch, 1)) if found.tier == tier}
        for epoch in range(3)
    ]
    assert min(map(len, met)) >= 6
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert not met[one] & met[other]


def test_hard_negatives_of_an_anchor_are_others_each_epoch_until_all_were_met(params_with):
    changes = {
        "triplets.views": views(lead=1.0),
        "triplets.profiles.embedder": {"easy": 0.0, "medium": 0.0, "hard": 1.0},
    }
    drawing = islice(epochs(LEADS, params_with(**changes).triplets, "embedder", 7), 8)
    met = defaultdict(list)
    for draw in drawing:
        for one, found in pairs_of(LEADS, draw):
            met[one.anchor].append(found.chunk)
    assert len(met) == 20
    for chunks in met.values():
        assert len(set(chunks[:4])) == len(set(chunks[4:])) == 4


@RANDOM
@given(example_sets(), st.integers(0, 9), st.integers(1, 50))
def test_no_negative_comes_back_before_its_tier_of_the_pool_is_used_up(with_caps, examples, seed, size):
    met = defaultdict(list)
    for draw in islice(epochs(examples, with_caps(), "embedder", seed, size), 6):
        for place in draw.negative.tolist():
            met[int(examples.pool.anchors[place]), int(examples.pool.tier[place])].append(place)
    pool = examples.pool
    for (anchor, tier), places in met.items():
        whole = set(np.flatnonzero((pool.anchors == anchor) & (pool.tier == tier)).tolist())
        for start in range(0, len(places), len(whole)):
            turn = places[start : start + len(whole)]
            assert len(set(turn)) == len(turn)
            assert set(turn) == whole or len(turn) < len(whole)


@RANDOM
@given(example_sets(full=True), st.integers(0, 9), st.integers(1, 50))
def test_no_example_is_repeated_before_all_of_its_category_were_sampled(with_caps, examples, seed, size):
    met = defaultdict(list)
    for draw in islice(epochs(examples, with_caps(), "embedder", seed, size), 4):
        for row in np.sort(draw.example).tolist():
            met[int(examples.category[row])].append(row)
    for category, rows in met.items():
        times = np.bincount(rows, minlength=len(examples))[examples.category == category]
        assert times.max() - times.min() <= 1


def test_epoch_is_as_large_as_the_examples_unless_asked_otherwise(with_caps):
    assert len(sample(LEADS, with_caps(), "embedder", 0, 1).example) == 20
    assert len(sample(LEADS, with_caps(), "embedder", 3, 1, size=33).example) == 33

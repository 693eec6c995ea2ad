"""Sampling of triplets: the mix of views, categories and tiers holds, and negatives are of the example's own pool."""

from collections import Counter

import numpy as np
import pytest
from corpora import LEAD_ROWS, example, example_sets, examples_of, pairs_of, views
from hypothesis import given, settings
from hypothesis import strategies as st

from triptych.errors import UserError
from triptych.params.triplets import PROFILES
from triptych.triplets.false_negatives import Relations
from triptych.triplets.heuristics.pools import PoolBuilder
from triptych.triplets.negatives import TIERS
from triptych.triplets.sampling.epoch_sampler import EpochSampler, anchors_for_run, apportion, sample, tier_shares
from triptych.triplets.views import anchors

MIX = {"easy": 0.3, "medium": 0.4, "hard": 0.3}
FEW_EASY = {"easy": 0.0, "medium": 0.25, "hard": 0.75}
TWO = LEAD_ROWS + [example(100 + number, category="tables") for number in range(5)]


@pytest.fixture
def sampled(params_with):
    """Sample an epoch of (example, negative) from a list of examples, by default without caps."""

    def run(rows, number=None, mix=MIX, shares=None, seed=5, **changes):
        free = {"cap_per_anchor": 10**6, "cap_per_negative": 10**6, "repeat_anchors": 10**6}
        params = params_with(
            **{"triplets.views": views(**(shares or {"lead": 1.0})), "triplets.profiles.embedder": mix},
            **{f"triplets.{key}": value for key, value in (free | changes).items()},
        ).triplets
        examples = examples_of(rows)
        found = sample(examples, params, "embedder", 0, seed, number)
        return pairs_of(examples, found), found

    return run


def tiers_of(pairs):
    return Counter(negative.tier for _, negative in pairs)


def categories_of(pairs):
    return Counter(one.category for one, _ in pairs)


@pytest.mark.parametrize("mix", [MIX, FEW_EASY, {"easy": 1.0, "medium": 0.0, "hard": 0.0}])
@pytest.mark.parametrize("number", [1, 7, 50, 333])
def test_mix_holds_in_every_category_to_the_nearest_row(sampled, mix, number):
    pairs, found = sampled(TWO, number, mix)
    assert len(pairs) == number
    assert found.shortfall == {}
    for category in categories_of(pairs):
        tiers = tiers_of([pair for pair in pairs if pair[0].category == category])
        for tier in TIERS:
            assert abs(tiers[tier] - mix[tier] * tiers.total()) < 1


@settings(max_examples=100, deadline=None, derandomize=True)
@given(example_sets(), st.integers(1, 60), st.integers(0, 9), st.lists(st.integers(0, 5), min_size=3, max_size=3))
def test_mix_holds_or_missing_triplets_are_reported_with_their_cause(params_with, examples, number, seed, parts):
    mix = {tier: (part + 1) / sum(one + 1 for one in parts) for tier, part in zip(TIERS, parts, strict=True)}
    changes = {"triplets.views": views(lead=1.0), "triplets.profiles.reranker": mix}
    params = params_with(**changes).triplets
    found = sample(examples, params, "reranker", 0, seed, number)
    wanted = apportion(dict.fromkeys(examples.categories, 1.0), number)
    pairs = pairs_of(examples, found)
    for category, rows in wanted.items():
        tiers = tiers_of([pair for pair in pairs if pair[0].category == category])
        if category not in found.shortfall:
            assert tiers == Counter({tier: part for tier, part in apportion(mix, rows).items() if part})
            continue
        why = found.shortfall[category]
        assert why["missing"] == rows - tiers.total() > 0
        assert any(cause.endswith(("_empty", "_capped")) and times > 0 for cause, times in why.items())
        if len(tiers) == 3:
            assert tiers == Counter({tier: part for tier, part in apportion(mix, tiers.total()).items() if part})


@settings(max_examples=60, deadline=None, derandomize=True)
@given(example_sets(full=True), st.integers(100, 400), st.integers(0, 9), st.sampled_from(PROFILES))
def test_mix_holds_within_one_percentage_point_where_every_pool_has_every_tier(params_with, examples, size, seed, name):
    changes = {"triplets.views": views(lead=1.0), "triplets.cap_per_anchor": 10**6, "triplets.cap_per_negative": 10**6}
    params = params_with(**changes).triplets
    found = sample(examples, params, name, 0, seed, size)
    assert (len(found.example), found.shortfall) == (size, {})
    for category, shares in tier_shares(examples, found).items():
        rows = int((examples.category[found.example] == examples.categories.index(category)).sum())
        for tier, wanted in getattr(params.profiles, name).model_dump().items():
            assert abs(shares[tier] - wanted) < max(0.01, 1 / rows)


@pytest.mark.parametrize("profile", PROFILES)
def test_mix_of_real_documentation_holds_within_one_percentage_point(tiny_corpus, params_with, profile):
    changes = {"triplets.views": views(lead=0.4, sentence=0.4, heading=0.2), "triplets.cap_per_negative": 200}
    params = params_with(**changes).triplets
    found = anchors(tiny_corpus.chunks, tiny_corpus.links, {}, {}, set(), params)
    pool = PoolBuilder(tiny_corpus.chunks, "train", Relations(tiny_corpus.chunks, tiny_corpus.links), params).build(
        found
    )
    rows = [example(row, one.view, tiny_corpus.chunks[one.positive].category, (), positive=one.positive)
            for row, one in enumerate(found)]  # fmt: skip
    examples = examples_of(rows, pool.pools[profile])
    draw = sample(examples, params, profile, 0, 1, 500)
    assert (len(draw.example), draw.shortfall) == (500, {})
    shares = tier_shares(examples, draw)
    assert shares.keys() == {"fft", "linalg"}
    for category in shares:
        for tier, wanted in getattr(params.profiles, profile).model_dump().items():
            assert abs(shares[category][tier] - wanted) <= 0.01


def test_reported_shares_are_those_of_the_sampled_triplets(params_with):
    params = params_with(**{"triplets.views": views(lead=1.0), "triplets.cap_per_anchor": 100}).triplets
    examples = examples_of(TWO)
    shares = tier_shares(examples, sample(examples, params, "embedder", 0, 5, 200))
    assert shares == {name: pytest.approx(MIX) for name in ("lists", "tables")}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(example_sets(), st.integers(1, 80), st.integers(0, 9))
def test_every_negative_is_of_the_examples_own_pool(params_with, examples, number, seed):
    params = params_with(**{"triplets.views": views(lead=1.0)}).triplets
    draw = sample(examples, params, "embedder", 0, seed, number)
    assert (examples.pool.anchors[draw.negative] == draw.example).all()


def test_mix_holds_where_some_examples_lack_a_tier(sampled):
    mixed = [example(number, tiers=TIERS if number % 4 else ("easy", "medium")) for number in range(40)]
    assert tiers_of(sampled(mixed, 400)[0]) == {"easy": 120, "medium": 160, "hard": 120}


def test_examples_with_one_tier_get_it_before_others_use_it_up(sampled):
    tiers = [("easy",)] * 30 + [TIERS] * 40 + [("hard",)] * 30
    pairs, _ = sampled([example(row, tiers=one) for row, one in enumerate(tiers)], 100)
    assert tiers_of(pairs) == {"easy": 30, "medium": 40, "hard": 30}


@pytest.mark.parametrize("seed", range(10))
def test_mix_is_met_whenever_the_pools_allow_it(sampled, seed):
    rows = [
        example(0, tiers=("easy", "hard")),
        example(1, tiers=("easy", "medium")),
        example(2, tiers=("easy", "hard")),
    ]
    pairs, _ = sampled(rows, 3, dict.fromkeys(TIERS, 1 / 3), seed=seed)
    assert tiers_of(pairs) == {"easy": 1, "medium": 1, "hard": 1}


def test_tier_that_no_pool_has_makes_the_sample_smaller_but_relabels_nothing(sampled):
    pairs, found = sampled([example(number, tiers=("easy", "medium")) for number in range(20)], 100)
    assert tiers_of(pairs) == {"easy": 30, "medium": 40}
    assert found.shortfall == {"lists": {"missing": 30, "hard_empty": 100}}


@pytest.mark.parametrize(
    ("balance", "lists", "tables"),
    [("equal", 30, 30), ("proportional", 48, 12), ("sqrt", 40, 20), ({"lists": 1.0, "tables": 3.0}, 15, 45)],
)
def test_categories_get_their_parts_by_balance(sampled, balance, lists, tables):
    assert categories_of(sampled(TWO, 60, balance=balance)[0]) == {"lists": lists, "tables": tables}


def test_weights_that_leave_a_category_out_are_refused_with_its_name(sampled):
    with pytest.raises(UserError, match=r"triplets\.balance: gives no weight to tables"):
        sampled(TWO, 60, balance={"lists": 1.0})


@pytest.mark.parametrize("balance", ["equal", "proportional", "sqrt", {"lists": 1.0, "tables": 2.0}])
def test_mix_holds_by_any_balance(sampled, balance):
    for category in ("lists", "tables"):
        pairs, _ = sampled(TWO, 300, balance=balance)
        tiers = tiers_of([pair for pair in pairs if pair[0].category == category])
        assert all(abs(tiers[tier] / tiers.total() - MIX[tier]) <= 0.01 for tier in TIERS)


def test_views_get_their_shares(sampled):
    rows = LEAD_ROWS + [example(200 + number, view="sentence") for number in range(3)]
    pairs, _ = sampled(rows, 80, shares={"lead": 0.75, "sentence": 0.25})
    assert Counter(one.view for one, _ in pairs) == {"lead": 60, "sentence": 20}


def test_view_without_examples_gives_its_share_to_the_others(sampled):
    rows = [*LEAD_ROWS, example(200, view="sentence")]
    pairs, _ = sampled(rows, 80, shares={"query": 0.5, "lead": 0.25, "sentence": 0.25})
    assert Counter(one.view for one, _ in pairs) == {"lead": 40, "sentence": 40}


def test_view_of_share_zero_is_not_sampled(sampled):
    assert {one.view for one, _ in sampled([*LEAD_ROWS, example(200, view="sentence")], 80)[0]} == {"lead"}


def test_small_view_brings_its_anchors_back_only_so_often_and_gives_its_rest_to_others(sampled):
    rows = LEAD_ROWS + [example(200 + number, view="query") for number in range(2)]
    pairs, _ = sampled(rows, 22, shares={"lead": 0.2, "query": 0.8}, repeat_anchors=3)
    assert Counter(one.view for one, _ in pairs) == {"query": 6, "lead": 16}


def test_no_examples_give_no_triplets(sampled):
    assert sampled([], 10)[0] == []


@pytest.mark.parametrize("number", [1, 7, 20, 50, 233])
def test_run_without_negatives_gets_as_many_anchors_as_it_asks_for_in_turn(params_with, number):
    params = params_with(**{"triplets.views": views(lead=1.0)}).triplets
    times = np.bincount(anchors_for_run(examples_of(LEAD_ROWS), params, number, 3), minlength=20)
    assert times.sum() == number
    assert number < 20 or times.min() > 0


def test_run_without_negatives_uses_anchors_that_have_none(params_with):
    params = params_with(**{"triplets.views": views(lead=1.0)}).triplets
    rows = examples_of([example(number, tiers=() if number % 2 else TIERS) for number in range(20)])
    assert sorted(anchors_for_run(rows, params, 20, 3)) == [*range(20)]


def test_run_without_negatives_keeps_the_shares_of_views_and_balance_of_categories(params_with):
    params = params_with(**{"triplets.views": views(lead=0.25, heading=0.75), "triplets.balance": "equal"}).triplets
    made = [(view, category) for view in ("lead", "heading") for category in ("lists", "tables") for _ in range(30)]
    rows = examples_of([example(number, view=view, category=category) for number, (view, category) in enumerate(made)])
    assert Counter(made[row] for row in anchors_for_run(rows, params, 80, 3)) == {
        ("lead", "lists"): 10,
        ("lead", "tables"): 10,
        ("heading", "lists"): 30,
        ("heading", "tables"): 30,
    }


def test_run_without_negatives_is_shuffled_by_its_seed(params_with):
    params = params_with(**{"triplets.views": views(lead=1.0)}).triplets
    first, again, other = (anchors_for_run(examples_of(LEAD_ROWS), params, 20, seed).tolist() for seed in (3, 3, 4))
    assert first == again
    assert first != other


@pytest.mark.parametrize("tier", TIERS)
def test_a_run_is_filled_from_the_only_pool_with_a_negative_however_few_rows_are_drawn_at_a_time(params_with, tier):
    params = params_with(**{"triplets.views": views(lead=1.0), "triplets.balance": "equal"}).triplets
    rows = [example(row, tiers=(tier,) if row == 7 else ()) for row in range(20)]
    rows += [example(100 + row, tiers=(), category="tables") for row in range(20)]
    sampler = EpochSampler(examples_of(rows), params, "embedder", seed=3, epoch=4)
    for _ in range(5):
        assert sampler.draw_exactly(4, sampler.mix, {}).example.tolist() == [7] * 4

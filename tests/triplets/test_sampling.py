"""The draw of triplets: the promised mix of views, categories and tiers, from the examples' own pools."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from triptych.triplets.tiers import TIERS, Negative

from triptych.params import Tiers, Views
from triptych.triplets.examples import Example
from triptych.triplets.sampling import apportion, sample, tier_shares
from triptych.triplets.views import VIEWS

MIX = Tiers(easy=0.3, medium=0.4, hard=0.3)
FEW_EASY = Tiers(easy=0.0, medium=0.25, hard=0.75)


def views(**shares):
    return Views(**(dict.fromkeys(VIEWS, 0.0) | shares))


def example(number, view="lead", category="lists", tiers=TIERS, size=4):
    negatives = [
        Negative(1000 * number + 10 * place + one, tier, "made", 0.0)
        for place, tier in enumerate(tiers)
        for one in range(size)
    ]
    return Example(number, 10_000 + number, number, view, category, tuple(negatives))


LEADS = [example(number) for number in range(20)]
TWO = LEADS + [example(100 + number, category="tables") for number in range(5)]


@pytest.mark.parametrize("mix", [MIX, FEW_EASY, Tiers(easy=1.0, medium=0.0, hard=0.0)])
@pytest.mark.parametrize("number", [1, 7, 50, 333])
def test_mix_holds_in_every_category_to_the_nearest_row(mix, number):
    drawn = sample(TWO, views(lead=1.0), mix, number, 5)
    assert len(drawn) == number
    for category in {one.example.category for one in drawn}:
        tiers = Counter(one.negative.tier for one in drawn if one.example.category == category)
        for tier in TIERS:
            assert abs(tiers[tier] - getattr(mix, tier) * tiers.total()) < 1


def test_shares_that_are_reported_are_those_that_were_drawn():
    shares = tier_shares(sample(TWO, views(lead=1.0), MIX, 200, 5))
    assert shares == {name: {"easy": 0.3, "medium": 0.4, "hard": 0.3} for name in ("lists", "tables")}


def test_every_negative_is_of_the_examples_own_pool_with_the_tier_it_has_there():
    for one in sample(TWO, views(lead=1.0), MIX, 400, 5):
        assert one.negative in one.example.negatives


def test_mix_holds_where_some_examples_lack_a_tier():
    mixed = [example(number, tiers=TIERS if number % 4 else ("easy", "medium")) for number in range(40)]
    drawn = sample(mixed, views(lead=1.0), MIX, 400, 5)
    assert Counter(one.negative.tier for one in drawn) == {"easy": 120, "medium": 160, "hard": 120}


def test_examples_with_one_tier_get_it_before_others_use_it_up():
    tiers = [("easy",)] * 30 + [TIERS] * 40 + [("hard",)] * 30
    drawn = sample([example(row, tiers=one) for row, one in enumerate(tiers)], views(lead=1.0), MIX, 100, 5)
    assert Counter(one.negative.tier for one in drawn) == {"easy": 30, "medium": 40, "hard": 30}


def test_tier_that_no_pool_has_makes_the_draw_smaller_but_relabels_nothing():
    easy_and_medium = [example(number, tiers=("easy", "medium")) for number in range(20)]
    drawn = sample(easy_and_medium, views(lead=1.0), MIX, 100, 5)
    assert Counter(one.negative.tier for one in drawn) == {"easy": 30, "medium": 40}


def test_categories_get_equal_parts_whatever_their_size():
    drawn = sample(TWO, views(lead=1.0), MIX, 60, 5)
    assert Counter(one.example.category for one in drawn) == {"lists": 30, "tables": 30}


def test_views_get_their_shares():
    examples = LEADS + [example(200 + number, view="sentence") for number in range(3)]
    drawn = sample(examples, views(lead=0.75, sentence=0.25), MIX, 80, 5)
    assert Counter(one.example.view for one in drawn) == {"lead": 60, "sentence": 20}


def test_view_without_examples_gives_its_share_to_the_others():
    examples = [*LEADS, example(200, view="sentence")]
    drawn = sample(examples, views(query=0.5, lead=0.25, sentence=0.25), MIX, 80, 5)
    assert Counter(one.example.view for one in drawn) == {"lead": 40, "sentence": 40}


def test_view_of_share_zero_is_not_drawn():
    examples = [*LEADS, example(200, view="sentence")]
    assert {one.example.view for one in sample(examples, views(lead=1.0), MIX, 80, 5)} == {"lead"}


def test_no_example_comes_back_before_all_were_drawn():
    times = Counter(one.example.anchor for one in sample(LEADS, views(lead=1.0), MIX, 50, 5))
    assert set(times.values()) == {2, 3}
    assert times.total() == 50


def test_no_negative_comes_back_before_its_tier_is_used_up():
    (only,) = [example(1, size=5)]
    drawn = sample([only], views(lead=1.0), Tiers(easy=0.0, medium=0.0, hard=1.0), 15, 5)
    chunks = [one.negative.chunk for one in drawn]
    assert len(set(chunks)) == 5
    assert set(Counter(chunks).values()) == {3}
    assert len(set(chunks[:5])) == 5


def test_draw_depends_on_the_seed_alone():
    one, same, other = (sample(TWO, views(lead=1.0), MIX, 60, seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_rounds_with_other_seeds_meet_other_negatives():
    one, other = ({row.negative.chunk for row in sample(LEADS, views(lead=1.0), MIX, 20, seed)} for seed in (1, 2))
    assert len(one & other) < 15


def test_short_rounds_with_other_seeds_meet_other_examples():
    one, other = ({row.example.anchor for row in sample(LEADS, views(lead=1.0), MIX, 8, seed)} for seed in (1, 2))
    assert one != other


def test_no_examples_give_no_triplets():
    assert sample([], views(lead=1.0), MIX, 10, 5) == []


def test_apportion_by_hand():
    assert apportion({"a": 0.5, "b": 0.25, "c": 0.25}, 7) == {"a": 3, "b": 2, "c": 2}
    assert apportion({"a": 1.0, "b": 1.0}, 3) == {"a": 2, "b": 1}
    assert apportion({"a": 0.0}, 3) == {}


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.floats(0.001, 1.0), min_size=1, max_size=8),
    st.integers(0, 10_000),
)
def test_apportion_gives_whole_parts_that_sum_up_and_are_off_by_less_than_one(shares, number):
    parts = apportion(shares, number)
    total = sum(shares.values())
    assert sum(parts.values()) == number
    assert all(abs(parts[key] - number * share / total) < 1 + 1e-9 for key, share in shares.items())


def _example(number, tiers):
    pool = tuple(Negative(10 * number + place, tier, "made", 0.0) for place, tier in enumerate(tiers))
    return Example(number, number, number, "lead", "api", pool)


@pytest.mark.parametrize("seed", range(10))
def test_mix_is_met_whenever_the_pools_allow_it(seed):
    third = 1 / 3
    examples = [_example(0, ["easy", "hard"]), _example(1, ["easy", "medium"]), _example(2, ["easy", "hard"])]
    views = Views(**(dict.fromkeys(VIEWS, 0.0) | {"lead": 1.0}))
    assert len(sample(examples, views, Tiers(easy=third, medium=third, hard=third), 3, seed)) == 3

"""Each shortfall of a category is a warning with its cause and a remedy that exists; without one there is none."""

from collections import Counter

import numpy as np
import pytest
from corpora import example, examples_of, views

from triptych.params.triplets import PROFILES
from triptych.triplets.negatives import STRATEGIES, TIERS
from triptych.triplets.sampling.epoch_sampler import sample
from triptych.triplets.sampling.shortfalls import cross_category_share, shortfall_warnings


@pytest.fixture
def warnings_of(params_with):
    """Return the warnings about an epoch of some examples."""

    def of(rows, chunks=None, related=0, profile="embedder", size=None, **changes):
        settings = {"views": views(lead=1.0), "min_triplets_per_category": 1, "cap_per_anchor": 100}
        settings |= {"cross_category_hard": 0.0}
        params = params_with(**{f"triplets.{key}": value for key, value in (settings | changes).items()}).triplets
        examples = examples_of(rows)
        drawn = sample(examples, params, profile, 0, 1, size)
        considered = np.full(len(examples), 10)
        return shortfall_warnings(
            examples, drawn, np.full(len(examples), related), considered, Counter(chunks or {}), params, profile
        )

    return of


def keys_of(sentence):
    return [word.strip(".,;()") for word in sentence.split() if word.startswith(("triplets.", "split."))]


def lists(number, **more):
    return [example(row, **more) for row in range(number)]


def test_no_shortfall_gives_no_warning(warnings_of):
    assert warnings_of(lists(20), {"lists": 20}) == []


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("tier", TIERS)
def test_tier_that_many_anchors_lack_is_named_with_a_remedy(warnings_of, profile, tier, params_with):
    others = tuple(one for one in TIERS if one != tier)
    rows = lists(30) + [example(100 + n, tiers=others if n < 10 else TIERS, category="tables") for n in range(30)]
    (line,) = [line for line in warnings_of(rows, profile=profile) if f"no {tier} negative" in line]
    assert line.startswith(f"tables: 33% of the anchors have no {tier} negative for the {profile}; ")
    for key in keys_of(line):
        section = params_with()
        for part in key.split("."):
            section = getattr(section, part)


def test_tier_that_few_anchors_lack_is_not_reported(warnings_of):
    rows = [example(row, tiers=TIERS if row >= 4 else ("easy", "hard")) for row in range(20)]
    assert warnings_of(rows) == []


def test_triplets_left_out_for_want_of_a_tier_are_counted_for_their_category(warnings_of):
    rows = lists(20) + [example(100 + row, category="tables", tiers=("easy", "medium")) for row in range(20)]
    lines = warnings_of(rows, size=40)
    assert "tables: 6 triplets fewer than wanted so that the mix holds (tiers without candidates); " in lines[1]
    assert not [line for line in lines if line.startswith("lists")]


def test_triplets_left_out_for_caps_are_counted_with_the_caps_as_the_remedy(warnings_of):
    (line,) = warnings_of([example(row, positive=0) for row in range(30)], cap_per_anchor=2)
    assert line.startswith("lists: ")
    assert "(caps); raise triplets.cap_per_negative or cap_per_anchor" in line


def test_anchors_whose_candidates_are_all_related_are_named_with_the_cause(warnings_of):
    lines = warnings_of(lists(5, tiers=()), related=10)
    assert any(line.startswith("lists: every candidate is related to its positive") for line in lines)
    assert not any("every candidate" in line for line in warnings_of(lists(5, tiers=()), related=9))


@pytest.mark.parametrize(
    ("floor", "chunks", "warned"), [(20, 40, None), (21, 40, 21), (1, 80, None), (1, 84, 21), (300, 2000, 500)]
)
def test_few_triplets_of_a_category_are_warned_about(warnings_of, floor, chunks, warned):
    lines = warnings_of(lists(20), {"lists": chunks}, min_triplets_per_category=floor)
    expected = [] if warned is None else [f"lists: 20 distinct triplets of {chunks} chunks, fewer than {warned}; raise"]
    assert [line[: len(expected[0])] for line in lines] == expected


def test_triplet_sampled_twice_counts_once(warnings_of):
    caps = {"cap_per_negative": 300, "cap_per_anchor": 300}
    (line,) = warnings_of([example(0, size=1)], {"lists": 4}, size=300, min_triplets_per_category=4, **caps)
    assert line.startswith("lists: 3 distinct triplets of 4 chunks, fewer than 4")


def test_category_with_chunks_but_no_anchor_is_warned_about(warnings_of):
    (line,) = warnings_of(lists(20), {"lists": 20, "maps": 3})
    assert line.startswith("maps: 0 distinct triplets of 3 chunks")


def with_strategies(*strategies):
    """Return 20 examples of two categories, whose hard negatives have these strategies in turn."""
    rows = [example(number, category=("lists", "tables")[number % 2]) for number in range(20)]
    examples = examples_of(rows)
    hard = np.flatnonzero(examples.pool.tier == TIERS.index("hard"))
    examples.pool.strategy[hard] = np.resize([STRATEGIES.index(one) for one in strategies], len(hard))
    return examples


def test_share_of_hard_negatives_of_another_category_leaves_out_imported_ones():
    assert cross_category_share(with_strategies("cross_category", "overlap", "overlap", "overlap")) == 0.25
    assert cross_category_share(with_strategies("looks_right_cross_category", "imported")) == 1.0
    assert cross_category_share(with_strategies("mined_cross_category", "mined")) == 0.5
    assert cross_category_share(examples_of(lists(3, tiers=("easy",)))) is None


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("wanted", "warned"), [(0.3, True), (0.26, False), (0.0, False)])
def test_too_few_hard_negatives_of_another_category_are_warned_about(params_with, profile, wanted, warned):
    changes = {"views": views(lead=1.0), "min_triplets_per_category": 1, "cross_category_hard": wanted}
    params = params_with(**{f"triplets.{key}": value for key, value in changes.items()}).triplets
    examples = with_strategies("cross_category", "overlap", "overlap", "overlap")
    drawn, counts = sample(examples, params, profile, 0, 1), np.full(len(examples), 10)
    for chunks, expected in (({"lists": 10, "tables": 10}, warned), ({"lists": 20}, False)):
        lines = shortfall_warnings(examples, drawn, counts * 0, counts, Counter(chunks), params, profile)
        found = [line for line in lines if "cross_category_hard" in line]
        assert len(found) == expected
        if expected:
            assert found[0].startswith(f"{profile}: 25.0% of the hard negatives are from another category, fewer than")
            assert "triplets.cross_category_hard (30%)" in found[0]

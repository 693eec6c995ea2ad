"""Lists for the reranker: hard negatives are required, tiers follow the profile, no negative is related."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from corpora import Example, examples_of, views
from hand_made import chunk

from triptych.errors import UserError
from triptych.triplets.false_negatives import Relations
from triptych.triplets.negatives import TIERS, Negative
from triptych.triplets.sampling.reranker_lists import draw_lists

NUMBER, POOL = 12, 4
# Chunks 0 to 11 are positives, the next 12 x 12 are in pools, the last hundred in none.
CHUNKS = [chunk(row) for row in range(NUMBER + NUMBER * 3 * POOL + 100)]
OUTSIDE = np.arange(NUMBER + NUMBER * 3 * POOL, len(CHUNKS))


def example(number, tiers=TIERS):
    first = NUMBER + number * 3 * POOL
    negatives = [
        Negative(first + POOL * TIERS.index(tier) + place, tier, "mined", 0.0)
        for tier in tiers
        for place in range(POOL)
    ]
    return Example(number, 500 + number, number, "lead", "lists", tuple(negatives))


ROWS = [example(number) for number in range(NUMBER)]


@pytest.fixture
def lists(params_with):
    def call(rows=ROWS, shape=(60, 5, 1), seed=3, chunks=CHUNKS, train=OUTSIDE):
        params = params_with(**{"triplets.views": views(lead=1.0)}).triplets
        return draw_lists(examples_of(rows), Relations(chunks, []), train, params, shape, seed)

    return call


def tier_of(one):
    return TIERS[(one - NUMBER) // POOL % 3] if one < OUTSIDE[0] else "random"


def test_lists_have_the_tiers_of_the_profile_and_the_random_ones_asked_for(lists):
    made = lists()
    assert made.negatives.shape == (60, 5)
    found = Counter(tier_of(one) for one in made.negatives.ravel().tolist())
    assert found == made.counts
    assert found["random"] == 60
    for tier, share in {"easy": 0.2, "medium": 0.35, "hard": 0.45}.items():
        assert found[tier] / 240 == pytest.approx(share, abs=0.02)


def test_negatives_are_the_anchors_own_and_no_list_has_one_twice(lists):
    made = lists()
    for example_row, row in zip(made.example.tolist(), made.negatives.tolist(), strict=True):
        own = {one.chunk for one in ROWS[example_row].negatives}
        assert all(one in own or one >= OUTSIDE[0] for one in row)
        assert len(set(row)) == len(row)


def test_a_negative_comes_back_when_the_others_of_its_tier_were_used(lists):
    made = lists(rows=ROWS[:1], shape=(20, 4, 0))
    hard = [one for one in made.negatives.ravel().tolist() if tier_of(one) == "hard"]
    for start in range(0, len(hard) - POOL, POOL):
        assert len(set(hard[start : start + POOL])) == POOL


def test_what_a_tier_lacks_comes_from_another_and_what_all_lack_is_random(lists):
    made = lists(rows=[example(0, tiers=("hard",))], shape=(10, 6, 1))
    assert made.counts == {"easy": 0, "medium": 0, "hard": 40, "random": 20}


def test_anchors_without_a_hard_negative_are_left_out(lists):
    rows = [example(number, TIERS if number % 2 else TIERS[:2]) for number in range(NUMBER)]
    assert {one % 2 for one in lists(rows=rows).example.tolist()} == {1}
    with pytest.raises(UserError, match="none of 12 anchors has a hard negative"):
        lists(rows=[example(number, TIERS[:2]) for number in range(NUMBER)])


def test_random_negatives_are_related_to_no_answer_of_the_anchor(lists):
    # Of the chunks in no pool, half are copies of the positive, a quarter of another answer of the same words.
    copies = {row: 0 if row % 2 else 1 for row in OUTSIDE.tolist() if row % 4 != 0}
    chunks = [replace(one, cluster_id=copies.get(row, one.cluster_id)) for row, one in enumerate(CHUNKS)]
    rows = [ROWS[0], replace(ROWS[1], anchor=0)]
    made = lists(rows=rows, chunks=chunks, shape=(30, 4, 3))
    found = {one for one in made.negatives.ravel().tolist() if one >= OUTSIDE[0]}
    assert found
    assert found.isdisjoint(copies)
    with pytest.raises(UserError, match="ask for fewer negatives"):
        lists(rows=rows, chunks=chunks, shape=(4, 4, 3), train=np.array(sorted(copies)))


def test_lists_are_a_function_of_their_seed(lists):
    one, same, other = lists(seed=3), lists(seed=3), lists(seed=4)
    np.testing.assert_array_equal(one.negatives, same.negatives)
    assert not np.array_equal(one.negatives, other.negatives)

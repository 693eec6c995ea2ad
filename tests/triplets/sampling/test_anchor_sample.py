"""A sample of anchors keeps what is rare, and its order; stage triplets says that it took one."""

from collections import Counter

import pytest
from hand_made import two_categories

from triptych.triplets.sampling.anchor_sample import sample_anchors
from triptych.triplets.views import Anchor

CATEGORIES = ["lists"] * 60 + ["tables"] * 40
ANCHORS = [Anchor(f"lead {row}", row, "", "lead") for row in range(100)]
ANCHORS += [Anchor(f"query {row}", row, "", "query") for row in (3, 70, 80)]


def test_few_anchors_are_all_kept():
    assert sample_anchors(ANCHORS, CATEGORIES, 103, 1) == ANCHORS


@pytest.mark.parametrize("most", [4, 20, 50, 90])
def test_rare_views_stay_whole_and_the_others_share_what_is_left(most):
    drawn = sample_anchors(ANCHORS, CATEGORIES, most, 1)
    assert len(drawn) == len(set(drawn)) == most
    assert [anchor for anchor in ANCHORS if anchor in drawn] == drawn  # in their order
    sizes = Counter((anchor.view, CATEGORIES[anchor.positive]) for anchor in drawn)
    if most >= 20:
        assert (sizes["query", "lists"], sizes["query", "tables"]) == (1, 2)
        lists, tables = sizes["lead", "lists"], sizes["lead", "tables"]
        assert lists - tables in (0, 1) or tables == 40


def test_the_seed_draws():
    samples = [[anchor.text for anchor in sample_anchors(ANCHORS, CATEGORIES, 20, seed)] for seed in (1, 1, 2)]
    assert samples[0] == samples[1] != samples[2]


def test_the_stage_says_how_many_it_took(staged):
    metrics, lines = staged(two_categories(), max_anchors=10)
    assert metrics["anchors"]["kept"] == 10 < metrics["anchors"]["found"]
    assert f"triplets: 10 of {metrics['anchors']['found']} anchors, a sample (triplets.max_anchors)" in lines
    metrics, lines = staged(two_categories())
    assert metrics["anchors"]["kept"] == metrics["anchors"]["found"]
    assert not [line for line in lines if "a sample" in line]

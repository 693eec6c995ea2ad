"""The embedder's negatives: each tier as params.yaml defines it, each record true, on real chunks and by hand."""

from collections import Counter
from dataclasses import replace

import pytest
from corpora import anchors_of, build_pools, lexical_overlap, look_alikes, path_overlap, pools
from hypothesis import given, settings
from hypothesis import strategies as st

from triptych.triplets.negatives import TIERS
from triptych.triplets.views import anchors

ALL_EASY = {"other_domain", "other_file", "other_path", "low_lexical", "random"}
MEDIUM = {"same_file", "sibling_section", "moderate_lexical"}
HARD = {"overlap", "cross_category"}


@pytest.fixture(scope="module")
def made(tiny_corpus, params_with):
    """Return (positive, negative, record) of every negative of the embedder on real documentation."""
    chunks, params = tiny_corpus.chunks, params_with().triplets
    found = anchors(chunks, tiny_corpus.links, {}, {}, set(), params)
    drawn = pools(chunks, params, tiny_corpus.links, found)
    assert len(drawn) == len(found) > 50
    return [
        (chunks[anchor.positive], chunks[one.chunk], one)
        for anchor, pool in zip(found, drawn, strict=True)
        for one in pool
    ]


def of_tier(made, tier):
    return [(positive, other, one) for positive, other, one in made if one.tier == tier]


def strategies(drawn, tier):
    return Counter(one.strategy for pool in drawn for one in pool if one.tier == tier)


def test_every_tier_is_filled(made):
    assert {one.tier for _, _, one in made} == set(TIERS)


def test_strategy_that_is_recorded_belongs_to_the_tier(made):
    for tier, known in zip(TIERS, (ALL_EASY, MEDIUM, HARD), strict=True):
        assert {one.strategy for _, _, one in of_tier(made, tier)} <= known


def test_recorded_overlaps_are_those_of_positive_and_negative(made):
    for positive, other, one in made:
        assert one.path == pytest.approx(path_overlap(positive, other), abs=1e-6)
        assert one.lexical == pytest.approx(lexical_overlap(positive, other), abs=1e-6)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_recorded_score_is_the_blend_that_params_weigh(tiny_corpus, params_with, weight):
    params = params_with(**{"triplets.tiers.hard.path_weight": weight}).triplets
    for pool in pools(tiny_corpus.chunks, params):
        assert [one.score for one in pool] == pytest.approx(
            [weight * one.path + (1 - weight) * one.lexical for one in pool], abs=1e-6
        )


def test_hard_negatives_share_more_than_half_the_path_or_two_fifths_of_the_words(made):
    found = of_tier(made, "hard")
    assert found
    assert all(one.path > 0.5 or one.lexical > 0.4 for _, _, one in found)


def test_medium_and_easy_negatives_share_less_than_hard_ones(made):
    assert all(one.path <= 0.5 and one.lexical <= 0.4 + 1e-6 for _, _, one in made if one.tier != "hard")


def test_medium_negatives_are_what_their_strategy_says(made):
    for positive, other, one in of_tier(made, "medium"):
        if one.strategy == "same_file":
            assert positive.filename == other.filename
            assert positive.header_path != other.header_path
        elif one.strategy == "sibling_section":
            assert 0.2 <= one.path <= 0.5
        else:
            assert 0.2 <= one.lexical <= 0.4


def test_easy_negatives_are_what_their_strategy_says(made):
    for positive, other, one in of_tier(made, "easy"):
        assert one.strategy != "other_domain" or positive.category != other.category
        assert one.strategy != "other_file" or positive.filename != other.filename
        assert one.strategy != "other_path" or one.path == 0
        assert one.strategy != "low_lexical" or one.lexical <= 0.1
    assert Counter(one.strategy for _, _, one in of_tier(made, "easy"))["other_domain"] > 0


def test_pool_holds_no_chunk_twice_and_no_more_than_asked(tiny_corpus, params_with):
    params = params_with(**{"triplets.negatives_per_anchor": 3}).triplets
    for pool in pools(tiny_corpus.chunks, params):
        assert len({one.chunk for one in pool}) == len(pool)
        assert max(Counter(one.tier for one in pool).values()) <= 3


@pytest.mark.parametrize("profile", ["embedder", "reranker"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_only_chunks_of_the_split_asked_for_are_used(tiny_corpus, params_with, split, profile):
    chunks = tiny_corpus.chunks
    own = [replace(one, split="train" if one.split == split else "") for one in chunks]
    pool = build_pools(chunks, params_with().triplets, found=anchors_of(own), split=split).pools[profile]
    assert {chunks[one].split for one in pool.chunk.tolist()} == {split}


def test_section_of_the_same_file_is_medium_before_anything_else(params_with):
    chunks = [replace(one, filename="one.md") if row < 4 else one for row, one in enumerate(look_alikes(12))]
    changes = {"triplets.tiers.hard.lexical_min": 1.0, "triplets.negatives_per_anchor": 2}
    first = [one for one in pools(chunks, params_with(**changes).triplets)[0] if one.tier == "medium"]
    assert {one.chunk for one in first} <= {1, 2, 3}
    assert [one.strategy for one in first] == ["same_file"] * 2


def test_sibling_sections_are_medium_where_the_file_has_no_other(params_with):
    chunks = [
        replace(one, header_path=("part", "x", "y", f"h{row}") if row < 4 else (f"h{row}",), content="z" * (row + 3))
        for row, one in enumerate(look_alikes(12))
    ]
    for row in (1, 2, 3):  # one of four levels in common
        chunks[row] = replace(chunks[row], header_path=("part", f"x{row}", f"h{row}"))
    params = params_with(**{"triplets.text_template": "{content}"}).triplets
    medium = [one for one in pools(chunks, params)[0] if one.tier == "medium"]
    assert {(one.chunk, one.strategy, round(one.path, 2)) for one in medium} == {
        (row, "sibling_section", 0.25) for row in (1, 2, 3)
    }


def test_moderate_lexical_overlap_is_medium_where_there_is_no_neighbor(params_with):
    strangers = [replace(one, content="q" * (row + 3)) for row, one in enumerate(look_alikes(24)) if row >= 12]
    changes = {"triplets.tiers.hard.lexical_min": 0.9, "triplets.tiers.medium.lexical": [0.2, 0.9]}
    params = params_with(**changes | {"triplets.text_template": "{content}"}).triplets
    drawn = pools(look_alikes(12) + strangers, params)[:12]
    assert set(strategies(drawn, "medium")) == {"moderate_lexical"}
    assert max(one.chunk for pool in drawn for one in pool if one.tier == "medium") < 12


def single_category(paths):
    """Make thirty chunks of one category in six files, each with a unique word."""
    return [
        replace(one, category="lists", header_path=path, filename=f"c{row % 6}.md", content="z" * (row + 3))
        for row, (one, path) in enumerate(zip(look_alikes(30), paths, strict=True))
    ]


def test_easy_negatives_of_a_single_category_stand_under_another_top_heading(params_with):
    chunks = single_category([(f"part{row % 3}", "one", f"head{row}") for row in range(30)])
    only = dict.fromkeys(ALL_EASY, 0.0) | {"other_domain": 1.0}
    changes = {"triplets.tiers.easy.strategies": only, "triplets.text_template": "{content}"}
    drawn = pools(chunks, params_with(**changes).triplets)
    assert strategies(drawn, "easy") == {"other_domain": 30 * 4}
    easy = [(chunks[row], chunks[one.chunk]) for row, pool in enumerate(drawn) for one in pool if one.tier == "easy"]
    assert all(one.header_path[0] != other.header_path[0] and one.filename != other.filename for one, other in easy)


def test_easy_negatives_are_of_another_category_though_all_chunks_share_a_top_heading(params_with):
    chunks = [
        replace(one, header_path=("numpy", one.category, f"h{row}"), content="z" * (row + 3))
        for row, one in enumerate(look_alikes(30))
    ]
    drawn = pools(chunks, params_with(**{"triplets.text_template": "{content}"}).triplets)
    assert strategies(drawn, "easy") == {"other_domain": 30 * 4}


def test_easy_negatives_come_from_another_file_where_there_are_no_headings(params_with):
    chunks = single_category([()] * 30)
    only = dict.fromkeys(ALL_EASY, 0.0) | {"other_domain": 1.0}
    drawn = pools(chunks, params_with(**{"triplets.tiers.easy.strategies": only}).triplets)
    assert strategies(drawn, "easy") == {"other_file": 30 * 4}
    for row, pool in enumerate(drawn):
        assert all(chunks[row].filename != chunks[one.chunk].filename for one in pool if one.tier == "easy")


def test_easy_negatives_are_any_chunk_where_there_is_one_file(params_with):
    chunks = [replace(one, filename="one.md") for one in single_category([()] * 30)]
    changes = {"triplets.negatives_per_anchor": 2}  # of 29 chunks two are medium, being of the same file
    drawn = pools(chunks, params_with(**changes).triplets)
    assert strategies(drawn, "easy") == {"random": 60}


def test_hard_negatives_are_the_closest_first(params_with):
    chunks = look_alikes(30)
    for row in (0, 20):  # of one category, under one heading
        chunks[row] = replace(chunks[row], header_path=("one heading", f"head{row}"))
    changes = {"triplets.cross_category_hard": 0.0}
    pool = pools(chunks, params_with(**changes).triplets)[0]
    hard = [one for one in pool if one.tier == "hard"]
    assert hard[0].chunk == 20
    assert [one.score for one in hard] == sorted((one.score for one in hard), reverse=True)


@pytest.mark.parametrize(("weight", "best"), [(0.9, 2), (0.1, 4)])
def test_weight_decides_between_a_close_path_and_close_words(params_with, weight, best):
    chunks = [replace(one, category="lists", content="z" * (row + 3)) for row, one in enumerate(look_alikes(8))]
    chunks[0] = replace(chunks[0], header_path=("a", "b", "c"), content="one two six")
    chunks[2] = replace(chunks[2], header_path=("a", "b", "d"))
    chunks[4] = replace(chunks[4], content="one two six zzz")
    changes = {"triplets.tiers.hard.path_weight": weight, "triplets.negatives_per_anchor": 1}
    params = params_with(**changes | {"triplets.text_template": "{content}"}).triplets
    assert [one.chunk for one in pools(chunks, params)[0] if one.tier == "hard"] == [best]


@settings(max_examples=12, deadline=None, derandomize=True)
@given(most=st.floats(0.4, 1.0))
def test_nothing_above_the_highest_lexical_overlap_is_a_negative(tiny_corpus, params_with, most):
    params = params_with(**{"triplets.tiers.hard.lexical_max": most}).triplets
    for pool in build_pools(tiny_corpus.chunks, params).pools.values():
        assert len(pool.chunk)
        assert pool.lexical.max() <= most + 1e-6


def test_same_seed_draws_the_same_and_another_seed_others(tiny_corpus, params_with):
    one, same, other = (pools(tiny_corpus.chunks, params_with(**{"triplets.seed": n}).triplets) for n in (1, 1, 2))
    assert one == same
    assert one != other

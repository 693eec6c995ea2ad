"""The reranker's negatives: same topic, near-duplicate, looks right but is wrong."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from corpora import brute_force, build_pools, lexical_overlap, look_alikes, path_overlap, pools, words

from triptych.corpus.embedded_text import passage
from triptych.triplets.negatives import TIERS
from triptych.triplets.views import anchors

EASY = {"same_topic", "random"}
MEDIUM = {"near_duplicate", "overlap", "moderate_lexical"}
HARD = {"looks_right", "looks_right_cross_category"}


@pytest.fixture(scope="module")
def made(tiny_corpus, params_with):
    """Return (anchor, negative) of every negative of the reranker on real documentation."""
    chunks, params = tiny_corpus.chunks, params_with().triplets
    found = anchors(chunks, tiny_corpus.links, {}, {}, set(), params)
    drawn = pools(chunks, params, tiny_corpus.links, found, "reranker")
    return [(anchor, one) for anchor, pool in zip(found, drawn, strict=True) for one in pool]


def test_every_tier_is_filled_with_its_strategies(made):
    for tier, known in zip(TIERS, (EASY, MEDIUM, HARD), strict=True):
        found = {one.strategy for _, one in made if one.tier == tier}
        assert found
        assert found <= known


def test_recorded_overlaps_are_those_of_positive_and_negative(made, tiny_corpus):
    for anchor, one in made:
        positive, other = tiny_corpus.chunks[anchor.positive], tiny_corpus.chunks[one.chunk]
        assert one.path == pytest.approx(path_overlap(positive, other), abs=1e-6)
        assert one.lexical == pytest.approx(lexical_overlap(positive, other), abs=1e-6)


def test_easy_negatives_share_category_and_top_heading(made, tiny_corpus):
    topic = [(one.category, one.header_path[:1]) for one in tiny_corpus.chunks]
    same = [(anchor, one) for anchor, one in made if one.strategy == "same_topic"]
    assert same
    assert all(topic[anchor.positive] == topic[one.chunk] for anchor, one in same)


def test_near_duplicates_share_more_words_than_hard_ones_must(made):
    found = [one for _, one in made if one.strategy == "near_duplicate"]
    assert found
    assert min(one.lexical for one in found) > 0.4


def test_negative_that_looks_right_is_a_lexical_hit_of_the_anchor(made, tiny_corpus, params_with):
    params = params_with().triplets
    train = [row for row, one in enumerate(tiny_corpus.chunks) if one.split == "train"]
    texts = [passage(tiny_corpus.chunks[row], params.text_template) for row in train]
    for anchor, one in [(anchor, one) for anchor, one in made if one.tier == "hard"][::25]:
        assert set(words(anchor.text)) & set(words(texts[train.index(one.chunk)]))
        scores = brute_force(texts, anchor.text)
        best = np.array(train)[np.argsort(-scores, kind="stable")]
        # 200 postings truncate nothing in a corpus of this size
        assert one.chunk in best[: params.candidates.lexical]


def test_hits_that_look_most_right_come_first(params_with):
    chunks = [replace(one, category="lists", content="z" * (row + 3)) for row, one in enumerate(look_alikes(12))]
    for row, text in ((0, "sorted copy stable"), (3, "sorted"), (5, "sorted copy stable order"), (7, "sorted copy")):
        chunks[row] = replace(chunks[row], content=text)
    params = params_with(**{"triplets.negatives_per_anchor": 2}).triplets
    hard = [one.chunk for one in pools(chunks, params, profile="reranker")[0] if one.tier == "hard"]
    assert set(hard) == {5, 7}


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_share_of_what_looks_right_is_of_another_category(params_with, share):
    chunks = look_alikes(40)
    params = params_with(**{"triplets.cross_category_hard": share}).triplets
    drawn = pools(chunks, params, profile="reranker")
    hard = [(row, one) for row, pool in enumerate(drawn) for one in pool if one.tier == "hard"]
    assert len(hard) == 40 * params.negatives_per_anchor
    other = [chunks[row].category != chunks[one.chunk].category for row, one in hard]
    assert np.mean(other) == pytest.approx(share)
    assert [one.strategy == "looks_right_cross_category" for _, one in hard] == other


def test_both_profiles_of_an_anchor_share_the_anchor_but_not_the_tiers(params_with):
    drawn = build_pools(look_alikes(20), params_with().triplets).pools
    assert len(drawn["embedder"]) == len(drawn["reranker"]) == 20
    assert Counter(one.strategy for one in drawn["embedder"][0]).keys().isdisjoint(HARD | {"same_topic"})


def test_easy_negatives_stand_under_the_top_heading_of_the_positive_and_not_elsewhere_in_its_category(params_with):
    chunks = [
        replace(one, category="lists", header_path=(f"t{row % 2}", f"h{row}"), content="z" * (row + 3))
        for row, one in enumerate(look_alikes(30))
    ]
    drawn = pools(chunks, params_with().triplets, profile="reranker")
    easy = [(row, one) for row, pool in enumerate(drawn) for one in pool if one.tier == "easy"]
    assert {one.strategy for _, one in easy} == {"same_topic"}
    assert all(row % 2 == one.chunk % 2 for row, one in easy)


def test_chunks_with_a_third_of_their_words_in_common_are_medium_but_no_near_duplicates(params_with):
    chunks = [
        replace(one, header_path=(f"h{row}",), content=f"common {'y' * (row + 3)} {'z' * (row + 3)}")
        for row, one in enumerate(look_alikes(20))
    ]
    drawn = pools(chunks, params_with(**{"triplets.candidates.lexical": 1}).triplets, profile="reranker")
    medium = [one for pool in drawn for one in pool if one.tier == "medium"]
    assert {(one.strategy, round(one.lexical, 2)) for one in medium} == {("moderate_lexical", 0.33)}

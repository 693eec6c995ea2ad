"""No negative may answer the anchor: near-duplicates, parts of a section, equal titles and links are left out."""

from dataclasses import replace

import numpy as np
import pytest
from corpora import (
    TEMPLATE,
    anchors_of,
    build_pools,
    corpora,
    lexical_overlap,
    look_alikes,
    path_overlap,
    pools,
    related,
)
from hypothesis import given, settings

from triptych.corpus.chunking import cut
from triptych.corpus.records import Chunk, Link
from triptych.params.triplets import PROFILES
from triptych.triplets.false_negatives import Relations
from triptych.triplets.views import anchors

RANDOM = settings(max_examples=60, deadline=None, derandomize=True)


@RANDOM
@given(corpora())
def test_no_negative_of_either_profile_is_related_to_the_positive(params_with, made):
    chunks, links = made
    found = anchors_of(chunks)
    made = build_pools(chunks, params_with().triplets, links, found)
    for pool in made.pools.values():
        for row, chunk in zip(pool.anchors.tolist(), pool.chunk.tolist(), strict=True):
            assert not answers(found[row], chunks[chunk], found, chunks, links)
        assert (np.diff(pool.offsets) <= made.considered - made.related).all()
    most = [sum(answers(one, other, found, chunks, links) for other in chunks) for one in found]
    assert (made.related <= most).all()


def answers(anchor, chunk, anchors, chunks, links):
    """Tell whether a chunk is related to one of the positives of an anchor's words."""
    same = [one.positive for one in anchors if one.text == anchor.text]
    return any(related(chunks[row], chunk, links) for row in same)


@RANDOM
@given(corpora())
def test_linked_chunks_are_negatives_only_where_the_user_says_so(params_with, made):
    chunks, links = made
    params = params_with(**{"triplets.exclude_linked": False, "triplets.negatives_per_anchor": 20}).triplets
    found = anchors_of(chunks)
    for pool in build_pools(chunks, params, links, found).pools.values():
        for row, chunk in zip(pool.anchors.tolist(), pool.chunk.tolist(), strict=True):
            assert not related(chunks[found[row].positive], chunks[chunk], [])


@RANDOM
@given(corpora())
def test_every_record_is_true_and_fits_its_tier(params_with, made):
    chunks, links = made
    found = anchors_of(chunks)
    drawn = build_pools(chunks, params_with().triplets, links, found).pools
    for profile, pool in drawn.items():
        for anchor, one in ((anchor, one) for row, anchor in enumerate(found) for one in pool[row]):
            positive, other = chunks[anchor.positive], chunks[one.chunk]
            assert abs(one.path - path_overlap(positive, other)) < 1e-6
            assert abs(one.lexical - lexical_overlap(positive, other, TEMPLATE)) < 1e-6
            assert abs(one.score - (one.path + one.lexical) / 2) < 1e-6
            if profile == "embedder":
                assert (one.path > 0.5 or one.lexical > 0.4 + 1e-6) == (one.tier == "hard")


def test_real_documentation_gives_no_related_negative(tiny_corpus, params_with):
    chunks, links, params = tiny_corpus.chunks, tiny_corpus.links, params_with().triplets
    found = anchors(chunks, links, {}, {}, set(), params)
    for pool in build_pools(chunks, params, links, found).pools.values():
        assert len(pool.chunk) > 1000
        for row, chunk in zip(pool.anchors.tolist(), pool.chunk.tolist(), strict=True):
            assert not related(chunks[found[row].positive], chunks[chunk], links)


@pytest.mark.parametrize("profile", PROFILES)
def test_linked_look_alike_is_left_out(params_with, profile):
    links = [Link("c0", f"c{row}", "", "") for row in (1, 2, 3)]
    pool = pools(look_alikes(6), params_with().triplets, links, profile=profile)[0]
    assert {one.chunk for one in pool} == {4, 5}


@pytest.mark.parametrize("profile", PROFILES)
def test_parts_of_one_long_text_without_headings_are_not_negatives_of_each_other(params_with, profile):
    long = Chunk(
        "guide", "lists", "guide.txt", (), "", "\n\n".join(f"Sort array axis {'x' * n}." for n in range(60)), ""
    )
    others = look_alikes(4)
    parts = [replace(one, cluster_id=10 + n, split="train") for n, one in enumerate(cut(long, 400))]
    assert len(parts) > 3
    for pool in pools(parts + others, params_with().triplets, profile=profile)[: len(parts)]:
        assert {one.chunk for one in pool} == {len(parts) + n for n in range(4)}


def test_two_texts_of_one_file_without_headings_may_be_negatives():
    chunks = [replace(one, filename="all.csv", header_path=()) for one in look_alikes(2)]
    assert not Relations(chunks, []).related(np.array([0]), np.array([1]))[0]


@pytest.mark.parametrize("profile", PROFILES)
def test_anchor_whose_positive_is_related_to_everything_gets_an_empty_pool(params_with, profile):
    chunks = [replace(one, cluster_id=0) for one in look_alikes(6)]
    drawn = build_pools(chunks, params_with().triplets)
    assert [drawn.pools[profile][row] for row in range(6)] == [()] * 6
    assert (drawn.related == drawn.considered).all()


def test_chunks_that_answer_the_same_words_are_not_negatives_of_each_other(params_with):
    chunks = [
        Chunk(
            f"c{row}", "api", f"{row}.md", (f"h{row}",), f"t{row}", f"word{row} shared sorting", "", row, row, "train"
        )
        for row in range(12)
    ]
    asked = [replace(one, text="how to sort") if row < 3 else one for row, one in enumerate(anchors_of(chunks))]
    for pool in build_pools(
        chunks, params_with(**{"triplets.negatives_per_anchor": 12}).triplets, found=asked
    ).pools.values():
        taken = [{one.chunk for one in pool[row]} for row in range(4)]
        assert [bool(one & {0, 1, 2}) for one in taken] == [False, False, False, True]

"""Pools of negatives: never related to the positive, each tier as params.yaml defines it."""

import re
from collections import Counter
from dataclasses import replace

import pytest
from triptych.triplets.tiers import TIERS, Pools

from triptych.corpus.records import Chunk, Link
from triptych.triplets.relations import Relations
from triptych.triplets.views import Anchor, anchors, passage

COMMON = "array axis element order memory value shape copy index type"


def params_of(params_with, **changes):
    return params_with(**changes).triplets


def pools(chunks, found, params, links=(), split="train"):
    return Pools(chunks, split, Relations(chunks, list(links)), params).draw(found)


def anchors_of(chunks, template="{header_path}\n{content}"):
    return [
        Anchor(one.content, row, passage(one, template), "lead")
        for row, one in enumerate(chunks)
        if one.split == "train"
    ]


def words(chunk, template):
    return set(re.findall(r"[^\W\d_]{3,}", passage(chunk, template).casefold()))


def path_overlap(left, right):
    shared = [mine == theirs for mine, theirs in zip(left.header_path, right.header_path, strict=False)]
    prefix = shared.index(False) if False in shared else len(shared)
    return prefix / max(len(left.header_path), len(right.header_path))


def lexical_overlap(left, right, template):
    one, other = words(left, template), words(right, template)
    return len(one & other) / min(len(one), len(other))


def look_alikes(number):
    """Make chunks of two categories that share most of their words and no header."""
    return [
        Chunk(
            f"c{row}",
            ("lists", "tables")[row % 2],
            f"c{row}.md",
            (f"head{row}",),
            f"title{row}",
            f"{COMMON} {'x' * (row + 3)} {'y' * (row + 3)}",
            f"c{row}",
            cluster_id=row,
            document_id=row,
            split="train",
        )
        for row in range(number)
    ]


@pytest.fixture(scope="module")
def drawn(tiny_corpus, params_with):
    """Yield (positive, negative) pairs of chunks with the negative's record, from real documentation."""
    chunks, params = tiny_corpus.chunks, params_of(params_with)
    links = [link for link in tiny_corpus.links if link.to_chunk_id in {one.chunk_id for one in chunks}]
    found = anchors(chunks, {}, {}, set(), params)
    made = pools(chunks, found, params, links)
    assert len(made) == len(found) > 50
    return [
        (chunks[anchor.positive], chunks[one.chunk], one)
        for anchor, pool in zip(found, made, strict=True)
        for one in pool
    ]


def test_every_tier_is_drawn(drawn):
    assert {negative.tier for _, _, negative in drawn} == set(TIERS)


def test_no_negative_is_related_to_the_positive(drawn, tiny_corpus):
    linked = {(one.from_chunk_id, one.to_chunk_id) for one in tiny_corpus.links}
    for positive, other, _ in drawn:
        assert positive.chunk_id != other.chunk_id
        assert positive.cluster_id != other.cluster_id
        assert positive.title.casefold() != other.title.casefold()
        assert not {(positive.chunk_id, other.chunk_id), (other.chunk_id, positive.chunk_id)} & linked


def test_hard_negatives_share_much_of_the_path_or_of_the_words(drawn, params_with):
    params = params_of(params_with)
    for positive, other, negative in drawn:
        if negative.tier == "hard":
            path, lexical = path_overlap(positive, other), lexical_overlap(positive, other, params.text_template)
            assert path > params.overlaps.hard_path or lexical > params.overlaps.hard_lexical
            assert negative.score == pytest.approx(0.5 * path + 0.5 * lexical, abs=1e-6)


def test_medium_negatives_share_some_of_the_path_or_of_the_words(drawn, params_with):
    params = params_of(params_with)
    low, high = params.overlaps.medium_path
    strategies = Counter(negative.strategy for _, _, negative in drawn if negative.tier == "medium")
    assert strategies["header_path"] > 0
    for positive, other, negative in drawn:
        if negative.strategy == "header_path":
            assert low <= path_overlap(positive, other) <= high
        if negative.strategy == "lexical":
            overlap = lexical_overlap(positive, other, params.text_template)
            assert 0.5 * params.overlaps.hard_lexical <= overlap <= params.overlaps.hard_lexical


def test_medium_negatives_come_from_the_file_of_the_positive_where_there_are_some(params_with):
    chunks = [replace(one, filename="one.md") if row < 4 else one for row, one in enumerate(look_alikes(12))]
    settings = {"triplets.overlaps.hard_lexical": 1.0, "triplets.negatives_per_anchor": 2}
    made = pools(chunks, anchors_of(chunks), params_of(params_with, **settings))
    first = [one for one in made[0] if one.tier == "medium"]
    assert {one.chunk for one in first} <= {1, 2, 3}
    assert {one.strategy for one in first} == {"same_file"}


def test_chunks_that_share_few_words_are_not_medium(params_with):
    strangers = [replace(one, content="q" * (row + 3)) for row, one in enumerate(look_alikes(24)) if row >= 12]
    chunks = look_alikes(12) + strangers
    settings = {"triplets.overlaps.hard_lexical": 1.0, "triplets.text_template": "{content}"}
    made = pools(chunks, anchors_of(chunks)[:12], params_of(params_with, **settings))
    medium = [one for pool in made for one in pool if one.tier == "medium"]
    assert {one.strategy for one in medium} == {"lexical"}
    assert max(one.chunk for one in medium) < 12


def test_easy_negatives_are_of_another_category_where_there_is_one(drawn):
    for positive, other, negative in drawn:
        if negative.tier == "easy" and negative.strategy == "other_category":
            assert positive.category != other.category
    assert Counter(negative.strategy for _, _, negative in drawn if negative.tier == "easy")["other_category"] > 0


def test_easy_negatives_of_a_single_category_share_neither_path_nor_file(params_with):
    chunks = [
        replace(one, category="lists", header_path=(f"part{row % 3}", "one", f"head{row}"), filename=f"c{row % 6}.md")
        for row, one in enumerate(look_alikes(30))
    ]
    settings = {"triplets.overlaps.hard_lexical": 1.0, "triplets.overlaps.hard_path": 1.0}
    made = pools(chunks, anchors_of(chunks), params_of(params_with, **settings))
    easy = [(chunks[row], chunks[one.chunk]) for row, pool in enumerate(made) for one in pool if one.tier == "easy"]
    assert len(easy) > 60
    assert all(one.header_path[0] != other.header_path[0] and one.filename != other.filename for one, other in easy)


def test_pool_holds_no_chunk_twice_and_no_more_than_asked(tiny_corpus, params_with):
    params = params_of(params_with, **{"triplets.negatives_per_anchor": 3})
    for pool in pools(tiny_corpus.chunks, anchors_of(tiny_corpus.chunks), params):
        assert len({one.chunk for one in pool}) == len(pool)
        assert max(Counter(one.tier for one in pool).values()) <= 3


@pytest.mark.parametrize("split", ["train", "test"])
def test_only_chunks_of_the_split_asked_for_are_drawn(tiny_corpus, params_with, split):
    chunks = tiny_corpus.chunks
    found = [Anchor(one.content, row, "", "lead") for row, one in enumerate(chunks) if one.split == split]
    made = pools(chunks, found, params_of(params_with), split=split)
    assert {chunks[one.chunk].split for pool in made for one in pool} == {split}


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_share_of_hard_negatives_is_of_another_category(params_with, share):
    chunks = look_alikes(40)
    params = params_of(params_with, **{"triplets.cross_category_hard": share})
    made = pools(chunks, anchors_of(chunks), params)
    hard = [(row, one) for row, pool in enumerate(made) for one in pool if one.tier == "hard"]
    other = sum(chunks[row].category != chunks[one.chunk].category for row, one in hard)
    assert len(hard) == 40 * params.negatives_per_anchor
    assert other / len(hard) == pytest.approx(share)


def test_hard_negatives_are_the_closest_first(params_with):
    chunks = look_alikes(30)
    for row in (0, 20):  # of one category, under one heading
        chunks[row] = replace(chunks[row], header_path=("one heading", f"head{row}"))
    pool = pools(chunks, anchors_of(chunks)[:1], params_of(params_with, **{"triplets.cross_category_hard": 0.0}))[0]
    assert next(one.chunk for one in pool if one.tier == "hard") == 20


def test_linked_look_alike_is_left_out(params_with):
    chunks = look_alikes(6)
    links = [Link("c0", f"c{row}", "", "") for row in (1, 2, 3)]
    pool = pools(chunks, anchors_of(chunks), params_of(params_with), links)[0]
    assert {one.chunk for one in pool} == {4, 5}


def test_anchor_whose_positive_is_related_to_everything_gets_an_empty_pool(params_with):
    chunks = [replace(one, cluster_id=0) for one in look_alikes(6)]
    assert pools(chunks, anchors_of(chunks), params_of(params_with)) == [[]] * 6


def test_same_seed_draws_the_same_and_another_seed_others(tiny_corpus, params_with):
    chunks = tiny_corpus.chunks
    one, same, other = (
        pools(chunks, anchors_of(chunks), params_of(params_with, **{"triplets.seed": seed})) for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other

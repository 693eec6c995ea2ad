"""View sibling: pairs of chunks, most within one category, the rest along links between categories."""

from collections import Counter
from dataclasses import replace

import pytest
from corpora import TEMPLATE, look_alikes, views

from triptych.corpus.embedded_text import passage
from triptych.corpus.records import Link
from triptych.triplets.views import anchors

# Ten chunks of each category, each category under a header of its own: 20 x 2 pairs of siblings.
CHUNKS = [replace(one, header_path=(one.category, one.chunk_id)) for one in look_alikes(20)]
ACROSS = [Link(f"c{a}", f"c{b}", "", "") for a in range(0, 20, 2) for b in range(1, 20, 2)]
CATEGORY = [one.category for one in CHUNKS]
ROW = {passage(one, TEMPLATE): row for row, one in enumerate(CHUNKS)}


@pytest.fixture
def siblings(params_with):
    """Return the pairs of rows of view sibling: within a category, and across."""

    def of(share, links=ACROSS, chunks=CHUNKS, **changes):
        settings = {
            "triplets.views": views(sibling=1.0),
            "triplets.same_source_positives": share,
            "triplets.anchors_per_chunk": 2,
        }
        params = params_with(**settings | {f"triplets.{key}": value for key, value in changes.items()}).triplets
        found = anchors(chunks, list(links), {}, {}, set(), params)
        assert {one.view for one in found} <= {"sibling"}
        assert all(one.positive_text == passage(chunks[one.positive], TEMPLATE) for one in found)
        pairs = [(ROW[one.text], one.positive) for one in found]
        same = [(a, b) for a, b in pairs if CATEGORY[a] == CATEGORY[b]]
        return same, [pair for pair in pairs if pair not in same]

    return of


@pytest.mark.parametrize(
    ("share", "same", "across"), [(0.5, 40, 40), (0.8, 40, 10), (1.0, 40, 0), (0.0, 0, 100), (None, 40, 17)]
)
def test_share_of_positives_is_of_the_anchors_own_category(siblings, share, same, across):
    assert tuple(map(len, siblings(share))) == (same, across)


def test_pairs_across_categories_follow_links_only(siblings):
    linked = {(int(one.from_chunk_id[1:]), int(one.to_chunk_id[1:])) for one in ACROSS}
    _, across = siblings(0.5)
    assert set(across) <= linked
    assert max(Counter(across).values()) == 1


def test_too_few_links_give_too_few_pairs_across(siblings):
    same, across = siblings(0.5, links=ACROSS[:3])
    assert (len(same), sorted(across)) == (40, [(0, 1), (0, 3), (0, 5)])


def test_no_link_gives_no_pair_across(siblings):
    assert siblings(0.5, links=[])[1] == []


def test_link_within_a_category_adds_no_pair(siblings):
    assert siblings(0.5, links=[Link("c0", "c2", "", "")])[1] == []


def test_link_given_twice_is_one_pair(siblings):
    assert siblings(0.5, links=ACROSS[:1] * 3)[1] == [(0, 1)]


def test_held_out_end_of_a_link_is_not_a_positive(siblings):
    held = [replace(one, split="test") if one.chunk_id in ("c1", "c2") else one for one in CHUNKS]
    links = [Link("c0", "c1", "", ""), Link("c2", "c3", "", ""), Link("c4", "c5", "", "")]
    same, across = siblings(0.5, links=links, chunks=held)
    assert across == [(4, 5)]
    assert not {1, 2} & {row for pair in same for row in pair}


@pytest.mark.parametrize("most", [1, 3])
def test_chunk_is_the_anchor_of_at_most_the_given_number_of_siblings(siblings, most):
    same, _ = siblings(1.0, anchors_per_chunk=most)
    assert set(Counter(one for one, _ in same).values()) == {most}
    assert all(one != other for one, other in same)

"""Which chunks may never be each other's negatives."""

from dataclasses import replace

import numpy as np
import pytest

from triptych.corpus.records import Chunk, Link
from triptych.triplets.relations import Relations


def chunk(number, **changes):
    name = f"c{number}"
    return replace(
        Chunk(name, "api", f"{name}.md", (name,), name, f"Text of {name}.", name, cluster_id=number), **changes
    )


def related(left, right, links=(), exclude_linked=True):
    found = Relations([left, right], [Link(*link, "how to sort", "") for link in links], exclude_linked)
    one, other = found.related(np.array([0, 1]), np.array([1, 0])).tolist()
    assert one == other
    return one


def test_strangers_are_not_related():
    assert not related(chunk(0), chunk(1))


def test_near_duplicates_are_related():
    assert related(chunk(0), chunk(1, cluster_id=0))


def test_equal_titles_are_related_whatever_their_case():
    assert related(chunk(0, title="max"), chunk(1, title=" Max"))


def test_chunks_without_a_title_are_not_related_by_it():
    assert not related(chunk(0, title=""), chunk(1, title=""))


def test_parts_of_one_section_are_related_but_not_all_of_a_file():
    section = {"filename": "a.md", "header_path": ("Lists", "Sorting")}
    assert related(chunk(0, **section), chunk(1, **section))
    assert not related(chunk(0, **section), chunk(1, filename="a.md", header_path=("Lists", "Finding")))
    assert not related(chunk(0, **section), chunk(1, filename="b.md", header_path=("Lists", "Sorting")))


@pytest.mark.parametrize("link", [("c0", "c1"), ("c1", "c0")])
def test_linked_chunks_are_related_in_both_directions(link):
    assert related(chunk(0), chunk(1), [link])


def test_linked_chunks_may_be_negatives_where_the_user_says_so():
    assert not related(chunk(0), chunk(1), [("c0", "c1")], exclude_linked=False)
    assert related(chunk(0), chunk(1, title="c0"), [("c0", "c1")], exclude_linked=False)


def test_links_are_not_transitive():
    found = Relations([chunk(0), chunk(1), chunk(2)], [Link("c0", "c1", "", ""), Link("c1", "c2", "", "")])
    assert found.related(np.array([0]), np.array([1, 2])).tolist() == [True, False]


def test_chunk_is_related_to_itself():
    assert Relations([chunk(0), chunk(1)], []).related(np.array([0, 1]), np.array([0, 1])).all()


def test_rows_and_columns_give_a_matrix():
    chunks = [chunk(0), chunk(1, cluster_id=0), chunk(2)]
    found = Relations(chunks, []).related(np.array([0, 2])[:, None], np.arange(3)[None, :])
    assert found.tolist() == [[True, True, False], [False, False, True]]


def test_look_up_agrees_with_the_definition_on_real_links(tiny_corpus):
    chunks = tiny_corpus.chunks
    ids = [one.chunk_id for one in chunks]
    links = [one for one in tiny_corpus.links if one.to_chunk_id in ids]
    pairs = {(one.from_chunk_id, one.to_chunk_id) for one in links}
    rows = np.arange(len(chunks))
    found = Relations(chunks, links).related(rows[:, None], rows[None, :])
    for row, left in enumerate(chunks):
        for column, right in enumerate(chunks):
            linked = {(left.chunk_id, right.chunk_id), (right.chunk_id, left.chunk_id)} & pairs
            same = left.cluster_id == right.cluster_id or left.title.lower() == right.title.lower()
            assert found[row, column] == bool(linked or same)

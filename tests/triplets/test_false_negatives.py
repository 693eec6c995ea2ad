"""Which chunks may never be each other's negatives."""

from dataclasses import replace

import numpy as np
import pytest

from triptych.corpus.records import Chunk, Link
from triptych.triplets.false_negatives import RULES, PositivesByAnchor, Relations


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


def test_equal_texts_are_related_whatever_their_case_and_spacing():
    assert related(chunk(0, content="Sort a list."), chunk(1, content=" sort  a LIST"))


def test_chunks_without_text_are_not_related_by_it():
    assert not related(chunk(0, content=""), chunk(1, content=""))


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


def test_rule_is_the_first_that_holds():
    chunks = [
        chunk(0),
        chunk(1, content="Text of c0", cluster_id=0),
        chunk(2, cluster_id=0, title="c0"),
        chunk(3, filename="c0.md", header_path=("c0",)),
        chunk(4, title="C0"),
        chunk(5),
        chunk(6),
    ]
    found = Relations(chunks, [Link("c5", "c0", "", "")]).rule(np.zeros(7, int), np.arange(7))
    expected = ["same_text", "same_text", "near_duplicate", "same_section", "equal_title", "linked"]
    assert [RULES[one] for one in found[:-1]] == expected
    assert found[-1] == -1


def test_rule_and_related_agree_on_real_documentation(tiny_corpus):
    relations = Relations(tiny_corpus.chunks, tiny_corpus.links)
    rows = np.arange(len(tiny_corpus.chunks))
    found = relations.rule(rows[:, None], rows[None, :])
    assert ((found >= 0) == relations.related(rows[:, None], rows[None, :])).all()


def test_other_positives_of_an_anchor_and_chunks_related_to_them_are_false_negatives():
    chunks = [chunk(0), chunk(1), chunk(2, cluster_id=1), chunk(3)]
    relations, answers = Relations(chunks, []), PositivesByAnchor(np.array([7, 7, 8]), np.array([0, 1, 3]))
    owners, candidates = np.repeat([0, 1, 2], 4), np.tile(np.arange(4), 3)
    found = answers.false_negatives(relations, np.array([7, 7, 8]), np.array([0, 1, 3]), owners, candidates)
    assert found.reshape(3, 4).tolist() == [
        [False, True, True, False],  # 1 answers too, and 2 is a near-duplicate of it
        [True, False, False, False],
        [False, False, False, False],
    ]

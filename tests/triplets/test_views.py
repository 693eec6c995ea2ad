"""Anchors and their positives, view by view."""

from dataclasses import replace

import pytest
from hand_made import stored

from triptych.corpus.embedded_text import passage
from triptych.corpus.queries.link_queries import crossref_queries
from triptych.corpus.records import Chunk, Link, Query, link_table
from triptych.corpus.texts import normalized
from triptych.params.triplets import Triplets
from triptych.triplets.views import VIEWS, anchors, query_anchors, same_source_share

CONTENT = """Return a sorted copy of an array. The order of equal elements is kept only by the stable sort.

Parameters
----------
axis : int, optional
    Axis along which to sort. If None, the array is flattened first of all.

>>> np.sort([[1, 4], [3, 1]], axis=1, kind=None, order=None)
array([[1, 4], [1, 3]])

Sorting in place needs less memory than sorting a copy of the same array does."""
SORT = Chunk("sort", "api", "sort.md", ("Lists", "Order", "sort"), "sort", CONTENT, "sort.md:1", split="train")
FIND = Chunk("find", "api", "find.md", ("Lists", "Order", "find"), "find", "Look a value up.", "f:1", split="train")
HELD = Chunk("held", "api", "held.md", ("Lists", "Order", "held"), "held", "Keep a value here.", "h:1", split="test")
CHUNKS = [SORT, FIND, HELD]
TEMPLATE = Triplets.model_fields["text_template"].default


@pytest.fixture
def made(params_with):
    def of(view, chunks=CHUNKS, queries=None, train=None, forbidden=frozenset(), links=(), **changes):
        shares = {name: float(name == view) for name in VIEWS}
        settings = {"triplets.views": shares, "triplets.anchors_per_chunk": 20} | changes
        params = params_with(**settings).triplets
        return anchors(chunks, list(links), queries or {}, train or {}, set(forbidden), params)

    return of


def test_passage_is_filled_from_the_template():
    assert passage(FIND, "{category}: {header_path} | {title} | {content}") == (
        "api: Lists > Order > find | find | Look a value up."
    )


def test_passage_of_a_chunk_without_headers_has_no_empty_lines_at_its_ends():
    assert passage(Chunk("a", "api", "a.md", (), "", "Look a value up.", ""), TEMPLATE) == "Look a value up."


def test_lead_pairs_the_first_sentence_with_the_whole_passage(made):
    found = {CHUNKS[one.positive].chunk_id: one for one in made("lead")}
    assert found["sort"].text == "Return a sorted copy of an array."
    assert found["sort"].positive_text == passage(SORT, TEMPLATE)
    assert found.keys() == {"sort", "find"}


def test_lead_passes_over_code_before_the_first_sentence(made):
    coded = Chunk("a", "api", "a.md", ("a",), "a", ">>> sort(x)\n\n" + CONTENT, "", split="train")
    assert [one.text for one in made("lead", [coded])] == ["Return a sorted copy of an array."]


def test_sentence_is_paired_with_its_chunk_without_that_sentence(made):
    found = made("sentence")
    assert {one.text for one in found} >= {"The order of equal elements is kept only by the stable sort."}
    for one in found:
        assert normalized(one.text) in normalized(passage(SORT, TEMPLATE))
        assert normalized(one.text) not in normalized(one.positive_text)
        assert one.positive_text.startswith("Lists > Order > sort\nReturn a sorted copy of an array.")


def test_first_sentence_is_not_a_sentence_anchor(made):
    assert "Return a sorted copy of an array." not in [one.text for one in made("sentence")]


def test_code_and_parameter_lists_are_not_prose(made):
    texts = [one.text for view in ("lead", "sentence") for one in made(view)]
    assert len(texts) >= 4
    assert [text for text in texts if ">>>" in text or "----" in text or "array(" in text or "axis :" in text] == []


def test_formula_and_list_of_values_are_not_prose(made):
    values = "n = 12, m = 14, k = 16, j = 18, i = 20. (a + b) * (c - d) == 0 or [1, 2, 3]. "
    chunk = Chunk("a", "api", "a.md", ("a",), "a", values + "Then all of the values are added up.", "", split="train")
    assert [one.text for one in made("lead", [chunk])] == ["Then all of the values are added up."]


def test_real_documentation_gives_no_code_as_an_anchor(made, tiny_corpus):
    texts = [one.text for view in ("lead", "sentence") for one in made(view, tiny_corpus.chunks)]
    assert len(texts) > 50
    assert [text for text in texts if ">>>" in text or "----" in text or "::" in text] == []
    assert all(3 <= len(text.split()) <= 40 for text in texts)


def test_phrase_is_some_words_in_a_row_of_a_sentence_with_the_whole_chunk(made):
    found = made("phrase", [SORT])
    assert len(found) > 2
    for one in found:
        assert one.text in " ".join(CONTENT.split())
        assert 4 <= len(one.text.split()) <= 9
        assert (one.positive, one.positive_text) == (0, passage(SORT, TEMPLATE))
        assert not {">>>", "----"} & set(one.text.split())


def test_heading_is_paired_with_the_passage_that_is_searched(made):
    found = {CHUNKS[one.positive].chunk_id: one for one in made("heading")}
    assert (found["sort"].text, found["sort"].positive_text) == ("Order sort", passage(SORT, TEMPLATE))


def test_heading_without_text_is_not_an_anchor(made):
    assert made("heading", [replace(SORT, content="")]) == []


def test_sibling_pairs_chunks_under_one_header(made):
    assert [(one.text, one.positive_text) for one in made("sibling")] == [
        (passage(SORT, TEMPLATE), passage(FIND, TEMPLATE)),
        (passage(FIND, TEMPLATE), passage(SORT, TEMPLATE)),
    ]


def test_siblings_are_of_one_category(made):
    other = Chunk("join", "tables", "join.md", ("Lists", "Order", "join"), "join", "Combine.", "", split="train")
    assert made("sibling", [SORT, other]) == []


def test_crossref_pairs_the_words_of_a_link_with_its_target(made):
    links = [Link("find", "sort", "how lists are ordered", "")]
    (item,), _ = crossref_queries(*stored(CHUNKS), link_table(links), 3)
    (found,) = made("crossref", queries={item.query.query_id: item.query}, train={item.query.query_id: item.relevant})
    assert (found.text, found.view) == ("how lists are ordered", "crossref")
    assert (found.positive, found.positive_text) == (0, passage(SORT, TEMPLATE))


def test_question_of_a_user_is_an_anchor_for_each_of_its_answers(made):
    query = Query("user-1", "order a list", "user", "api")
    found = made("query", queries={"user-1": query}, train={"user-1": {"sort": 1, "find": 1}})
    assert [(one.text, one.view, one.positive) for one in found] == [
        ("order a list", "query", 0),
        ("order a list", "query", 1),
    ]


def test_query_anchors_are_those_of_the_given_qrels():
    query = Query("user-1", "keep a value", "user", "api")
    (found,) = query_anchors(CHUNKS, {"user-1": query}, {"user-1": {"held": 1}}, TEMPLATE)
    assert (found.positive, found.positive_text) == (2, passage(HELD, TEMPLATE))


def test_view_of_share_zero_gives_no_anchor(made):
    query = Query("user-1", "order a list", "user", "api")
    assert {one.view for one in made("lead", queries={"user-1": query}, train={"user-1": {"sort": 1}})} == {"lead"}


@pytest.mark.parametrize("view", ["heading", "lead", "sentence", "phrase", "sibling"])
def test_only_train_chunks_give_anchors_and_positives(made, view, tiny_corpus):
    found = made(view, tiny_corpus.chunks)
    assert found
    assert {tiny_corpus.chunks[one.positive].split for one in found} == {"train"}


@pytest.mark.parametrize("view", ["crossref", "lead", "sentence", "phrase", "heading"])
def test_anchor_that_repeats_a_held_out_query_is_left_out(made, view):
    query = Query("crossref-1", "How lists are ordered.", "crossref", "api")
    judged = {"queries": {"crossref-1": query}, "train": {"crossref-1": {"sort": 1}}}
    before = made(view, **judged)
    forbidden = before[0].text
    after = made(view, forbidden={normalized(forbidden.upper() + "!")}, **judged)
    assert [one.text for one in after] == [one.text for one in before if one.text != forbidden]
    assert len(after) < len(before)


def test_one_chunk_gives_at_most_the_given_number_of_anchors_of_a_view(made):
    many = made("sentence", [SORT])
    few = made("sentence", [SORT], **{"triplets.anchors_per_chunk": 2})
    assert len(many) > len(few) == 2


def test_seed_chooses_the_anchors(made):
    texts = {
        frozenset(one.text for one in made("sentence", [SORT], **{"triplets.anchors_per_chunk": 1, "triplets.seed": n}))
        for n in range(8)
    }
    assert len(texts) > 1


@pytest.mark.parametrize(("share", "across"), [(None, 30), (0.0, 30), (0.4, 30), (0.5, 20), (0.8, 5), (1.0, 0)])
def test_links_into_other_categories_are_left_out_beyond_their_share(made, share, across):
    """Twenty link texts of the target's own category, thirty of another, one from both."""
    other = replace(FIND, chunk_id="join", category="tables")
    origins = [*[("find",)] * 20, *[("join",)] * 30]
    queries = {f"q{n}": Query(f"q{n}", f"how to sort {n}", "crossref", "api", of) for n, of in enumerate(origins)}
    both = Query("both", "how to sort", "crossref", "api", ("find", "join"))
    train = {key: {"sort": 1} for key in queries}
    changes = {"triplets.same_source_positives": share}
    judged = {"chunks": [SORT, FIND, other], "queries": queries, "train": train}
    found = made("crossref", **judged, **changes)
    assert [one.across for one in found] == [False] * 20 + [True] * across
    assert same_source_share(found) == pytest.approx(20 / (20 + across))
    assert found == made("crossref", **judged, **changes)
    (of_both,) = made("crossref", [SORT, FIND, other], {"both": both}, {"both": {"sort": 1}}, **changes)
    assert not of_both.across


def test_questions_of_users_have_no_source_that_could_be_another(made):
    query = Query("user-1", "order a list", "user", "tables")
    found = made(
        "query", queries={"user-1": query}, train={"user-1": {"sort": 1}}, **{"triplets.same_source_positives": 1.0}
    )
    assert [one.across for one in found] == [False]
    assert same_source_share(found) is None

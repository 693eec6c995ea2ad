"""Queries from what authors judged: which form of a link is asked, and what is left out."""

import pytest
from hand_made import stored

from triptych.corpus.queries.author_queries import author_queries
from triptych.corpus.records import Chunk, Link, link_table
from triptych.triplets.views import query_anchors


def chunk(name, content, *path):
    return Chunk(
        name, "docs", f"{name}.md", path or (name.title(),), (path or (name.title(),))[-1], content, f"{name}:1"
    )


CHUNKS = [
    chunk("sharing", "Move the state of two components up to their parent and pass it down.", "State", "Sharing state"),
    chunk("streams", "Read bytes of a file in chunks with a buffer. Close files after use."),
    chunk("guide", "Components are functions."),
    chunk("faq", "You can.", "FAQ", "Can I sort a list?"),
    *(chunk(f"page{number}", f"Page {number} is about topic {number}.") for number in range(6)),
]


def asked(*links):
    """Return the queries as (kind, text, answers), and the counts of each kind apart from question headings."""
    found = author_queries(*stored(CHUNKS), link_table(list(links)), 3)
    kinds = {kind: counts for kind, counts in found.kinds.items() if kind != "question_heading"}
    return [(one.query.kind, one.query.text, list(one.relevant)) for one in found.queries], kinds


def one(kind, text, context, target="sharing", origin="guide"):
    return Link(origin, target, text, context, kind)


SENTENCE = "To learn how components pass values down, see Sharing."


def test_context_is_asked_where_the_link_text_is_not_a_query():
    queries, kinds = asked(one("sentence", "Sharing", SENTENCE))
    assert queries == [("sentence", "how components pass values down", ["sharing"])]
    assert kinds == {
        "crossref": {"found": 1, "used": 0, "dropped": {"too_short": 1}},
        "sentence": {"found": 1, "used": 1, "dropped": {}},
    }


def test_link_is_asked_once_in_the_form_of_its_text():
    queries, kinds = asked(one("sentence", "lifting values up a tree", f"{SENTENCE[:-8]} lifting values up a tree."))
    assert queries == [("crossref", "lifting values up a tree", ["sharing"])]
    assert kinds["sentence"] == {"found": 1, "used": 0, "dropped": {"asked_by_link_text": 1}}


@pytest.mark.parametrize(
    ("kind", "context"),
    [
        ("description", "passing values to several components"),
        ("glossary", "Values that two components read from a parent."),
        ("summary", "How to lift values that two components need"),
        ("change", "Let parents and components pass values down lazily."),
    ],
)
def test_each_form_is_a_kind_of_its_own_and_trains_the_crossref_view(kind, context):
    origin = "sharing" if kind == "summary" else "guide"
    found = author_queries(*stored(CHUNKS), link_table([one(kind, "", context, origin=origin)]), 3)
    (item,) = found.queries
    assert (item.query.kind, item.query.query_id.split("-")[0], item.relevant) == (kind, kind, {"sharing": 1})
    assert item.query.exclude == (() if kind == "summary" else ("guide",))
    (anchor,) = query_anchors(CHUNKS, {"q": item.query}, {"q": item.relevant}, "{content}")
    assert anchor.view == "crossref"


@pytest.mark.parametrize(
    ("reason", "kind", "text", "context"),
    [
        ("repeats_target", "description", "X", "Move the state of two components up to a parent"),
        ("names_target", "description", "Lifting", "the guide to lifting and sharing state"),
        ("names_target", "change", "Lifting", "Add docs about sharing state with examples of lifting parents."),
        ("target_says_nothing_of_it", "description", "X", "installing packages for several platforms"),
        ("target_says_nothing_of_it", "sentence", "X", "X lets you parse dates, times and zones of components."),
        ("target_says_nothing_of_it", "glossary", "X", "Numbers, letters and parents that computers print."),
        ("target_says_nothing_of_it", "glossary", "X", "A parent component that prints numbers, letters and colors."),
        ("leans_on_surroundings", "description", "X", "what this does with values of components"),
        ("only_points", "description", "X", "more information about options"),
        ("points_at_itself", "description", "X", "passing values to several components"),
        ("kind_is_off", "index", "", "components, passing values to"),
    ],
)
def test_context_is_left_out_with_its_reason(reason, kind, text, context):
    origin = "sharing" if reason == "points_at_itself" else "guide"
    queries, kinds = asked(one(kind, text, context, origin=origin))
    assert (queries, kinds[kind]) == ([], {"found": 1, "used": 0, "dropped": {reason: 1}})


def test_text_with_several_targets_is_not_asked():
    both = [one("description", "A", "values of files and components", target) for target in ("sharing", "streams")]
    queries, kinds = asked(*both)
    assert (queries, kinds["description"]["dropped"]) == ([], {"several_targets": 2})


def test_equal_texts_are_merged():
    queries, kinds = asked(one("sentence", "Sharing", SENTENCE), one("sentence", "Sharing", SENTENCE, origin="page1"))
    assert [text for _, text, _ in queries] == ["how components pass values down"]
    assert kinds["sentence"] == {"found": 2, "used": 1, "dropped": {"merged": 1}}


def test_sentence_on_many_pages_is_boilerplate():
    links = [one("sentence", "Sharing", SENTENCE, origin=f"page{number}") for number in range(5)]
    assert asked(*links[:4])[1]["sentence"]["used"] == 1
    assert asked(*links)[1]["sentence"] == {"found": 5, "used": 0, "dropped": {"boilerplate": 5}}


def test_link_with_many_descriptions_is_a_label():
    texts = [
        "values that parents pass",
        "state of components",
        "what parents move up",
        "two components",
        "passing down",
    ]
    links = [one("description", "Default", f"{text} to each other") for text in texts]
    assert asked(*links[:4])[1]["description"]["used"] == 4
    assert asked(*links)[1]["description"]["dropped"] == {"boilerplate": 5}


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("leans_on_surroundings", "values of the components above"),
        ("only_points", "more information is available"),
        ("names_target", "the state sharing guide"),
    ],
)
def test_link_text_of_a_page_must_make_sense_alone(reason, text):
    assert asked(one("sentence", text, text))[1]["crossref"]["dropped"] == {reason: 1}
    assert asked(one("crossref", text, text))[1]["crossref"] == {"found": 1, "used": 1, "dropped": {}}


def test_link_to_a_missing_anchor_is_not_asked_in_any_form():
    queries, kinds = asked(one("unsure", "lifting values up a tree", SENTENCE))
    assert (queries, kinds) == ([], {"crossref": {"found": 1, "used": 0, "dropped": {"unknown_anchor": 1}}})


def test_context_of_a_docstring_is_not_asked():
    assert asked(one("crossref", "Sharing", SENTENCE)) == (
        [],
        {"crossref": {"found": 1, "used": 0, "dropped": {"too_short": 1}}},
    )


def test_headings_that_are_questions_are_counted_but_not_asked():
    found = author_queries(*stored(CHUNKS), link_table([]), 3)
    assert found.queries == []
    assert found.kinds == {"question_heading": {"found": 1, "used": 0, "dropped": {"heading_of_its_answer": 1}}}


def test_found_is_used_and_dropped(tiny_corpus):
    links = [
        Link(a, b, "", f"how {a} and {b} differ", "description") for a in "xy" for b in (CHUNKS[0].chunk_id, "gone")
    ]
    for counts in asked(*links, one("sentence", "Sharing", SENTENCE))[1].values():
        assert counts["found"] == counts["used"] + sum(counts["dropped"].values())


@pytest.mark.parametrize("form", ["Handbook: {}", "{} | Handbook", "{} \u2013 Handbook", "Handbook - {}"])
def test_name_of_the_site_in_summaries_is_no_part_of_a_question(form):
    summaries = [
        one("summary", "", form.format(f"Page{number}"), f"page{number}", f"page{number}") for number in range(5)
    ]
    summaries.append(one("summary", "", form.format("How to lift values that two components need"), origin="sharing"))
    queries, kinds = asked(*summaries)
    assert queries == [("summary", "How to lift values that two components need", ["sharing"])]
    assert kinds["summary"]["dropped"] == {"only_points": 5}


def test_words_before_a_mark_that_few_pages_have_are_kept():
    queries, _ = asked(one("summary", "", "Lifting values: what two components need", origin="sharing"))
    assert queries == [("summary", "Lifting values: what two components need", ["sharing"])]

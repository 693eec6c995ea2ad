"""Cutting long chunks and joining short ones, without losing text."""

import re
from itertools import pairwise

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from triptych.corpus.chunking import cut, join_short
from triptych.corpus.records import Chunk


def chunk(content, path=("A", "X"), chunk_id="a.md#x", filename="a.md"):
    return Chunk(chunk_id, "docs", filename, path, path[-1], content, "a.md:1")


def contents(content, max_chars, headings=True):
    return [one.content for one in cut(chunk(content), max_chars, headings)]


LINES = st.sampled_from(
    [
        "```",
        "~~~~",
        "> ```",
        "- ```",
        "",
        " ",
        "\r",
        "\t",
        "    indented",
        "# H",
        "Set",
        "---",
        "===",
        "| a | b |",
        "|--|",
    ]
)
PROSE = st.text("aB.!? \n\r\t\u00a0\u2028\x1cé。`~#|-", max_size=60)
TEXTS = st.lists(LINES | PROSE | st.text(max_size=20), max_size=12).map("\n".join)


@given(TEXTS, st.integers(1, 60), st.booleans())
@example("a\rb\n```\nc\n\nd\n```", 8, True)
def test_no_text_is_lost_or_invented_and_the_order_is_kept(text, max_chars, headings):
    words = [word for part in contents(text, max_chars, headings) for word in part.split()]
    assert "".join(words) == "".join(text.split())
    if not regex.search(r"[\p{STerm}--[.!?]]", text, regex.V1):  # no space follows those of other scripts
        assert words == text.split()


@given(TEXTS, st.integers(1, 60), st.booleans())
def test_only_a_word_a_row_a_heading_or_fenced_code_is_longer_than_allowed(text, max_chars, headings):
    for part in contents(text, max_chars, headings):
        if len(part) > max_chars:
            assert len(part.split()) <= 1 or re.search(r"```|~~~|\||^ {0,3}#|^ {0,3}(-+|=+)\s*$", part, re.M), part


@given(TEXTS, st.integers(1, 60))
def test_ids_are_distinct_and_begin_with_the_chunks_own(text, max_chars):
    ids = [one.chunk_id for one in cut(chunk(text), max_chars)]
    assert ids == ["a.md#x", *(f"a.md#x::part{number}" for number in range(2, len(ids) + 1))]


def test_short_chunk_is_the_same_chunk():
    one = chunk("  Exactly as it was.\n")
    assert cut(one, len(one.content)) == [one]


def test_parts_keep_path_and_title_and_have_a_number():
    parts = cut(chunk("One two.\n\nThree four."), 13)
    assert [(part.header_path, part.title) for part in parts] == [(("A", "X"), "X")] * 2
    assert [part.source for part in parts] == ["a.md:1 part 1 of 2", "a.md:1 part 2 of 2"]


@pytest.mark.parametrize(
    ("text", "max_chars", "parts"),
    [
        ("# A\none\n# B\ntwo\n# C\nthree", 16, ["# A\none\n# B\ntwo", "# C\nthree"]),
        ("A\n===\none\n\nB\n---\ntwo", 12, ["A\n===\none", "B\n---\ntwo"]),
        ("# A\n\none two\n\nthree\n\n# B\n\ntwo", 14, ["# A\n\none two", "three", "# B\n\ntwo"]),
        ("# A\n\n## B\n\none two three four\n\n# C\n\nx", 14, ["# A\n\n## B\n\none", "two three four", "# C\n\nx"]),
        ("One.\n\nTwo two.\nThree three.", 21, ["One.", "Two two.\nThree three."]),
        ("One.\nTwo two. Three three.", 21, ["One.", "Two two. Three three."]),
        ("One two three. Four five six.", 20, ["One two three.", "Four five six."]),
        ("one two three four five", 10, ["one two", "three four", "five"]),
    ],
    ids=["headings", "setext", "long section", "heading alone", "paragraphs", "lines", "sentences", "words"],
)
def test_coarsest_boundary_that_fits_is_taken(text, max_chars, parts):
    assert contents(text, max_chars) == parts


def test_comments_in_the_code_of_a_page_are_not_headings():
    text = "run\n# first\nstep one\n# second\nstep two"
    assert contents(text, 30) == ["run\n# first\nstep one", "# second\nstep two"]
    assert contents(text, 30, headings=False) == ["run\n# first\nstep one\n# second", "step two"]


def test_parts_are_filled_to_the_maximum():
    assert contents("aaa\n\nbbb\n\nccc\n\nddd", 13) == ["aaa\n\nbbb\n\nccc", "ddd"]


@pytest.mark.parametrize("max_chars", [24, 12, 5])
@pytest.mark.parametrize(("mark", "before", "behind"), [("```", "Before.", "Behind."), ("~~~~", "- x", "- y")])
def test_fenced_code_stays_whole_even_where_it_alone_is_too_long(max_chars, mark, before, behind):
    code = f"{mark}py\na = 1\n\n# b\nb = 2\n{mark}"
    assert contents(f"{before}\n{code}\n{behind}", max_chars) == [before, code, behind]


def test_fenced_code_is_found_after_a_lone_carriage_return():
    assert contents("a\rb\n```\nc\n\nd\n```", 14) == ["a\rb", "```\nc\n\nd\n```"]


def test_unclosed_fence_does_not_turn_the_rest_into_code():
    assert contents("```\none\n\ntwo\n\nthree", 12) == ["```\none\n\ntwo", "three"]


def test_table_is_cut_between_rows_only():
    rows = ["| name | what it does |", "|---|---|", "| sort | puts things in order. Slowly. |", "| join | glues |"]
    assert contents("\n".join(["Text.", "", *rows, "", "More."]), 30) == [
        "Text.\n\n| name | what it does |",
        *rows[1:3],
        "| join | glues |\n\nMore.",
    ]


def test_blank_lines_at_the_start_are_not_a_part():
    assert contents("   \n\none two\n", 4) == ["one", "two"]


def test_indent_of_a_part_is_kept():
    assert contents("def f():\n    return 1", 12) == ["def f():", "    return 1"]


def test_word_that_is_too_long_stays_whole():
    assert contents("see https://example.org/a/long/address now", 10) == [
        "see",
        "https://example.org/a/long/address",
        "now",
    ]


@pytest.mark.parametrize("text", ["word " * 40_000, "x" * 200_000, "Line of text.\n" * 15_000, "```\n" * 50_000])
def test_content_of_200_000_characters_is_cut_without_loss(text):
    parts = contents(text, 4000)
    assert [word for part in parts for word in part.split()] == text.split()
    assert max(map(len, parts)) <= 4000 or len(text.split()) == 1 or "```" in text


def joined(*chunks, min_chars=10, max_chars=100):
    moved = {}
    found = list(join_short(chunks, min_chars, max_chars, moved))
    return [(one.chunk_id, one.content) for one in found], moved


TOP = chunk("The section's own text.", ("A",), "top")


def test_short_chunk_goes_to_the_section_above_it_under_its_heading():
    found, moved = joined(TOP, chunk("Short.", ("A", "B"), "b"), chunk("Brief.", ("A", "C"), "c"))
    assert found == [("top", "The section's own text.\n\nB\n\nShort.\n\nC\n\nBrief.")]
    assert moved == {"b": "top", "c": "top"}


@pytest.mark.parametrize(
    "other",
    [
        chunk("Long enough to stand.", ("A", "B"), "b"),
        chunk("Short.", ("Z", "B"), "b"),
        chunk("Short.", ("A", "B"), "b", "other.md"),
    ],
    ids=["long", "of another section", "of another file"],
)
def test_other_chunks_are_not_joined(other):
    assert joined(TOP, other) == ([("top", TOP.content), ("b", other.content)], {})


def test_nothing_is_joined_beyond_the_limit():
    short = chunk("Short.", ("A", "B"), "b")
    assert joined(TOP, short, max_chars=30) == ([("top", TOP.content), ("b", "Short.")], {})


PATHS = st.lists(st.sampled_from("AB"), max_size=2).map(tuple)


@given(st.lists(st.tuples(PATHS, st.text("ab \n", min_size=1, max_size=8)), max_size=8), st.integers(1, 8))
def test_joining_loses_no_text_and_keeps_the_order(given_chunks, min_chars):
    chunks = [
        Chunk(str(number), "docs", "a.md", path, "", text, "") for number, (path, text) in enumerate(given_chunks)
    ]
    moved = {}
    found = list(join_short(chunks, min_chars, 40, moved))
    text, position = "\n\n".join(one.content for one in found), 0
    for one in chunks:
        position = text.index(one.content, position) + len(one.content)
    assert {one.chunk_id for one in found} == {one.chunk_id for one in chunks} - moved.keys()
    assert all(int(before.chunk_id) < int(after.chunk_id) for before, after in pairwise(found))

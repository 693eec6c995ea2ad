"""Long chunks in parts: where they are cut, and that nothing is lost."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from triptych.corpus.records import Chunk
from triptych.corpus.sectioning import cut


def chunk(content):
    return Chunk("a.md#x", "docs", "a.md", ("A", "X"), "X", content, "a.md:1")


def contents(content, max_chars):
    return [one.content for one in cut(chunk(content), max_chars)]


LINES = st.sampled_from(["```", "~~~~", "> ```", "- ```", "", " ", "\r", "\t", "    indented"])
PROSE = st.text("aB.!? \n\r\t\u00a0\u2028\x1cé。`~", max_size=60)
TEXTS = st.lists(LINES | PROSE | st.text(max_size=20), max_size=12).map("\n".join)


@given(TEXTS, st.integers(1, 60))
@example("a\rb\n```\nc\n\nd\n```", 8)
def test_no_text_is_lost_or_invented_and_the_order_is_kept(text, max_chars):
    words = [word for part in contents(text, max_chars) for word in part.split()]
    assert words == text.split()


@given(TEXTS, st.integers(1, 60))
def test_only_a_single_word_is_longer_than_allowed(text, max_chars):
    assert all(len(part) <= max_chars or len(part.split()) <= 1 for part in contents(text, max_chars))


@given(TEXTS, st.integers(1, 60))
def test_ids_are_distinct_and_begin_with_the_chunks_own(text, max_chars):
    ids = [one.chunk_id for one in cut(chunk(text), max_chars)]
    assert ids == ["a.md#x", *(f"a.md#x::part{number}" for number in range(2, len(ids) + 1))]


def test_short_chunk_is_the_same_chunk():
    one = chunk("  Exactly as it was.\n")
    assert cut(one, len(one.content)) == [one]


def test_parts_keep_path_title_and_source():
    for part in cut(chunk("One two.\n\nThree four."), 10):
        assert (part.header_path, part.title, part.source) == (("A", "X"), "X", "a.md:1")


@pytest.mark.parametrize(
    ("text", "max_chars", "parts"),
    [
        ("One.\n\nTwo two.\nThree three.", 21, ["One.", "Two two.\nThree three."]),
        ("One.\nTwo two. Three three.", 21, ["One.", "Two two. Three three."]),
        ("One two three. Four five six.", 20, ["One two three.", "Four five six."]),
        ("one two three four five", 10, ["one two", "three four", "five"]),
    ],
    ids=["paragraphs", "lines", "sentences", "words"],
)
def test_coarsest_boundary_that_serves_is_taken(text, max_chars, parts):
    assert contents(text, max_chars) == parts


def test_parts_are_filled_as_far_as_they_hold():
    assert contents("aaa\n\nbbb\n\nccc\n\nddd", 13) == ["aaa\n\nbbb\n\nccc", "ddd"]


def test_fenced_code_is_not_cut_at_a_blank_line():
    code = "```py\na = 1\n\nb = 2\n```"
    assert contents(f"Before.\n{code}\nBehind.", 24) == ["Before.", code, "Behind."]


def test_fenced_code_is_found_behind_a_lone_carriage_return():
    assert contents("a\rb\n```\nc\n\nd\n```", 14) == ["a\rb", "```\nc\n\nd\n```"]


def test_fenced_code_that_alone_is_too_long_is_cut():
    assert contents("```\none\n\ntwo\n\nthree\n```", 12) == ["```\none\n\ntwo", "three\n```"]


def test_blank_lines_at_the_start_make_no_part():
    assert contents("   \n\none two\n", 4) == ["one", "two"]


def test_indent_of_a_part_is_kept():
    assert contents("def f():\n    return 1", 12) == ["def f():", "    return 1"]


def test_word_that_is_too_long_stays_whole():
    assert contents("see https://example.org/a/long/address now", 10) == [
        "see",
        "https://example.org/a/long/address",
        "now",
    ]

"""What is shown of a chunk: the stretch that answers, on one line, with the words of the question marked."""

import pytest

from triptych.serving.snippets import snippet

FILL = "Nothing of interest stands in this sentence here. " * 20


def marked(found):
    return [found.text[start:end] for start, end in found.matches]


def test_the_stretch_with_most_different_words_of_the_question_is_shown():
    content = f"A key. {FILL}Join two tables\n on a key column. {FILL}Tables, tables, tables, tables."
    found = snippet(content, "how do I join tables on a key")
    assert "Join two tables on a key column." in found.text
    assert marked(found) == ["Join", "tables", "key"]
    assert found.text.startswith("… ")
    assert found.text.endswith(" …")
    assert len(found.text) <= 244


def test_parts_of_identifiers_match_and_stop_words_do_not():
    found = snippet("The DataFrame.set_index method is the way to do it.", "the index of it")
    assert marked(found) == ["DataFrame.set_index"]


def test_a_short_text_is_shown_whole():
    found = snippet("Sort an\n  array.", "sort")
    assert (found.text, marked(found)) == ("Sort an array.", ["Sort"])


@pytest.mark.parametrize("content", [FILL, "x" * 1000, ""])
def test_without_a_match_it_is_the_beginning(content):
    found = snippet(content, "zebra")
    assert not found.matches
    assert found.text.removesuffix(" …") == " ".join(content.split())[: len(found.text.removesuffix(" …"))]
    assert len(found.text) <= 243


def test_a_word_longer_than_the_snippet_is_no_trouble():
    found = snippet(f"{FILL}{'y' * 500} zebra", "zebra")
    assert marked(found) == ["zebra"]

"""What the author of a page judged: the links in its text, each with the words around it, by the form they have.

Only structure decides the form, so that it is the same in any language. Whether the words make a question is decided
by `triptych.corpus.queries.author_queries`, which also knows the target.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import PurePosixPath
from typing import NamedTuple

from triptych.corpus.records import CHANGE, DESCRIPTION, GLOSSARY, SENTENCE
from triptych.corpus.texts import sentence_spans, word_count

LinkSpan = tuple[str, int, int]  # (destination, start, end) in the plain text of a block

_GLOSSARY = re.compile(r"glossar|terminolog|用語|术语|術語|용어", re.IGNORECASE)
_CHANGES = re.compile(
    r"change-?logs?|changes|release-?notes?|releases?|what-?s-?new|news|history|migration-?notes?", re.IGNORECASE
)
_INDEX = re.compile(r"genindex(?:-.*)?|bookindex|theindex|doc-index|index-all|ix\d\d", re.IGNORECASE)
# Between a link and its description: a colon, a dash, the border of a cell or a line end, maybe after a type.
_SEPARATOR = re.compile(r"[\"'”’)\]]*\s*(?:\([^()]{1,30}\)\s*)?(?:[:：]|\s[-|=]{1,2}>?\s|\s?[–—→]\s?|\n)\s*")  # noqa: RUF001
_EDGES = " \t\n:：.。,;、()[]\"'“”‘’«»*•·-–—→|!"  # noqa: RUF001
_TYPE = re.compile(r"^[\s:：|–—-]*(?:\([^()]{1,30}\)\s*)?")  # noqa: RUF001
_FEW_WORDS = 4  # a sentence with at most this number beside a link only points at it
_DESCRIBES = 3  # the least number of words of a description


class Block(NamedTuple):
    """A paragraph, a cell or another stretch of text, with its links."""

    section: int  # index of the section that contains it
    text: str  # without marks
    links: list[LinkSpan]
    item: int = 0  # number of the list item, the row or the definition that it is a part of, 0 for none


class Reference(NamedTuple):
    """A link as written in its page."""

    section: int  # index of the section that contains it
    destination: str
    text: str  # of the link
    context: str  # the words around it, as the kind has them
    kind: str  # of the words around it, see `triptych.corpus.records.Link`


def references(blocks: Iterable[Block], page: str = "") -> Iterator[Reference]:
    """Yield the links of a page with a text in order; ``page`` is its path, which tells glossaries and change logs.

    The context of a link is the sentence around it, or else what the form of its surroundings gives: the description
    beside a link that is first in a list item, a row or a definition, or the definition of the term in a glossary.
    """
    is_glossary, is_change_log = _is_glossary(page), _is_change_log(page)
    definitions = dict[int, str]()  # first sentence of each section of a glossary
    for item, group in groupby(blocks, key=lambda block: block.item):
        parts = list(group)
        if is_glossary:
            for part in parts:
                if word_count(part.text) > _FEW_WORDS:
                    definitions.setdefault(part.section, _first_sentence(part.text))
        for number, part in enumerate(parts):
            for position, (destination, text, between, sentence) in enumerate(_sentences(part)):
                kind, context = SENTENCE, sentence
                if is_glossary and _only_points(part, *between):
                    kind, context = GLOSSARY, definitions.get(part.section, "")
                    if item and number:  # beside its term
                        context = _first_sentence(parts[1].text)
                elif is_change_log and item:
                    kind = CHANGE
                elif description := _description(parts, number, position):
                    kind, context = DESCRIPTION, description
                yield Reference(part.section, destination, text, context, kind)


def _sentences(block: Block) -> Iterator[tuple[str, str, tuple[int, int], str]]:
    """Yield (destination, text, start and end of the sentence around it, that sentence) of each link in a block."""
    spans: list[tuple[int, int]] = []
    sentence, place = "", (-1, -1)
    for destination, start, end in block.links:
        text = folded(block.text[start:end])
        if text:
            spans = spans or sentence_spans(block.text)  # once for a block: an index can have thousands of links
            if (between := _sentence(spans, start, end)) != place:
                place, sentence = between, folded(block.text[slice(*between)])
            yield destination, text, place, sentence


def is_index(page: str) -> bool:
    """Return whether a page is the index of a manual, by its name."""
    return _INDEX.fullmatch(PurePosixPath(page).stem) is not None


def _is_glossary(page: str) -> bool:
    return _GLOSSARY.search(page) is not None


def _is_change_log(page: str) -> bool:
    path = PurePosixPath(page)
    return any(_CHANGES.fullmatch(part) for part in (*path.parent.parts, path.stem))


def folded(text: str) -> str:
    r"""Return a text on one line.

    >>> folded(" one\n  two ")
    'one two'
    """
    return " ".join(text.split())


def _sentence(spans: list[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
    """Return start and end of the sentence, or the sentences, that contain a link."""
    first = max(0, bisect_right(spans, start, key=lambda span: span[0]) - 1)
    first += spans[first][1] <= start and first + 1 < len(spans)
    last = max(first, bisect_right(spans, end - 1, key=lambda span: span[0]) - 1)
    return spans[first][0], spans[last][1]


def _is_link(block: Block) -> bool:
    """Return whether a block is a link and nothing else."""
    if len(block.links) != 1:
        return False
    _, start, end = block.links[0]
    return not (block.text[:start] + block.text[end:]).strip(_EDGES)


def _description(parts: list[Block], number: int, position: int) -> str:
    """Return the description of a link that follows it in its block or is another part of its item, or ""."""
    block = parts[number]
    _, start, end = block.links[position]
    if block.text[:start].strip(_EDGES):
        return ""
    if separator := _SEPARATOR.match(block.text, end):
        texts = re.split(r"\s\|\s", block.text[separator.end() :])
    elif block.item and _is_link(block) and sum(map(_is_link, parts)) == 1:
        texts = [part.text for part in parts if not part.links]
    else:
        return ""
    return next((one for text in texts if word_count(one := _first_sentence(text)) >= _DESCRIBES), "")


def _only_points(block: Block, first: int, last: int) -> bool:
    """Return whether a sentence has few words beside its links, as in "See also: X and Y"."""
    rest, at = "", first
    for _, start, end in block.links:
        if first <= start and end <= last:
            rest += block.text[at:start] + " "
            at = end
    return word_count(rest + block.text[at:last]) <= _FEW_WORDS


def _first_sentence(text: str) -> str:
    text = text[_TYPE.match(text).end() :]  # type: ignore[union-attr]
    spans = sentence_spans(text)
    return folded(text[spans[0][0] : spans[0][1]]) if spans else ""

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
_FEW_WORDS = 4  # at most so many beside a link: the sentence only points at it
_DESCRIBES = 3  # at least so many words make a description


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

    The context of a link is the sentence around it, or else what the form of its place gives: the description beside a
    link that stands first in a list item, a row or a definition, or the definition of the term in a glossary.
    """
    is_glossary, is_change_log = is_named(page, _GLOSSARY), is_named(page, _CHANGES)
    definitions = dict[int, str]()  # first sentence of each section
    for item, group in groupby(blocks, key=lambda block: block.item):
        parts = list(group)
        alone = [number for number, part in enumerate(parts) if item and _is_link(part)]
        if is_glossary:
            for part in parts:
                if word_count(part.text) > _FEW_WORDS:
                    definitions.setdefault(part.section, _first_sentence(part.text))
        for number, part in enumerate(parts):
            spans: list[tuple[int, int]] = []
            sentence, place = "", (-1, -1)
            for position, (destination, start, end) in enumerate(part.links):
                if not (text := folded(part.text[start:end])):
                    continue
                spans = spans or sentence_spans(part.text)  # once for a block: an index can have thousands of links
                if (between := _sentence(spans, start, end)) != place:
                    place, sentence = between, folded(part.text[slice(*between)])
                kind, context = SENTENCE, sentence
                if is_glossary and _only_points(part, *place):
                    definition = definitions.get(part.section, "")
                    if item and len(parts) > 1 and number:
                        definition = _first_sentence(parts[1].text)
                    kind, context = GLOSSARY, definition
                elif is_change_log and item:
                    kind = CHANGE
                elif (position == 0 and (description := _description(part, start, end))) or (
                    alone == [number] and (description := _beside(parts, number))
                ):
                    kind, context = DESCRIPTION, description
                yield Reference(part.section, destination, text, context, kind)


def is_index(page: str) -> bool:
    """Return whether a page is the index of a manual, by its name."""
    return _INDEX.fullmatch(PurePosixPath(page).stem) is not None


def is_named(page: str, names: re.Pattern[str]) -> bool:
    """Return whether the file or a folder of a path has one of the names."""
    path = PurePosixPath(page)
    return any(
        names.fullmatch(part) or (names is _GLOSSARY and names.search(part)) for part in (*path.parent.parts, path.stem)
    )


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


def _description(block: Block, start: int, end: int) -> str:
    """Return the description that follows the link at the start of a block, "" if there is none."""
    if block.text[:start].strip(_EDGES):
        return ""
    separator = _SEPARATOR.match(block.text, end)
    if not separator:
        return ""
    cells = re.split(r"\s\|\s", block.text[separator.end() :])
    return next((one for cell in cells if word_count(one := _first_sentence(cell)) >= _DESCRIBES), "")


def _beside(parts: list[Block], number: int) -> str:
    """Return the description in another part of an item of which one part is a link."""
    others = (_first_sentence(part.text) for index, part in enumerate(parts) if index != number and not part.links[:1])
    return next((one for one in others if word_count(one) >= _DESCRIBES), "")


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

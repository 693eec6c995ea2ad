"""Cut a long chunk into parts, at the coarsest boundary that serves."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

from markdown_it import MarkdownIt

from triptych.corpus.records import Chunk
from triptych.corpus.texts import sentence_spans

PART = "::part"  # ends the id that the parts of one chunk share

Boundary = Callable[[str], list[int]]  # where a text may be cut: behind white space and nowhere else


def _behind(pattern: str) -> Boundary:
    return lambda text: [match.end() for match in re.finditer(pattern, text)]


_PARAGRAPH = _behind(r"\n(?:[ \t]*\n)+")
_LINE = _behind(r"\n")
_WORD = _behind(r"\s+")


def _sentence(text: str) -> list[int]:
    return [start for start, _ in sentence_spans(text)][1:]


_FINER = (_LINE, _sentence, _WORD)  # than a paragraph
_FENCES = MarkdownIt("commonmark").disable("inline")  # blocks are all we ask for


def cut(chunk: Chunk, max_chars: int) -> list[Chunk]:
    """Cut a chunk into parts of at most ``max_chars``; only a single longer word makes a longer part.

    The first part keeps the id, the others get ``::part2``, ``::part3`` appended.
    """
    if len(chunk.content) <= max_chars:
        return [chunk]
    parts = _filled(_pieces(chunk.content, max_chars), max_chars)
    return [
        replace(chunk, chunk_id=f"{chunk.chunk_id}{PART}{number}" if number > 1 else chunk.chunk_id, content=part)
        for number, part in enumerate(parts, start=1)
    ] or [chunk]


def _filled(pieces: Iterable[str], max_chars: int) -> Iterator[str]:
    """Fill each part with as many pieces as it holds; white space between two parts is dropped."""
    part = ""
    for piece in pieces:
        if part and len(part) + len(piece.rstrip()) > max_chars:
            yield part.rstrip()
            part = ""
        if part or piece.strip():  # a part begins with text, but keeps the indent of its first line
            part += piece if part else piece.lstrip("\n")
    if part:
        yield part.rstrip()


def _pieces(text: str, max_chars: int) -> Iterator[str]:
    """Yield what stays together: fenced code and paragraphs, and smaller pieces of what is too long."""
    for block, fenced in _blocks(text):
        if fenced and len(block.rstrip()) <= max_chars:
            yield block
        else:
            for paragraph in _cut_at(_PARAGRAPH, block):
                yield from _fitting(paragraph, max_chars)


def _fitting(text: str, max_chars: int, level: int = 0) -> Iterator[str]:
    if len(text.rstrip()) <= max_chars or level == len(_FINER):
        yield text
        return
    for piece in _cut_at(_FINER[level], text):
        yield from _fitting(piece, max_chars, level + 1)


def _cut_at(boundary: Boundary, text: str) -> Iterator[str]:
    return (text[start:end] for start, end in pairwise([0, *boundary(text), len(text)]) if end > start)


def _blocks(text: str) -> Iterator[tuple[str, bool]]:
    """Divide the text before and behind each fenced code block; tell which blocks are fenced code."""
    starts = [0, *_LINE(text), len(text)]
    done = 0
    # The parser takes a lone carriage return for a line end, and would count other lines than we do.
    for token in _FENCES.parse(text.replace("\r", " ")):
        if token.type == "fence" and token.map:
            first, last = (starts[min(line, len(starts) - 1)] for line in token.map)
            yield text[done:first], False
            yield text[first:last], True
            done = last
    yield text[done:], False

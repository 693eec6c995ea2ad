"""Cut long chunks at the coarsest boundary that fits; join short chunks to their section."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from markdown_it import MarkdownIt

from triptych.corpus.records import Chunk
from triptych.corpus.texts import sentence_spans

PART = "::part"  # separates the id of the chunk from the number of the part

Boundary = Callable[[str], list[int]]  # returns the positions, after white space, where a text may be cut


def _after(pattern: str) -> Boundary:
    return lambda text: [match.end() for match in re.finditer(pattern, text)]


_PARAGRAPH = _after(r"\n(?:[ \t]*\n)+")
_LINE = _after(r"\n")
_WORD = _after(r"\s+")


def _sentence(text: str) -> list[int]:
    return [start for start, _ in sentence_spans(text)][1:]


_FINER = (_LINE, _sentence, _WORD)  # boundaries within a paragraph
_MARKDOWN = MarkdownIt("commonmark").enable("table").disable("inline")  # only blocks are needed


@dataclass(frozen=True, slots=True)
class _Block:
    """Consecutive lines of one kind; the blocks of a text concatenate to the text."""

    text: str
    kind: str = ""  # heading, fence or table; "" for any other paragraphs


def cut(chunk: Chunk, max_chars: int, headings: bool = True) -> list[Chunk]:
    r"""Cut a chunk into parts of at most ``max_chars``: at headings, else paragraphs, lines, sentences, words.

    Set ``headings`` to False for a section of a page: pages are already cut at their headings, and any ``#`` left in
    them starts a comment in code. Fenced code, table rows and words are never cut; a longer one becomes a longer
    part. The first part keeps the id, the others get the suffix ``::part2``, ``::part3``; the source of each part
    states its number.

    >>> chunk = Chunk("a", "api", "list.md", ("List",), "List", "One two.\n\nThree four.", "list.md:1")
    >>> [(part.chunk_id, part.content, part.source) for part in cut(chunk, max_chars=12)]
    [('a', 'One two.', 'list.md:1 part 1 of 2'), ('a::part2', 'Three four.', 'list.md:1 part 2 of 2')]
    """
    if len(chunk.content) <= max_chars:
        return [chunk]
    parts = list(_parts(chunk.content, max_chars, headings))
    if len(parts) < 2:
        return [replace(chunk, content=part) for part in parts] or [chunk]
    return [
        replace(
            chunk,
            chunk_id=f"{chunk.chunk_id}{PART}{number}" if number > 1 else chunk.chunk_id,
            content=part,
            source=f"{chunk.source} part {number} of {len(parts)}",
        )
        for number, part in enumerate(parts, start=1)
    ]


def _parts(text: str, max_chars: int, headings: bool) -> Iterator[str]:
    """Put whole sections together where they fit; cut a section that is too long into parts of its own."""
    pending: list[str] = []
    for section in _sections(_blocks(text, headings)):
        whole = "".join(block.text for block in section)
        if len(whole.rstrip()) <= max_chars:
            pending.append(whole)
            continue
        yield from _filled(pending, max_chars)
        pending = []
        yield from _filled(_pieces(section, max_chars), max_chars)
    yield from _filled(pending, max_chars)


def _filled(pieces: Iterable[str], max_chars: int) -> Iterator[str]:
    """Fill each part with as many pieces as fit; white space between parts is dropped."""
    part = ""
    for piece in pieces:
        if part and len(part) + len(piece.rstrip()) > max_chars:
            yield part.rstrip()
            part = ""
        if part or piece.strip():  # a part starts with text, but keeps the indent of its first line
            part += piece if part else piece.lstrip("\n")
    if part:
        yield part.rstrip()


def _pieces(blocks: list[_Block], max_chars: int) -> Iterator[str]:
    """Yield pieces that are not cut further: headings, fenced code, table rows, and (pieces of) paragraphs."""
    for block in blocks:
        if block.kind in ("heading", "fence"):
            yield block.text
        elif block.kind == "table":
            fits = len(block.text.rstrip()) <= max_chars
            yield from [block.text] if fits else _cut_at(_LINE, block.text)
        else:
            for paragraph in _cut_at(_PARAGRAPH, block.text):
                yield from _fitting(paragraph, max_chars)


def _fitting(text: str, max_chars: int, level: int = 0) -> Iterator[str]:
    """Cut a text at finer and finer boundaries until the pieces fit."""
    if len(text.rstrip()) <= max_chars or level == len(_FINER):
        yield text
        return
    for piece in _cut_at(_FINER[level], text):
        yield from _fitting(piece, max_chars, level + 1)


def _cut_at(boundary: Boundary, text: str) -> Iterator[str]:
    return (text[start:end] for start, end in pairwise([0, *boundary(text), len(text)]) if end > start)


def _sections(blocks: Iterable[_Block]) -> Iterator[list[_Block]]:
    """Split before each heading; consecutive headings stay together with the text that follows."""
    section: list[_Block] = []
    for block in blocks:
        if block.kind == "heading" and any(part.kind != "heading" and part.text.strip() for part in section):
            yield section
            section = []
        section.append(block)
    yield section


def _blocks(text: str, headings: bool) -> Iterator[_Block]:
    starts = [0, *_LINE(text), len(text)]
    lines = text.split("\n")
    end_of_last = 0
    # The parser treats a lone carriage return as a line end, so its line numbers would differ from ours.
    for token in _MARKDOWN.parse(text.replace("\r", " ")):
        kind = token.type.removesuffix("_open")
        if token.map is None or kind not in ("fence", "heading", "table"):
            continue
        first, last = token.map
        if kind == "heading" and (token.level or not headings):  # level > 0: in a list or a quote
            continue
        if kind == "fence" and not _is_closed(lines[first:last], token.markup):
            continue  # an unclosed fence, after which the parser would treat the rest of the text as code
        start, end = (starts[min(line, len(starts) - 1)] for line in (first, last))
        yield _Block(text[end_of_last:start])
        yield _Block(text[start:end], kind)
        end_of_last = end
    yield _Block(text[end_of_last:])


def _is_closed(lines: list[str], mark: str) -> bool:
    return len(lines) > 1 and lines[-1].lstrip("> \t").rstrip().startswith(mark)


def join_short(chunks: Iterable[Chunk], min_chars: int, max_chars: int, moved: dict[str, str]) -> Iterator[Chunk]:
    """Join a chunk shorter than ``min_chars`` to the chunk before it, if both are in one section and the result fits.

    Two chunks of a file are in one section if the header path of the second starts with that of the first; the rest
    of the path becomes a line above the joined text. Ids of joined chunks are added to ``moved``: id → id of the
    chunk that now contains it.
    """
    host: Chunk | None = None
    for chunk in chunks:
        if host is not None and len(chunk.content) < min_chars and _is_within(chunk, host):
            below = " > ".join(chunk.header_path[len(host.header_path) :])
            content = "\n\n".join(part for part in (host.content, below, chunk.content) if part)
            if len(content) <= max_chars:
                host = replace(host, content=content)
                moved[chunk.chunk_id] = host.chunk_id
                continue
        if host is not None:
            yield host
        host = chunk
    if host is not None:
        yield host


def _is_within(chunk: Chunk, host: Chunk) -> bool:
    path = host.header_path
    same_file = (chunk.filename, chunk.category) == (host.filename, host.category)
    return same_file and bool(path) and chunk.header_path[: len(path)] == path

"""Cut a long chunk into parts, at the coarsest boundary that serves; join short ones to their section."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
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
_MARKDOWN = MarkdownIt("commonmark").enable("table").disable("inline")  # blocks are all we ask for


@dataclass(frozen=True, slots=True)
class _Block:
    """A stretch of lines of one kind; together they are the text."""

    text: str
    kind: str = ""  # heading, fence, table; else paragraphs of any kind


def cut(chunk: Chunk, max_chars: int, headings: bool = True) -> list[Chunk]:
    """Cut a chunk into parts of at most ``max_chars``: at headings, else paragraphs, lines, sentences, words.

    Without ``headings`` none is looked for: a page was cut at its own, and the ``#`` left in it are comments in code.
    Fenced code, the row of a table and a word are never cut; one that is longer makes a longer part. The first part
    keeps the id, the others get ``::part2``, ``::part3`` appended; the source of each says which it is.
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
    """Keep sections together that fit, and give one that does not parts of its own."""
    waiting: list[str] = []
    for section in _sections(_blocks(text, headings)):
        whole = "".join(block.text for block in section)
        if len(whole.rstrip()) <= max_chars:
            waiting.append(whole)
            continue
        yield from _filled(waiting, max_chars)
        waiting = []
        yield from _filled(_pieces(section, max_chars), max_chars)
    yield from _filled(waiting, max_chars)


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


def _pieces(blocks: list[_Block], max_chars: int) -> Iterator[str]:
    """Yield what stays together: headings, fenced code, rows, paragraphs, and smaller pieces of long ones."""
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
    if len(text.rstrip()) <= max_chars or level == len(_FINER):
        yield text
        return
    for piece in _cut_at(_FINER[level], text):
        yield from _fitting(piece, max_chars, level + 1)


def _cut_at(boundary: Boundary, text: str) -> Iterator[str]:
    return (text[start:end] for start, end in pairwise([0, *boundary(text), len(text)]) if end > start)


def _sections(blocks: Iterable[_Block]) -> Iterator[list[_Block]]:
    """Divide before each heading; headings with nothing between them stay with what follows."""
    section: list[_Block] = []
    for block in blocks:
        if block.kind == "heading" and any(one.kind != "heading" and one.text.strip() for one in section):
            yield section
            section = []
        section.append(block)
    yield section


def _blocks(text: str, headings: bool) -> Iterator[_Block]:
    starts = [0, *_LINE(text), len(text)]
    lines = text.split("\n")
    done = 0
    # The parser takes a lone carriage return for a line end, and would count other lines than we do.
    for token in _MARKDOWN.parse(text.replace("\r", " ")):
        kind = token.type.removesuffix("_open")
        if token.map is None or kind not in ("fence", "heading", "table"):
            continue
        first, last = token.map
        if kind == "heading" and (token.level or not headings):  # a level: in a list or a quote
            continue
        if kind == "fence" and not _is_closed(lines[first:last], token.markup):
            continue  # a stray mark, which to the parser makes code of all that follows
        start, end = (starts[min(line, len(starts) - 1)] for line in (first, last))
        yield _Block(text[done:start])
        yield _Block(text[start:end], kind)
        done = end
    yield _Block(text[done:])


def _is_closed(lines: list[str], mark: str) -> bool:
    return len(lines) > 1 and lines[-1].lstrip("> \t").rstrip().startswith(mark)


def join_short(chunks: Iterable[Chunk], min_chars: int, max_chars: int, moved: dict[str, str]) -> Iterator[Chunk]:
    """Join a chunk shorter than ``min_chars`` to the one before it, if that is of its section and has room for it.

    Of its section is what has the same header path in the same file, or one that leads there; the rest of the path
    becomes a line above the joined text. ``moved`` takes the ids of joined chunks and where they went.
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
    above = host.header_path
    same = (chunk.filename, chunk.category) == (host.filename, host.category)
    return same and bool(above) and chunk.header_path[: len(above)] == above

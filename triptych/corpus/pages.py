"""Folders of pages that link to each other: what the readers of Markdown and of HTML have in common."""

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from triptych.corpus.reading import Reading, Rejected
from triptych.corpus.records import Chunk, Link
from triptych.corpus.tables import cleaned
from triptych.corpus.texts import sentence_spans
from triptych.errors import UserError


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the text below it, up to the next heading."""

    chunk_id: str
    header_path: tuple[str, ...]
    title: str
    line: int  # of the heading, 1-based
    content: str
    flaw: str = ""  # why it is no chunk, if not for want of content
    merged: bool = False  # into an earlier one of the same title and content, whose chunk id it bears


@dataclass(frozen=True, slots=True)
class Reference:
    """A link as it is written: the section that holds it, its destination, its words and their sentence."""

    section: int
    destination: str
    text: str
    context: str


@dataclass(slots=True)
class Page:
    """One file; where an anchor or a reference lies is the index of its section."""

    sections: list[Section] = field(default_factory=list)
    anchors: dict[str, int] = field(default_factory=dict)
    references: list[Reference] = field(default_factory=list)

    def chunk_at(self, section: int) -> str | None:
        """Return the chunk of a section or, if that is none, the first one below it."""
        return next((one.chunk_id for one in self.sections[section:] if _is_chunk(one)), None)

    def section_of(self, anchor: str) -> int | None:
        """Return the section that holds an anchor, in any case if not in that which is given."""
        return self.anchors.get(anchor, self.anchors.get(anchor.lower()))


def read_pages(
    folder: Path, suffixes: tuple[str, ...], category: str | None, parse: Callable[[str, Path], Page]
) -> Reading:
    """Read every page under a folder, or a single file; ``parse`` gets its name in the folder and its path.

    Without ``category`` a chunk takes the first folder of its path, or the name of ``folder`` itself.
    """
    pages = load_pages(folder, suffixes, parse)
    root = (folder if folder.is_dir() else folder.parent).resolve().name
    reading = Reading()
    for name, page in pages.items():
        own = category or (name.split("/")[0] if "/" in name else root)
        for one in page.sections:
            source = f"{name}:{one.line}"
            if one.merged:
                reading.merged += 1
            elif _is_chunk(one):
                reading.chunks.append(Chunk(one.chunk_id, own, name, one.header_path, one.title, one.content, source))
            else:
                reading.rejected.append(Rejected(source, one.flaw or "empty section", " > ".join(one.header_path)))
    reading.links = list(dict.fromkeys(link for name in pages for link in _links(name, pages)))
    return reading


def load_pages(folder: Path, suffixes: tuple[str, ...], parse: Callable[[str, Path], Page]) -> dict[str, Page]:
    """Parse every page under a folder, or a single file, by its name; what is said twice is merged.

    A manual repeats its footer and its common options on page after page. Kept, they would be equal answers to one
    query, and join all their pages to one document.
    """
    root = folder if folder.is_dir() else folder.parent
    pages: dict[str, Page] = {}
    first: dict[tuple[str, str], str] = {}
    for path in _files(folder, suffixes):
        name = cleaned(path.relative_to(root).as_posix())
        page = pages[name] = parse(name, path)
        for number, one in enumerate(page.sections):
            if _is_chunk(one):
                kept = first.setdefault((one.title, one.content), one.chunk_id)
                if kept != one.chunk_id:
                    page.sections[number] = replace(one, chunk_id=kept, merged=True)
    return pages


def target(name: str, destination: str, pages: dict[str, Page]) -> str | None:
    """Find the chunk that a destination names, seen from the file ``name``; None for any other place.

    Only pages that were read are looked up, so no ``..`` leads out of the folder.
    """
    try:
        parts = urlsplit(destination)
    except ValueError:  # "//[::g]"
        return None
    path, anchor = cleaned(unquote(parts.path)), cleaned(unquote(parts.fragment))
    if parts.scheme or parts.netloc or not (path or anchor):
        return None
    folder = "" if path.startswith("/") else posixpath.dirname(name)  # "/" is the root of the documentation
    page = pages.get(posixpath.normpath(posixpath.join(folder, path.lstrip("/"))) if path else name)
    if page is None:
        return None
    section = page.section_of(anchor) if anchor else 0
    return None if section is None else page.chunk_at(section)


def references(section: int, text: str, links: list[tuple[str, int, int]]) -> Iterator[Reference]:
    """Make references of the links in a block of text, each given as destination, start and end."""
    for destination, start, end in links:
        words = folded(text[start:end])
        if words:
            around = [one for one in sentence_spans(text) if one[0] < end and start < one[1]]
            yield Reference(section, destination, words, folded(text[around[0][0] : around[-1][1]]))


def folded(text: str) -> str:
    """Put a text on one line."""
    return " ".join(text.split())


def holds(folder: Path, suffixes: tuple[str, ...]) -> bool:
    """Tell whether a folder, or one below it, has a file with one of the suffixes."""
    return any(path.suffix.lower() in suffixes and path.is_file() for path in folder.rglob("*"))


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    if folder.is_file():
        return [folder]
    found = [path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file()]
    if not found:
        problem = f"holds no {' or '.join(suffixes)} file" if folder.is_dir() else "does not exist"
        raise UserError(f"{folder} {problem}; correct its path in ingest.sources of params.yaml")
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _is_chunk(section: Section) -> bool:
    return bool(section.content) and not section.flaw


def _links(name: str, pages: dict[str, Page]) -> Iterator[Link]:
    for one in pages[name].references:
        origin = pages[name].sections[one.section]
        chunk_id = target(name, one.destination, pages)
        if chunk_id and _is_chunk(origin):
            yield Link(origin.chunk_id, chunk_id, one.text, one.context)

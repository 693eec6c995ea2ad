"""Folders of pages that link to each other: what the readers of Markdown and of HTML have in common."""

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from urllib.parse import unquote, urlsplit

from triptych.corpus.cleaning import cleaned
from triptych.corpus.files import BadFileError, escapes, files_under
from triptych.corpus.outcomes import Merged, Outcome, Rejected, SourceCounts
from triptych.corpus.records import Chunk, Link
from triptych.corpus.texts import sentence_spans
from triptych.params.sections import Source

Parse = Callable[[str, Path], "Page"]  # of a file, given its name in the folder


@dataclass(frozen=True, slots=True)
class PageSection:
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

    sections: list[PageSection] = field(default_factory=list)
    anchors: dict[str, int] = field(default_factory=dict)
    references: list[Reference] = field(default_factory=list)
    category: str = ""  # that the page gives itself
    chunk_ids: list[str | None] = field(default_factory=list)  # of the sections; None for those that are no chunk

    def chunk_at(self, section: int) -> str | None:
        """Return the chunk of a section or, if that is none, the first one below it."""
        return next((one for one in self.chunk_ids[section:] if one), None)

    def section_of(self, anchor: str) -> int | None:
        """Return the section that holds an anchor, in any case if not in that which is given."""
        return self.anchors.get(anchor, self.anchors.get(anchor.lower()))


def read_pages(source: Source, account: SourceCounts, suffixes: tuple[str, ...], parse: Parse) -> Iterator[Outcome]:
    """Yield the sections of every page under a folder, or of a single file, and last the links between them.

    Without a category of the source a chunk takes that of its page, else the first folder of its path, else the name
    of the folder that is read. Of a page that was read only anchors and links are kept.
    """
    place = Path(source.path)
    folder = place if place.is_dir() else place.parent
    pages: dict[str, Page] = {}
    repeats = _Repeats()
    for name, path in files_under(place, suffixes).items():
        if path != place and escapes(path, folder):
            account.read += 1
            yield Rejected(name, 1, "outside the folder", "", "a link to a file elsewhere; copy the file")
            continue
        try:
            page = pages[name] = repeats.marked(parse(name, path))
        except BadFileError as error:
            account.bad_file(error)
            continue
        account.read += len(page.sections)
        category = source.category or page.category or (name.split("/")[0] if "/" in name else folder.resolve().name)
        yield from (_outcome(one, name, category) for one in page.sections)
        page.sections = []
    # Links that say the same in one sentence are one.
    yield from dict.fromkeys(link for name in pages for link in _links(name, pages))


def load_pages(folder: Path, suffixes: tuple[str, ...], parse: Parse) -> dict[str, Page]:
    """Parse every page under a folder, or a single file, by its name, with all its text."""
    repeats = _Repeats()
    return {name: repeats.marked(parse(name, path)) for name, path in files_under(folder, suffixes).items()}


class _Repeats:
    """Merges what pages say twice into the first of them.

    A manual repeats its footer and its common options on page after page. Kept, they would be equal answers to one
    query, and join all their pages to one document.
    """

    def __init__(self) -> None:
        self._first: dict[bytes, str] = {}

    def marked(self, page: Page) -> Page:
        for number, one in enumerate(page.sections):
            chunk_id = None
            if one.content and not one.flaw:
                said = blake2b(f"{one.title}\0{one.content}".encode(), digest_size=16).digest()
                chunk_id = self._first.setdefault(said, one.chunk_id)
                if chunk_id != one.chunk_id:
                    page.sections[number] = replace(one, chunk_id=chunk_id, merged=True)
            page.chunk_ids.append(chunk_id)
        return page


def _outcome(section: PageSection, name: str, category: str) -> Chunk | Merged | Rejected:
    if section.merged:
        return Merged(section.chunk_id)
    if section.flaw or not section.content:
        reason = section.flaw or "empty section"
        return Rejected(name, section.line, reason, "", " > ".join(section.header_path))
    source = f"{name}:{section.line}"
    return Chunk(section.chunk_id, category, name, section.header_path, section.title, section.content, source)


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


def _links(name: str, pages: dict[str, Page]) -> Iterator[Link]:
    for one in pages[name].references:
        origin = pages[name].chunk_ids[one.section]
        chunk_id = target(name, one.destination, pages)
        if chunk_id and origin:
            yield Link(origin, chunk_id, one.text, one.context)

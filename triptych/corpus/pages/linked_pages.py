"""Folders of pages that link to each other: the part that the Markdown and HTML readers share."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from itertools import chain
from pathlib import Path

from triptych.corpus.files import BadFileError, files_under, links_outside, other_files
from triptych.corpus.outcomes import Merged, Outcome, Rejected, SourceCounts
from triptych.corpus.pages.judgments import Reference
from triptych.corpus.pages.link_targets import EMPTY, EXTERNAL, NO_ANCHOR, LinkTargets, PageAnchors
from triptych.corpus.pages.site_pages import SitePages, site_pages
from triptych.corpus.records import INDEX, SUMMARY, UNSURE, Chunk, Link
from triptych.engine.in_order import in_order
from triptych.params.sections import Source

# Parses a file, given its relative path and its path, and counts what it normalizes. Pickled where other machines work.
Parse = Callable[[str, Path, Counter[str]], "Page"]
_NEARLY_ALL = 0.9  # share of the pages in a folder that is no category
_FILES = 16  # files that are parsed as one piece of work


@dataclass(frozen=True, slots=True)
class PageSection:
    """A heading and the text below it, up to the next heading."""

    chunk_id: str
    header_path: tuple[str, ...]
    title: str
    line: int  # of the heading, 1-based
    content: str
    flaw: str = ""  # why it is not a chunk, apart from missing content
    merged: bool = False  # into an earlier section with the same title and content, whose chunk id it has


@dataclass(slots=True)
class Page(PageAnchors):
    """One file; anchors and references refer to sections by index."""

    sections: list[PageSection] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    category: str = ""  # from the page itself
    summary: str = ""  # the description in its front matter or its head
    entries: list[tuple[str, str]] = field(default_factory=list)  # of an index: (words, destination)


def read_pages(
    source: Source,
    counts: SourceCounts,
    suffixes: tuple[str, ...],
    parse: Parse,
    included: Callable[[dict[str, Path]], dict[str, str]] | None = None,
) -> Iterator[Outcome]:
    """Yield the sections of every page under a folder, or of a single file, and finally the links between them.

    If the source has no category, the category of a chunk is that of its page, else the first folder of its path in
    which not nearly all pages are, else the name of the folder that it is in. The text of a page is dropped once its
    sections were yielded.
    ``included`` returns, for the files of the folder, in which page each of them is included.
    """
    root = Path(source.path)
    folder = root if root.is_dir() else root.parent
    pages: dict[str, Page] = {}
    repeats = _Repeats()
    found = files_under(root, suffixes)
    site = site_pages(found, included(found) if included else {}, source.editions == "all")
    counts.left_out.update(site.left_out.values())
    counts.editions += site.editions
    counts.pages = len(site.pages)
    categories = _Categories(site, folder.resolve().name)
    outside = {name for name, path in site.pages.items() if path != root and links_outside(path, folder)}
    files = [(name, path) for name, path in site.pages.items() if name not in outside]
    pieces = (files[start : start + _FILES] for start in range(0, len(files), _FILES))
    results = chain.from_iterable(in_order(partial(_parsed, parse), pieces))
    for name in site.pages:
        if name in outside:
            counts.read += 1
            yield Rejected(name, 1, "outside the folder", "", "a link to a file elsewhere; copy the file")
            continue
        parsed, changes = next(results)
        counts.normalized.update(changes)
        if isinstance(parsed, BadFileError):
            counts.bad_file(parsed)
            continue
        page = pages[name] = repeats.merge(parsed)
        counts.read += len(page.sections)
        category = source.category or page.category or categories.of(name)
        yield from (_outcome(section, name, category) for section in page.sections)
        page.sections = []
    others = other_files(root, suffixes)
    counts.left_out.update(others.counts)
    yield from _links(pages, LinkTargets(pages, others.names, site.aliases, site.left_out), counts)


class _Categories:
    """The folders of a site that divide it into parts: not those in which nearly all pages are, nor editions."""

    def __init__(self, site: SitePages, name: str) -> None:
        """Find the folders that say nothing; ``name`` is the category of pages beside all others."""
        self._name = name
        self._skipped = set(site.kept)
        names = list(site.pages)
        top = ""
        while True:
            folders = Counter(
                one[len(top) :].partition("/")[0] for one in names if one.startswith(top) and "/" in one[len(top) :]
            )
            folder, number = folders.most_common(1)[0] if folders else ("", 0)
            if not number or number < _NEARLY_ALL * len(names):
                return
            top += f"{folder}/"
            self._skipped.add(top[:-1])

    def of(self, name: str) -> str:
        """Return the category of a page.

        >>> from pathlib import Path
        >>> site = SitePages({name: Path(name) for name in ("src/docs/api/a.md", "src/docs/b.md")})
        >>> [_Categories(site, "site").of(name) for name in site.pages]
        ['api', 'docs']
        """
        *folders, _ = name.split("/")
        category = self._name
        for depth, folder in enumerate(folders, 1):
            category = folder
            if "/".join(folders[:depth]) not in self._skipped:
                break
        return category


def _parsed(parse: Parse, files: list[tuple[str, Path]]) -> list[tuple[Page | BadFileError, Counter[str]]]:
    """Return each file's page, or why it cannot be read, and what was normalized in it."""
    results: list[tuple[Page | BadFileError, Counter[str]]] = []
    for name, path in files:
        changes = Counter[str]()
        try:
            results.append((parse(name, path, changes), changes))
        except BadFileError as error:
            results.append((error, changes))
    return results


def load_pages(folder: Path, suffixes: tuple[str, ...], parse: Parse) -> dict[str, Page]:
    """Parse every page under a folder, or a single file; return pages with their text by relative path."""
    repeats = _Repeats()
    return {name: repeats.merge(parse(name, path, Counter())) for name, path in files_under(folder, suffixes).items()}


class _Repeats:
    """Merges sections that are equal on several pages into the first of them.

    Manuals repeat a footer or common options on every page. As separate chunks, they would be equal answers to one
    query and, as duplicates, put all their pages into one document.
    """

    def __init__(self) -> None:
        self._first: dict[bytes, str] = {}

    def merge(self, page: Page) -> Page:
        """Mark the repeated sections of a page, in place, and set its chunk ids."""
        for index, section in enumerate(page.sections):
            chunk_id = None
            if section.content and not section.flaw:
                digest = blake2b(f"{section.title}\0{section.content}".encode(), digest_size=16).digest()
                chunk_id = self._first.setdefault(digest, section.chunk_id)
                if chunk_id != section.chunk_id:
                    page.sections[index] = replace(section, chunk_id=chunk_id, merged=True)
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


def _links(pages: dict[str, Page], targets: LinkTargets, counts: SourceCounts) -> Iterator[Link]:
    """Yield the links between chunks; links with equal chunks, text and sentence once. All others are counted."""
    targets.learn_prefixes(one.destination for page in pages.values() for one in page.references)
    links: dict[Link, None] = {}
    for name, page in pages.items():
        for reference in page.references:
            origin = page.chunk_ids[reference.section]
            if origin is None:
                counts.references["in_no_chunk"] += 1
                continue
            chunk_id, reason = targets.resolve(name, reference.destination, reference.text)
            if reason in (EXTERNAL, EMPTY):
                counts.references[reason] += 1
            elif chunk_id is None:
                counts.unknown_target(reason, f"{name}: {reference.destination}")
            else:
                counts.references["to_page_instead_of_anchor"] += reason == NO_ANCHOR
                kind = UNSURE if reason == NO_ANCHOR else reference.kind
                link = Link(origin, chunk_id, reference.text, reference.context, kind)
                counts.references["repeated"] += link in links
                links[link] = None
        links |= dict.fromkeys(_without_origin(name, page, targets))
    yield from links


def _without_origin(name: str, page: Page, targets: LinkTargets) -> Iterator[Link]:
    """Yield what the author of a page judged in words that are in no chunk: its summary and the entries of an index."""
    start = page.start()
    if page.summary and start:
        yield Link(start, start, "", page.summary, SUMMARY)
    for words, destination in page.entries:
        if chunk_id := targets.resolve(name, destination).chunk_id:
            yield Link(chunk_id, chunk_id, "", words, INDEX)

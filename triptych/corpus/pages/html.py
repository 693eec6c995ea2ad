"""HTML files: one chunk per section, and the links between sections."""

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from lxml import etree

from triptych.corpus.cleaning import cleaned
from triptych.corpus.files import BadFileError, bom_encoding, decode, files_under, read_page
from triptych.corpus.outcomes import Outcome, SourceCounts
from triptych.corpus.pages.html_rules import MOSTLY, slug
from triptych.corpus.pages.html_walker import HtmlWalker, SectionDraft
from triptych.corpus.pages.judgments import Block, Reference, folded, is_index, references
from triptych.corpus.pages.linked_pages import Page, PageSection, load_pages, read_pages
from triptych.params.sections import Source

SUFFIXES = (".html", ".htm")
# A definition list stays in its section unless the section is longer than embedders read (256 to 512 tokens). Then
# each entry (a function, an option, a term) becomes a chunk: truncated text would never be found.
_LONG = 2000  # characters
_LONGEST_NAME = 80  # characters of all terms of an entry; above that its title is the first term
# In page titles, between the title and the name of the site; a name that most pages of a sample have is the site's.
_TITLE_SEPARATOR = re.compile(r"\s+[-–—|·•»«›‹]+\s+|:\s+")  # noqa: RUF001
_IN_BRACKETS = re.compile(r"\s+(\([^()]+\))$")
_SAMPLE, _FEWEST, _MOST = 100, 3, 0.5  # pages sampled, pages needed, share of the pages with the name

_LISTING = re.compile(
    r"(?:^|/)(?:genindex(?:-\w+)?|doc-index(?:-\w+)?|index-all|index-files/index-\d+|(?:py|np|c|cpp)-modindex|modindex|search)(?:/index)?\.html?$",
    re.I,
)

_CHARSET = re.compile(rb"""<meta[^>]*?charset\s*=\s*["']?\s*([\w.:-]+)|<\?xml[^>]*?encoding=["']([\w.:-]+)""", re.I)
_ACTUAL = dict.fromkeys(("ascii", "iso-8859-1", "latin-1", "latin1", "us-ascii"), "cp1252")  # as in browsers


def read_html(source: Source, counts: SourceCounts) -> Iterator[Outcome]:
    """Read every HTML file under a folder, or a single file, cut at its headings.

    If the source has no category, the category of a chunk is the first folder of its path, else the name of the
    folder of the source.
    """
    titles = _SiteTitles(Path(source.path), source.encoding)

    def page(name: str, path: Path, changes: Counter[str]) -> Page:
        return _page(name, path, source.encoding, changes, titles)

    return read_pages(source, counts, SUFFIXES, page)


def html_pages(folder: Path) -> dict[str, Page]:
    """Parse every HTML file under a folder; return pages by relative path, to look up anchors in them."""
    titles = _SiteTitles(folder)
    return load_pages(folder, SUFFIXES, lambda name, path, _: _page(name, path, titles=titles))


class _SiteTitles:
    """Removes the name of the site, with which most of its pages begin or end their titles."""

    def __init__(self, root: Path, encoding: str | None = None) -> None:
        self._root, self._encoding = root, encoding

    def shortened(self, title: str) -> str:
        """Return a title without the name of the site; empty if it is nothing else."""
        while (parts := list(_TITLE_SEPARATOR.finditer(title))) and title not in self._names:
            first, last = parts[0], parts[-1]
            if title[last.end() :] in self._names:
                title = title[: last.start()]
            elif title[: first.start()] in self._names:
                title = title[first.end() :]
            else:
                break
        if (match := _IN_BRACKETS.search(title)) and match[1] in self._names:  # of Javadoc
            title = title[: match.start()]
        return "" if title in self._names else title

    @cached_property
    def _names(self) -> set[str]:
        paths = list(files_under(self._root, SUFFIXES).values())
        counts, titles = Counter[str](), 0
        for path in paths[:: -(-len(paths) // _SAMPLE)]:
            try:
                text = cleaned(_text(path, self._encoding))
                title = _title(_tree(path, text) if text.strip() else None)
            except BadFileError:
                continue  # it is reported where it is read
            titles += bool(title)
            counts.update(_ends(title))
        return {name for name, count in counts.items() if count >= _FEWEST and count > _MOST * titles}


def _page(
    name: str,
    path: Path,
    encoding: str | None = None,
    changes: Counter[str] | None = None,
    titles: _SiteTitles | None = None,
) -> Page:
    """Cut a file at its headings; text above the first heading is a section with the title of the page.

    In a page without a heading of level 1, the title, without the name of the site, is at the root of all header paths.
    """
    text = cleaned(_text(path, encoding), changes)
    tree = _tree(path, text) if text.strip() else None
    title = _title(tree)
    walker = HtmlWalker(title or PurePosixPath(name).stem, is_index(name))
    if tree is not None:
        walker.walk(tree)
    if title and not walker.has_top_heading and len(walker.drafts) > 1:
        _put_below(titles.shortened(title) if titles else title, walker.drafts[1:])
    elif titles and (short := titles.shortened(title)) and short != title:  # Confluence repeats it in the heading
        for draft in walker.drafts:
            draft.path = (short, *draft.path[1:]) if draft.path[0] == title else draft.path
    page = Page(title=title, summary=_summary(tree), entries=walker.entries)
    section_of, fragments = dict[SectionDraft, int](), set[str]()
    for number, draft in enumerate(walker.drafts):
        if number or draft.parts or len(walker.drafts) == 1:
            _add_sections(draft, name, page, section_of, fragments)
    if _LISTING.search(name):  # its entries are judgments, but no text
        page.sections = [replace(section, flaw="only links") for section in page.sections]
    page.headed = next((section_of[draft] for draft in walker.drafts[1:]), 0)
    page.anchors = {anchor: section_of.get(draft, 0) for anchor, draft in walker.anchors.items()}
    blocks = (Block(section_of[draft], text, links, item) for draft, text, links, item in walker.blocks)
    page.references = _from_base(tree, name, references(blocks, name))
    return page


def _from_base(tree: Any, name: str, found: Iterable[Reference]) -> list[Reference]:
    """Return references whose destinations are relative to their page, not to the address in ``<base>``."""
    base = None if tree is None else tree.find(".//base[@href]")
    href = "" if base is None else base.get("href")
    if not href or ":" in href or href in (".", "./"):
        return list(found)
    return [one._replace(destination=_moved(one.destination, name, href)) for one in found]


def _moved(destination: str, name: str, base: str) -> str:
    """Return a destination relative to a base as an address from the root of the folder.

    >>> _moved("de/text/b.html#x", "text/a.html", "../../"), _moved("b.html", "text/a.html", "../help/")
    ('/de/text/b.html#x', '/help/b.html')
    """
    if destination.startswith(("#", "/", "?")) or re.match(r"[\w+.-]+:", destination):
        return destination
    folder = posixpath.join("/", posixpath.dirname(name), posixpath.dirname(base))  # above the root is the root
    return posixpath.normpath(posixpath.join(folder, destination))


def _title(tree: Any) -> str:
    return "" if tree is None else folded(cleaned(tree.findtext(".//title") or ""))


def _ends(title: str) -> set[str]:
    """Return what is before and after each separator of a title; the title itself if it has none."""
    parts = list(_TITLE_SEPARATOR.finditer(title))
    if match := _IN_BRACKETS.search(title):
        return _ends(title[: match.start()]) | {match[1]}
    return {title[: one.start()] for one in parts} | {title[one.end() :] for one in parts} or {title}


def _put_below(title: str, drafts: list[SectionDraft]) -> None:
    """Put a title at the root of the header paths that do not begin with it, or with what a separator divides it in."""
    for draft in drafts:
        if title.casefold() not in draft.path[0].casefold() and draft.path[0] not in _ends(title):
            draft.path = (title, *draft.path)


def _summary(tree: Any) -> str:
    """Return the description in the head of a page, "" if it has none."""
    head = None if tree is None else tree.find("head")
    metas = [] if head is None else head.iter("meta")
    found = (one.get("content") for one in metas if (one.get("name") or "").lower() == "description")
    return folded(cleaned(next(found, None) or ""))


def _text(path: Path, encoding: str | None) -> str:
    """Decode a file by its byte order mark, else ``encoding``, else its ``<meta charset>``, else as UTF-8."""
    data = read_page(path)
    encoding = bom_encoding(data) or encoding
    if not encoding and (match := _CHARSET.search(data, 0, 1024)):
        named = (match[1] or match[2]).decode().lower()
        encoding = (
            "utf-8" if named.startswith("utf-16") else _ACTUAL.get(named, named)
        )  # the name was readable as ASCII
    try:
        return decode(path, data, encoding or "utf-8", "save it as UTF-8 or correct its <meta charset>")
    except LookupError as error:
        raise BadFileError(f"{path}: unknown encoding {encoding!r} in <meta charset>; correct it there") from error


def _tree(path: Path, text: str) -> Any:
    """Parse a page as leniently as browsers do; raise `BadFileError` if the parser gives up."""
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    tree = etree.fromstring(text.encode(), parser)
    for problem in parser.error_log:
        if problem.level_name == "FATAL":
            raise BadFileError(f"{path}:{problem.line}: {problem.message.split(',')[0]}; fix the page or remove it")
    return tree


def _add_sections(
    draft: SectionDraft, name: str, page: Page, section_of: dict[SectionDraft, int], fragments: set[str]
) -> None:
    """Append a draft to the sections of a page, and each of its entries if it is long.

    ``section_of`` is filled with the index of the section that contains each draft, ``fragments`` with those in use.
    """
    entries, content = draft.entries(), draft.text()
    split = bool(entries) and len(content) > _LONG
    if split:
        content = "\n\n".join(part for part in draft.parts if isinstance(part, str))
    included = [draft] if split else list(draft.drafts())
    section_of |= dict.fromkeys(included, len(page.sections))
    only_links = sum(one.linked for one in included) > MOSTLY * len(content) or (draft.contents and not content)
    fragment, number = draft.fragment, 1
    while fragment in fragments:
        number += 1
        fragment = f"{draft.fragment}-{number}"
    fragments.add(fragment)
    chunk_id = f"{name}#{fragment}" if fragment else name
    flaw = "only links" if only_links else ""
    page.sections.append(PageSection(chunk_id, draft.path, draft.path[-1], draft.line, content, flaw))
    for entry in entries if split else []:
        terms = ", ".join(entry.terms)
        term = terms if len(terms) <= _LONGEST_NAME else entry.terms[0]
        entry.path = (*draft.path, term) if term else draft.path
        entry.fragment = entry.fragment or f"{fragment}/{slug(term)}".lstrip("/")
        _add_sections(entry, name, page, section_of, fragments)

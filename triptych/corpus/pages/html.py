"""HTML files: one chunk per section, and the links between sections."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from lxml import etree

from triptych.corpus.cleaning import cleaned
from triptych.corpus.files import BadFileError, decoded, marked, read_bytes
from triptych.corpus.outcomes import Outcome, SourceCounts
from triptych.corpus.pages.html_rules import MOSTLY, slug
from triptych.corpus.pages.html_walker import HtmlWalker, SectionDraft
from triptych.corpus.pages.linked_pages import Page, PageSection, folded, load_pages, read_pages, references
from triptych.params.sections import Source

SUFFIXES = (".html", ".htm")
# A list of definitions stays in its section, as one thought, unless the section is longer than embedders read (256
# to 512 tokens): then each entry (a function, an option, a term) is a chunk, or its text would never be found.
_LONG = 2000
_LONGEST_NAME = 80  # of an entry with several terms; longer ones go by the first

_CHARSET = re.compile(rb"""<meta[^>]*?charset\s*=\s*["']?\s*([\w.:-]+)|<\?xml[^>]*?encoding=["']([\w.:-]+)""", re.I)
_MEANT = dict.fromkeys(("ascii", "iso-8859-1", "latin-1", "latin1", "us-ascii"), "cp1252")  # as browsers take them


def read_html(source: Source, account: SourceCounts) -> Iterator[Outcome]:
    """Read every HTML file under a folder, or a single file, cut at its headings.

    Without a category of the source a chunk takes the first folder of its path, or the name of the folder that is
    read.
    """

    def page(name: str, path: Path) -> Page:
        return _page(name, path, source.encoding, account.normalized)

    return read_pages(source, account, SUFFIXES, page)


def html_pages(folder: Path) -> dict[str, Page]:
    """Parse every HTML file under a folder by its name, for those who look up anchors themselves."""
    return load_pages(folder, SUFFIXES, _page)


def _page(name: str, path: Path, encoding: str | None = None, done: Counter[str] | None = None) -> Page:
    """Cut a file at its headings; text above the first one is a section under the page's title."""
    text = cleaned(_text(path, encoding), done)
    tree = _tree(path, text) if text.strip() else None
    title = "" if tree is None else folded(cleaned(tree.findtext(".//title") or ""))
    walk = HtmlWalker(title or PurePosixPath(name).stem)
    if tree is not None:
        walk.through(tree)
    page, home, taken = Page(), dict[SectionDraft, int](), set[str]()
    for number, draft in enumerate(walk.drafts):
        if number or draft.parts or len(walk.drafts) == 1:
            _lay_out(draft, name, page, home, taken)
    page.anchors = {anchor: home.get(draft, 0) for anchor, draft in walk.anchors.items()}
    page.references = [one for draft, block, links in walk.links for one in references(home[draft], block, links)]
    return page


def _text(path: Path, encoding: str | None) -> str:
    """Decode a file as its byte order mark says, else the source, else its ``<meta charset>``, else as UTF-8."""
    data = read_bytes(path)
    encoding = marked(data) or encoding
    if not encoding and (match := _CHARSET.search(data, 0, 1024)):
        named = (match[1] or match[2]).decode().lower()
        encoding = "utf-8" if named.startswith("utf-16") else _MEANT.get(named, named)  # it was read as ASCII
    try:
        return decoded(path, data, encoding or "utf-8", "save it as UTF-8 or correct its <meta charset>")
    except LookupError as error:
        raise BadFileError(f"{path}: unknown encoding {encoding!r} in <meta charset>; correct it there") from error


def _tree(path: Path, text: str) -> Any:
    """Parse a page as browsers do, which take anything; refuse one that the parser gave up."""
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    tree = etree.fromstring(text.encode(), parser)
    for problem in parser.error_log:
        if problem.level_name == "FATAL":
            raise BadFileError(f"{path}:{problem.line}: {problem.message.split(',')[0]}; mend the page or remove it")
    return tree


def _lay_out(draft: SectionDraft, name: str, page: Page, home: dict[SectionDraft, int], taken: set[str]) -> None:
    """Make a section of a draft and, where it is long, of each of its entries; note where every draft went."""
    entries, content = draft.entries(), draft.text()
    apart = bool(entries) and len(content) > _LONG
    if apart:
        content = "\n\n".join(part for part in draft.parts if isinstance(part, str))
    inside = [draft] if apart else list(draft.drafts())
    home |= dict.fromkeys(inside, len(page.sections))
    only_links = sum(one.linked for one in inside) > MOSTLY * len(content) or (draft.contents and not content)
    fragment, number = draft.fragment, 1
    while fragment in taken:
        number += 1
        fragment = f"{draft.fragment}-{number}"
    taken.add(fragment)
    chunk_id = f"{name}#{fragment}" if fragment else name
    flaw = "only links" if only_links else ""
    page.sections.append(PageSection(chunk_id, draft.path, draft.path[-1], draft.line, content, flaw))
    for entry in entries if apart else []:
        terms = ", ".join(entry.terms)
        term = terms if len(terms) <= _LONGEST_NAME else entry.terms[0]
        entry.path = (*draft.path, term) if term else draft.path
        entry.fragment = entry.fragment or f"{fragment}/{slug(term)}".lstrip("/")
        _lay_out(entry, name, page, home, taken)

"""Markdown files: one chunk per section, and the links between sections."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from triptych.corpus.cleaning import cleaned, one_line
from triptych.corpus.files import read_text
from triptych.corpus.outcomes import Outcome, SourceCounts
from triptych.corpus.pages.linked_pages import Page, PageSection, folded, read_pages, references
from triptych.params.sections import Source

_PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
SUFFIXES = (".md", ".markdown")
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?\n)??---[ \t]*(?:\n|\Z)", re.DOTALL)
_KEY_LINE = re.compile(r"^(\w+):[ \t]+(.*\S)", re.MULTILINE)
_BLANK_EDGES = re.compile(r"\A(?:[ \t]*\n)+|\s+\Z")
# GitHub keeps letters, marks, decimal digits and connectors (such as the underscore) in anchors.
_IN_ANCHOR = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Pc"}


def read_markdown(source: Source, counts: SourceCounts) -> Iterator[Outcome]:
    """Read every Markdown file under a folder, or a single file, cut at its headings.

    If the source has no category, the category of a chunk is that in the front matter, else the first folder of its
    path, else the name of the folder of the source.
    """

    def page(name: str, path: Path) -> Page:
        return _page(name, cleaned(read_text(path, source.encoding), counts.normalized), counts.normalized)

    return read_pages(source, counts, SUFFIXES, page)


def _page(name: str, text: str, changes: Counter[str]) -> Page:
    """Cut a file at its headings; text above the first heading is a section with the name of the file."""
    text, front, skipped = _without_front_matter(text, changes)
    title, category = (one_line(front.get(key)) for key in ("title", "category"))
    changes["front_matter_ignored"] += (title is None) + (category is None)
    lines, stem = text.split("\n"), PurePosixPath(name).stem
    tokens = _PARSER.parse(text)
    titles = [_flat(inline)[0] for token, inline in pairwise(tokens) if token.type == "heading_open"]
    slugs = _slugs(titles)
    headings = list(zip((token for token in tokens if token.type == "heading_open"), titles, slugs, strict=True))
    # Headings in lists and quotes do not start a section, but have anchors.
    cuts = [heading for heading in headings if heading[0].level == 0]
    ends = [_span(token)[0] for token, _, _ in cuts] + [len(lines)]
    page = Page(category=category or "")
    content = _body(lines[: ends[0]])
    if content or not cuts:
        page.sections.append(PageSection(name, (stem,), title or stem, skipped + 1, content))
    above: list[tuple[int, str]] = []
    for (token, heading_text, slug), end in zip(cuts, ends[1:], strict=True):
        start, level = _span(token), int(token.tag[1:])
        above = [one for one in above if one[0] < level] + [(level, folded(heading_text))]
        path = tuple(text for _, text in above if text) or (stem,)
        content = _body(lines[start[1] : end])
        page.sections.append(PageSection(f"{name}#{slug}", path, path[-1], skipped + start[0] + 1, content))
    _locate(page, tokens, slugs, len(page.sections) - len(cuts) - 1)
    return page


def _locate(page: Page, tokens: list[Token], slugs: list[str], section: int) -> None:
    """Record the section of each anchor and each reference; ``section`` is the index of the first one."""
    anchors = iter(slugs)
    for token in tokens:
        if token.type == "heading_open":
            section += token.level == 0
            page.anchors[next(anchors)] = section
        elif token.type == "inline":
            page.references.extend(references(section, *_flat(token)))


def _without_front_matter(text: str, changes: Counter[str]) -> tuple[str, dict[str, Any], int]:
    """Return the text below the front matter, the values of the front matter, and its number of lines.

    Two rulers around prose look the same: it is front matter only if YAML parses a mapping. Lines that are not YAML,
    such as ``title: Numbers: an overview``, are read as ``key: value`` each, and counted.
    """
    match = _FRONT_MATTER.match(text)
    if not match:
        return text, {}, 0
    try:
        values = yaml.safe_load(match[1] or "{}")
    except (yaml.YAMLError, ValueError, RecursionError):
        values = {key: value.strip("'\"") for key, value in _KEY_LINE.findall(match[1])}
        changes["front_matter_not_yaml"] += 1
    if not isinstance(values, dict):
        return text, {}, 0
    return text[match.end() :], values, text.count("\n", 0, match.end())


def _slugs(titles: Iterable[str]) -> list[str]:
    """Return the anchors that GitHub gives to the headings of a file.

    >>> _slugs(["What's new?", "The sort_by() method", "What's new?"])
    ['whats-new', 'the-sort_by-method', 'whats-new-1']
    """
    repeats: dict[str, int] = {}
    for title in titles:
        kept = (char for char in title.lower() if char in " -" or unicodedata.category(char) in _IN_ANCHOR)
        slug = base = "".join(kept).replace(" ", "-")
        while slug in repeats:
            repeats[base] += 1
            slug = f"{base}-{repeats[base]}"
        repeats[slug] = 0
    return list(repeats)


def _span(token: Token) -> tuple[int, int]:
    """Return the first line of a block and the line after its end."""
    if token.map is None:
        raise ValueError(f"a block without lines: {token.type}")
    return token.map[0], token.map[1]


def _body(lines: list[str]) -> str:
    return _BLANK_EDGES.sub("", "\n".join(lines))


def _flat(inline: Token) -> tuple[str, list[tuple[str, int, int]]]:
    """Return the plain text of a block, and each link in it as (destination, start, end)."""
    text, links, open_link = "", list[tuple[str, int, int]](), ("", 0)
    for child in inline.children or []:
        if child.type in ("text", "code_inline"):
            text += child.content
        elif child.type in ("softbreak", "hardbreak"):
            text += " "
        elif child.type == "link_open":
            open_link = (str(child.attrGet("href") or ""), len(text))
        elif child.type == "link_close":
            links.append((*open_link, len(text)))
    return text, links

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
# GitHub's anchors keep letters, marks, decimal digits and connectors such as the underscore.
_IN_ANCHOR = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Pc"}


def read_markdown(source: Source, account: SourceCounts) -> Iterator[Outcome]:
    """Read every Markdown file under a folder, or a single file, cut at its headings.

    Without a category of the source a chunk takes that in the front matter, else the first folder of its path, else
    the name of the folder that is read.
    """

    def page(name: str, path: Path) -> Page:
        return _page(name, cleaned(read_text(path, source.encoding), account.normalized), account.normalized)

    return read_pages(source, account, SUFFIXES, page)


def _page(name: str, text: str, done: Counter[str]) -> Page:
    """Cut a file at its headings; text above the first one is a section under the file's stem."""
    text, front, skipped = _without_front_matter(text, done)
    title, category = (one_line(front.get(key)) for key in ("title", "category"))
    done["front_matter_ignored"] += (title is None) + (category is None)
    lines, stem = text.split("\n"), PurePosixPath(name).stem
    tokens = _PARSER.parse(text)
    titles = [_flat(inline)[0] for token, inline in pairwise(tokens) if token.type == "heading_open"]
    slugs = _slugs(titles)
    headings = list(zip((token for token in tokens if token.type == "heading_open"), titles, slugs, strict=True))
    # Headings inside lists and quotes cut nothing, but have anchors.
    cuts = [one for one in headings if one[0].level == 0]
    ends = [_span(token)[0] for token, _, _ in cuts] + [len(lines)]
    page = Page(category=category or "")
    content = _body(lines[: ends[0]])
    if content or not cuts:
        page.sections.append(PageSection(name, (stem,), title or stem, skipped + 1, content))
    above: list[tuple[int, str]] = []
    for (token, words, slug), end in zip(cuts, ends[1:], strict=True):
        start, level = _span(token), int(token.tag[1:])
        above = [one for one in above if one[0] < level] + [(level, folded(words))]
        path = tuple(one for _, one in above if one) or (stem,)
        content = _body(lines[start[1] : end])
        page.sections.append(PageSection(f"{name}#{slug}", path, path[-1], skipped + start[0] + 1, content))
    _locate(page, tokens, slugs, len(page.sections) - len(cuts) - 1)
    return page


def _locate(page: Page, tokens: list[Token], slugs: list[str], section: int) -> None:
    """Note in which section each anchor and each reference lies, beginning with the one given."""
    anchors = iter(slugs)
    for token in tokens:
        if token.type == "heading_open":
            section += token.level == 0
            page.anchors[next(anchors)] = section
        elif token.type == "inline":
            page.references.extend(references(section, *_flat(token)))


def _without_front_matter(text: str, done: Counter[str]) -> tuple[str, dict[str, Any], int]:
    """Return the text below the front matter, what stands in it, and how many lines it took.

    Two rulers around prose look alike; they are told by what YAML makes of the lines between. What is no YAML, such as
    ``title: Numbers: an overview``, is read line by line, and counted.
    """
    match = _FRONT_MATTER.match(text)
    if not match:
        return text, {}, 0
    try:
        values = yaml.safe_load(match[1] or "{}")
    except (yaml.YAMLError, ValueError, RecursionError):
        values = {key: value.strip("'\"") for key, value in _KEY_LINE.findall(match[1])}
        done["front_matter_not_yaml"] += 1
    if not isinstance(values, dict):
        return text, {}, 0
    return text[match.end() :], values, text.count("\n", 0, match.end())


def _slugs(titles: Iterable[str]) -> list[str]:
    """Make the anchors that GitHub gives to the headings of one file."""
    repeats: dict[str, int] = {}
    for title in titles:
        letters = (one for one in title.lower() if one in " -" or unicodedata.category(one) in _IN_ANCHOR)
        slug = base = "".join(letters).replace(" ", "-")
        while slug in repeats:
            repeats[base] += 1
            slug = f"{base}-{repeats[base]}"
        repeats[slug] = 0
    return list(repeats)


def _span(token: Token) -> tuple[int, int]:
    """Return the first line of a block and the one below it."""
    if token.map is None:
        raise ValueError(f"a block without lines: {token.type}")
    return token.map[0], token.map[1]


def _body(lines: list[str]) -> str:
    return _BLANK_EDGES.sub("", "\n".join(lines))


def _flat(inline: Token) -> tuple[str, list[tuple[str, int, int]]]:
    """Return a block's words as plain text, and each link in it as destination, start and end."""
    text, links, opened = "", list[tuple[str, int, int]](), ("", 0)
    for child in inline.children or []:
        if child.type in ("text", "code_inline"):
            text += child.content
        elif child.type in ("softbreak", "hardbreak"):
            text += " "
        elif child.type == "link_open":
            opened = (str(child.attrGet("href") or ""), len(text))
        elif child.type == "link_close":
            links.append((*opened, len(text)))
    return text, links

"""Markdown files: one chunk per section, and the links between sections."""

import posixpath
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from triptych.corpus.reading import Reading, Rejected
from triptych.corpus.records import Chunk, Link
from triptych.corpus.tables import cleaned, one_line, read_utf8
from triptych.corpus.texts import sentence_spans
from triptych.errors import UserError

_PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
_SUFFIXES = (".md", ".markdown")
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?\n)??---[ \t]*(?:\n|\Z)", re.DOTALL)
_BLANK_EDGES = re.compile(r"\A(?:[ \t]*\n)+|\s+\Z")
# GitHub's anchors keep letters, marks, decimal digits and connectors such as the underscore.
_IN_ANCHOR = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Pc"}


@dataclass(frozen=True, slots=True)
class _Section:
    """A heading and the lines below it, up to the next heading."""

    chunk_id: str
    header_path: tuple[str, ...]
    title: str
    line: int  # of the heading, 1-based
    content: str


@dataclass(frozen=True, slots=True)
class _Reference:
    """A link as it is written: the section that holds it, its destination, its words and their sentence."""

    section: int
    destination: str
    text: str
    context: str


@dataclass(slots=True)
class _Page:
    """One file; where an anchor or a reference lies is the index of its section."""

    sections: list[_Section] = field(default_factory=list)
    anchors: dict[str, int] = field(default_factory=dict)
    references: list[_Reference] = field(default_factory=list)

    def chunk_at(self, section: int) -> str | None:
        """Return the chunk of a section or, if that is only a heading, the first one below it."""
        return next((one.chunk_id for one in self.sections[section:] if one.content), None)


def read_markdown(folder: Path, category: str | None) -> Reading:
    """Read every Markdown file under a folder, or a single file, cut at its headings.

    Without ``category`` a chunk takes the first folder of its path, or the name of ``folder`` itself.
    """
    root = folder if folder.is_dir() else folder.parent
    pages: dict[str, _Page] = {}
    reading = Reading()
    for path in _files(folder):
        name = cleaned(path.relative_to(root).as_posix())
        page = pages[name] = _page(name, read_utf8(path))
        own = category or (name.split("/")[0] if "/" in name else root.resolve().name)
        for one in page.sections:
            source = f"{name}:{one.line}"
            if one.content:
                reading.chunks.append(Chunk(one.chunk_id, own, name, one.header_path, one.title, one.content, source))
            else:
                reading.rejected.append(Rejected(source, "empty section", " > ".join(one.header_path)))
    reading.links = list(dict.fromkeys(link for name in pages for link in _links(name, pages)))
    return reading


def _files(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    found = [path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file()]
    if not found:
        problem = "holds no .md or .markdown file" if folder.is_dir() else "does not exist"
        raise UserError(f"{folder} {problem}; correct its path in ingest.sources of params.yaml")
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _page(name: str, raw: str) -> _Page:
    """Cut a file at its headings; text above the first one is a section under the file's stem."""
    text, title, skipped = _without_front_matter(cleaned(raw))
    lines, stem = text.split("\n"), PurePosixPath(name).stem
    tokens = _PARSER.parse(text)
    titles = [_flat(inline)[0] for token, inline in pairwise(tokens) if token.type == "heading_open"]
    slugs = _slugs(titles)
    headings = list(zip((token for token in tokens if token.type == "heading_open"), titles, slugs, strict=True))
    # Headings inside lists and quotes cut nothing, but have anchors.
    cuts = [one for one in headings if one[0].level == 0]
    ends = [_span(token)[0] for token, _, _ in cuts] + [len(lines)]
    page = _Page()
    content = _body(lines[: ends[0]])
    if content or not cuts:
        page.sections.append(_Section(name, (stem,), title or stem, skipped + 1, content))
    above: list[tuple[int, str]] = []
    for (token, words, slug), end in zip(cuts, ends[1:], strict=True):
        start, level = _span(token), int(token.tag[1:])
        above = [one for one in above if one[0] < level] + [(level, _folded(words))]
        path = tuple(one for _, one in above if one) or (stem,)
        content = _body(lines[start[1] : end])
        page.sections.append(_Section(f"{name}#{slug}", path, path[-1], skipped + start[0] + 1, content))
    _locate(page, tokens, slugs, len(page.sections) - len(cuts) - 1)
    return page


def _locate(page: _Page, tokens: list[Token], slugs: list[str], section: int) -> None:
    """Note in which section each anchor and each reference lies, beginning with the one given."""
    anchors = iter(slugs)
    for token in tokens:
        if token.type == "heading_open":
            section += token.level == 0
            page.anchors[next(anchors)] = section
        elif token.type == "inline":
            page.references.extend(_references(section, token))


def _without_front_matter(text: str) -> tuple[str, str, int]:
    """Return the text below the front matter, the title in it, and how many lines it took.

    Two rulers around prose look alike; they are told by what YAML makes of the lines between.
    """
    match = _FRONT_MATTER.match(text)
    if not match:
        return text, "", 0
    try:
        values = yaml.safe_load(match[1] or "{}")
    except (yaml.YAMLError, ValueError):
        values = {}  # "title: Numbers: an overview" is meant as front matter, though it is not YAML
    if not isinstance(values, dict):
        return text, "", 0
    return text[match.end() :], one_line(values.get("title")) or "", text.count("\n", 0, match.end())


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


def _references(section: int, inline: Token) -> Iterator[_Reference]:
    text, links = _flat(inline)
    for destination, start, end in links:
        words = _folded(text[start:end])
        if words:
            around = [one for one in sentence_spans(text) if one[0] < end and start < one[1]]
            yield _Reference(section, destination, words, _folded(text[around[0][0] : around[-1][1]]))


def _folded(text: str) -> str:
    return " ".join(text.split())


def _links(name: str, pages: dict[str, _Page]) -> Iterator[Link]:
    for one in pages[name].references:
        origin = pages[name].sections[one.section]
        target = _target(name, one.destination, pages)
        if target and origin.content:
            yield Link(origin.chunk_id, target, one.text, one.context)


def _target(name: str, destination: str, pages: dict[str, _Page]) -> str | None:
    """Find the chunk that a destination names, seen from the file ``name``; None for any other place.

    Only pages that were read are looked up, so no ``..`` leads out of the folder.
    """
    try:
        parts = urlsplit(destination)
    except ValueError:  # "//[::g]"
        return None
    path, anchor = cleaned(unquote(parts.path)), cleaned(unquote(parts.fragment)).lower()
    if parts.scheme or parts.netloc or not (path or anchor):
        return None
    folder = "" if path.startswith("/") else posixpath.dirname(name)  # "/" is the root of the documentation
    page = pages.get(posixpath.normpath(posixpath.join(folder, path.lstrip("/"))) if path else name)
    if page is None:
        return None
    section = page.anchors.get(anchor) if anchor else 0
    return None if section is None else page.chunk_at(section)

"""Markdown and MDX files: one chunk per section, and the links between sections."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from triptych.corpus.cleaning import cleaned, one_line
from triptych.corpus.files import MARKDOWN, BadFileError, read_text
from triptych.corpus.outcomes import Outcome, SourceCounts
from triptych.corpus.pages.front_matter import addresses_of, redirect_of, split_front_matter, title_of
from triptych.corpus.pages.includes import Includes, site_variables, with_values
from triptych.corpus.pages.inline_syntax import ELSEWHERE, Dialect
from triptych.corpus.pages.judgments import Block, LinkSpan, folded, references
from triptych.corpus.pages.linked_pages import Page, PageSection, read_pages
from triptych.corpus.pages.markdown_syntax import Plain, plain_markdown
from triptych.params.sections import Source

_PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
_MDX_PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"]).disable("code")
_MOST_LINKS = 100_000  # the parser's time grows with their square
# Longer indents and gaps mean nothing, and take a search for a mark the square of their length.
_LONGEST_SPACE = 200  # characters
_LONG_SPACE = re.compile(rf"[ \t]{{{_LONGEST_SPACE + 1},}}")
_BLANK_EDGES = re.compile(r"\A(?:[ \t]*\n)+|\s+\Z")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})([^`]*)$")
_DEFINITION = re.compile(
    r" {0,3}\[(?!\^)[^\]]+\]:[ \t]+(?:<[^<>]*>|\S+)(?:[ \t]+(?:\"[^\"]*\"|'[^']*'|\([^()]*\)))?[ \t]*"
)  # of a link
_RULER_AT_END = re.compile(r"(?:^|\n)[ \t]*(?:-[ \t]*){3,}\Z")
_TITLE_EDGES = " \t\u200b\u200c\u200d\u2060\ufeff¶"
_ITEMS, _ITEM_ENDS = ("list_item_open", "tr_open"), ("list_item_close", "tr_close")
_MOSTLY = 0.75  # a list of anchors with a larger share of its characters in links is a table of contents
# GitHub keeps letters, marks, decimal digits and connectors (such as the underscore) in anchors.
_IN_ANCHOR = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Pc"}


class _Heading(NamedTuple):
    token: Token
    title: str
    slug: str


def read_markdown(source: Source, counts: SourceCounts) -> Iterator[Outcome]:
    """Read every Markdown file under a folder, or a single file, cut at its headings.

    If the source has no category, the category of a chunk is that in the front matter, else the first folder of its
    path, else the name of the folder of the source.
    """
    root = Path(source.path)
    dialect = _dialect(root)
    folder = root if root.is_dir() else root.parent
    includes, variables = Includes(folder, source.encoding), site_variables(folder)

    def page(name: str, path: Path, changes: Counter[str]) -> Page:
        text = cleaned(with_values(read_text(path, source.encoding, page=True), variables), changes)
        text = _LONG_SPACE.sub(" " * _LONGEST_SPACE, text)
        if (number := text.count("](")) > _MOST_LINKS:
            raise BadFileError(f"{path}: has {number:,} links, more than a page may have; divide it or remove it")
        return _page(name, text, changes, includes, dialect)

    return read_pages(source, counts, MARKDOWN, page, includes.included)


def _dialect(root: Path) -> Dialect:
    """Return what the files of a folder tell about its generator."""
    vault = (root / ".obsidian").is_dir()
    wiki = any((root / name).is_file() for name in ("_Sidebar.md", "_Footer.md")) or (root / "Home.md").is_file()
    return Dialect(any((root / name).is_file() for name in ("docfx.json", "toc.yml")), wiki and not vault, vault)


def _page(name: str, text: str, changes: Counter[str], includes: Includes, dialect: Dialect) -> Page:
    """Cut a file at its headings; text above the first heading has the title of the page, else its file name.

    The title in front matter heads the header paths of a page without a heading of level 1.
    """
    text, front, skipped = split_front_matter(text, changes)
    title = title_of(front, changes)
    category = one_line(front.get("category"))
    changes["front_matter_ignored"] += category is None
    origins = includes.expanded(name, text, changes)
    uid = one_line(front.get("uid")) or ""
    stem = PurePosixPath(name).stem
    if dialect.words_first or dialect.vault:  # the name of the file is the title, a heading is not needed
        title = title or (stem.replace("-", " ") if dialect.words_first else stem)
    plain = plain_markdown(name, [line for line, _ in origins], dialect._replace(uids=dialect.uids or bool(uid)))
    numbers = [skipped + number for _, number in origins]
    lines = plain.lines
    tokens = (_MDX_PARSER if plain.mdx else _PARSER).parse("\n".join(lines))
    contents = _contents(tokens)
    for first, last in contents:
        lines[first:last] = [""] * (last - first)
    headings = _headings(tokens, dict(plain.anchors))
    # Headings in lists and quotes do not start a section, but have anchors.
    cuts = [heading for heading in headings if heading.token.level == 0]
    ends = [_span(heading.token)[0] for heading in cuts] + [len(lines)]
    summary = one_line(front.get("description")) or one_line(front.get("summary")) or ""
    page = Page(category=category or "", uid=uid, title=title, addresses=addresses_of(front), summary=summary)
    page.redirect = redirect_of(front)
    content = _body(plain, 0, ends[0])
    if content or not cuts:
        page.sections.append(PageSection(name, (title or stem,), title or stem, skipped + 1, content))
        page.headed = int(bool(cuts) and not title)
    above: list[tuple[int, str]] = []
    is_repeated = bool(cuts) and cuts[0].title.casefold() == title.casefold()
    if cuts and not is_repeated and not any(heading.token.tag == "h1" for heading in cuts):
        root = title or _name_of(name)
        above = [(0, root)] if root and root.casefold() != cuts[0].title.casefold() else []
    for heading, end in zip(cuts, ends[1:], strict=True):
        start, level = _span(heading.token), int(heading.token.tag[1:])
        above = [one for one in above if one[0] < level] + [(level, folded(heading.title))]
        path = tuple(text for _, text in above if text) or (stem,)
        content = _body(plain, start[1], end)
        page.sections.append(PageSection(f"{name}#{heading.slug}", path, path[-1], numbers[start[0]], content))
    blocks = _locate(page, tokens, headings, contents, len(page.sections) - len(cuts) - 1)
    page.references = list(references(blocks, name))
    _locate_anchors(page, plain, cuts)
    return page


def _name_of(name: str) -> str:
    """Return the words of a file name, of which generators make the title of a page that has none.

    >>> _name_of("guide/first_steps.md"), _name_of("release-notes/README.md"), _name_of("index.md")
    ('first steps', 'release notes', '')
    """
    path = PurePosixPath(name)
    stem = path.parent.name if path.stem.lower() in ("index", "_index", "readme") else path.stem
    return re.sub(r"[-_\s]+", " ", re.sub(r"^\d+[-_.]\s*(?=\D)", "", stem)).strip()


def _headings(tokens: list[Token], ids: dict[int, str]) -> list[_Heading]:
    """Return the headings with their titles and anchors: the given id, else that of GitHub."""
    pairs = [(token, inline) for token, inline in pairwise(tokens) if token.type == "heading_open"]
    titles = [_flat(inline)[0].strip(_TITLE_EDGES) for _, inline in pairs]
    slugs = _slugs(titles)
    used = set[str]()
    headings = []
    for (token, _), title, slug in zip(pairs, titles, slugs, strict=True):
        given = ids.get(_span(token)[0], "")
        anchor = given if given and given not in used else slug
        number = 1
        while anchor in used:
            number += 1
            anchor = f"{slug}~{number}"
        used.add(anchor)
        headings.append(_Heading(token, title, anchor))
    return headings


def _contents(tokens: list[Token]) -> list[tuple[int, int]]:
    """Return the lines of the lists at the top level that are tables of contents of their own page."""
    found, stack = [], list[tuple[tuple[int, int], int]]()
    for index, token in enumerate(tokens):
        if token.type in ("bullet_list_open", "ordered_list_open"):
            stack.append((_span(token), index))
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            span, start = stack.pop()
            blocks = [_flat(inline) for inline in tokens[start:index] if inline.type == "inline"]
            links = [link for _, links in blocks for link in links]
            linked = sum(end - start for _, start, end in links)
            is_own = all(destination.startswith("#") for destination, _, _ in links)
            if not stack and len(links) > 2 and is_own and linked > _MOSTLY * sum(len(text) for text, _ in blocks):
                found.append(span)
    return found


def _locate(
    page: Page, tokens: list[Token], headings: list[_Heading], contents: list[tuple[int, int]], section: int
) -> Iterator[Block]:
    """Record the section of each anchor, and yield the blocks of text; ``section`` is the index of the first one."""
    anchors = iter(headings)
    items, number = list[int](), 0  # the open list items and rows
    for token in tokens:
        if token.type == "heading_open":
            section += token.level == 0
            page.anchors.setdefault(next(anchors).slug, section)
        elif token.type in _ITEMS:
            number += 1
            items.append(number)
        elif token.type in _ITEM_ENDS:
            items.pop()
        elif token.type == "inline":
            line = token.map[0] if token.map else 0
            if not any(start <= line < end for start, end in contents):
                yield Block(section, *_flat(token, "\n"), items[-1] if items else 0)


def _locate_anchors(page: Page, plain: Plain, cuts: list[_Heading]) -> None:
    """Record the anchors that tags and attributes set, and the slug of headings that have another id.

    An anchor below which nothing stands in its section, as above a heading, belongs to the next section.
    """
    starts = [_span(heading.token) for heading in cuts]
    first = len(page.sections) - len(cuts)
    for line, anchor in plain.anchors:
        above = sum(start[0] <= line for start in starts)
        end = starts[above][0] if above < len(starts) else len(plain.lines)
        inside = above and line < starts[above - 1][1]  # on the heading itself
        is_last = above < len(starts) and not inside and not "".join(plain.lines[line:end]).strip()
        page.anchors.setdefault(cleaned(anchor), max(0, first + above - 1 + is_last))
    for number, (heading, slug) in enumerate(zip(cuts, _slugs(heading.title for heading in cuts), strict=True)):
        if heading.slug != slug:
            page.anchors.setdefault(slug, first + number)


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


def _body(plain: Plain, start: int, end: int) -> str:
    """Return lines as a text; where removed syntax left several blank lines, one stays."""
    kept: list[str] = []
    for line, is_code in zip(plain.lines[start:end], plain.is_code[start:end], strict=True):
        if not is_code and line.lstrip().startswith("[") and _DEFINITION.fullmatch(line):
            continue  # no text
        if is_code or line.strip() or (kept and kept[-1].strip()):
            kept.append(line)
    text = _BLANK_EDGES.sub("", "\n".join(_without_empty_code(kept)).replace(f"]({ELSEWHERE}:", "]("))
    return _BLANK_EDGES.sub("", _RULER_AT_END.sub("", text))


def _without_empty_code(lines: list[str]) -> list[str]:
    """Remove fenced code without a line, which a file left that could not be included."""
    kept: list[str] = []
    fence, opened = "", 0
    for line in lines:
        kept.append(line)
        if not (match := _FENCE.match(line)):
            continue
        if not fence:
            fence, opened = match[1], len(kept) - 1
        elif match[1].startswith(fence) and not match[2].strip():
            fence = ""
            if not "".join(kept[opened + 1 : -1]).strip():
                del kept[opened:]
    return kept


def _flat(inline: Token, line_end: str = " ") -> tuple[str, list[LinkSpan]]:
    """Return the plain text of a block, and each link in it."""
    text, links, open_link = "", list[LinkSpan](), ("", 0)
    for child in inline.children or []:
        if child.type in ("text", "code_inline"):
            text += child.content
        elif child.type in ("softbreak", "hardbreak"):
            text += line_end
        elif child.type == "link_open":
            open_link = (str(child.attrGet("href") or ""), len(text))
        elif child.type == "link_close":
            links.append((*open_link, len(text)))
    return text, links

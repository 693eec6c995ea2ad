"""What generators add to Markdown: turned into plain Markdown where it is text or a link, removed where it is not.

Every function keeps the number of lines, so that line numbers stay those of the file.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote

from markdown_it import MarkdownIt

_HTML_TAGS = frozenset(
    """
    a abbr address article aside audio b base bdi bdo big blockquote body br button canvas caption center circle cite
    code col colgroup data datalist dd del details dfn dialog div dl dt em embed fieldset figcaption figure font footer
    form g h1 h2 h3 h4 h5 h6 head header hr html i iframe img input ins kbd label legend li line link main map mark menu
    meta meter nav noscript object ol optgroup option output p param path picture polygon pre progress q rect rp rt ruby
    s samp script section select small source span strike strong style sub summary sup svg table tbody td template
    textarea tfoot th thead time title tr track tt u ul var video wbr
    """.split()  # noqa: SIM905
)
_CODE_DIRECTIVES = frozenset(("code", "code-block", "code-cell", "sourcecode", "literalinclude", "math", "mermaid"))
_MENUS = frozenset(("toctree", "contents", "tableofcontents", "toc"))

_FENCE = re.compile(r"^\s*(?:>\s?)*\s*(?:[-*+]\s+|\d+[.)]\s+)?(`{3,}(?!.*`)|~{3,})\s*(.*?)\s*$")
_INDENTED_BLOCK = re.compile(r"""^(\s*)(?:!!!|\?\?\?\+?|===[!+]?)\s+([\w -]*?)\s*(?:"(.*)")?\s*$""")
_CONTAINER = re.compile(r"^(\s*(?:>\s?)*):{3,}\s*(?:\{?([\w-]+)\}?)?(?:\[(.*)\]|\s+(.*?))?\s*(?:\{[^}]*\})?\s*$")
_SLASH_BLOCK = re.compile(r"^(\s*)/{3,}\s*(?:[\w-]+)?(?:\s*\|\s*(.*?))?\s*$")
_ALERT = re.compile(r"^(\s*(?:>\s?)+)\[!(?:[\w-]+)(?:\s[^\]]*)?\][+-]?\s*(.*)$")
_DOCFX_TAB = re.compile(r"^\s*#{1,6}\s+\[([^\]]+)\]\(#tab/[^)]*\)\s*$")
# Blocks of Hugo and Jekyll whose text is code.
_CODE_START = re.compile(r"^\s*(?:\{\{[<%]\s*(?:highlight|code-toggle|code)\b([^/]*?)[>%]\}\}|\{%-?\s*highlight\b(.*?)-?%\})\s*$")
_CODE_END = re.compile(r"^\s*(?:\{\{[<%]\s*/\s*(?:highlight|code-toggle|code)\s*[>%]\}\}|\{%-?\s*endhighlight\s*-?%\})\s*$")
_RAW = re.compile(r"\{%-?\s*(?:end)?raw\s*-?%\}")
_MENU_LINE = re.compile(
    r"^\s*(?:\[TOC\]|\[\[_?toc_?\]\]|\$\{toc\}|<!--\s*toc\s*-->|[*-]\s+TOC|\{:\s*toc\b.*\}|\{\s*[.#][^{}]*\}|&nbsp;|<br\s*/?>)\s*$", re.I
)
_KRAMDOWN = re.compile(r"^\s*\{:[^}#]*\}\s*$")
_KRAMDOWN_ID = re.compile(r"^\{:[^}#]*#([\w.:-]+)[^}]*\}\s*$")
_ID = r"\{:?\s*id=[\"']([^\"']+)[\"'][^}\n]*\}|\{:?\s*(?:\.[\w-]+\s+)*#([^\s}]+)[^}\n]*\}"
_LINE_ID = re.compile(rf"\s*(?:{_ID}|\[#([\w.:-]+)\]|\{{/\*\s*#?([\w.:/-]+)\s*\*/\}}|<!--\s*#([\w.:-]+)\s*-->)\s*#*\s*$")
_BLOCK_ID = re.compile(r"(?:^|\s+)\^([\w-]+)\s*$")  # of Obsidian
_ABBREVIATION = re.compile(r"^\*\[[^\]]+\]:\s.*$")
_FOOTNOTE = re.compile(r"^(\s*)\[\^[^\]\s]+\]:\s*")
_HEADING = re.compile(r"^[ ]{0,3}<h([1-6])\b([^<>]*)>((?:(?!</?h[1-6]\b)(?s:.))*?)</h\1\s*>[ \t]*$", re.I | re.M)
_LABEL = re.compile(r"^\(([\w.: -]+)\)=\s*$")  # of MyST
_BADGE = (
    r"\[!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])\](?:\([^)]*\)|\[[^\]]*\])"
    r"|!\[[^\]]*\]\([^)\s]*(?:badge|shields\.io|codecov|travis-ci|circleci|deepsource)[^)]*\)"
)
_BADGES = re.compile(rf"^\s*(?:(?:{_BADGE}|&nbsp;)\s*)+$")

_CODE = (
    r"(?P<fence>^[ \t>]*(?:[-*+]\s+|\d+[.)]\s+)?(?P<mark>`{3,}|~{3,})[^\n`]*\n(?s:.*?)"
    r"(?:^[ \t>]*(?P=mark)[`~]*[ \t]*$|\Z))"
    r"|(?P<inline>(?<!`)(?P<ticks>`+)(?!`)(?:(?!\n[ \t]*\n)(?s:.))+?(?<!`)(?P=ticks)(?!`))"
)
_EMBEDDED = "script|style|svg|iframe|video|audio|object|canvas"
_HIDDEN = re.compile(
    rf"{_CODE}|(?P<comment><!--(?s:.*?)(?:-->|\Z)|\{{/\*(?s:.*?)\*/\}})"
    rf"|(?P<embedded>(?<!\\)<(?P<element>{_EMBEDDED})\b(?:[^<>\"']|\"[^\"]*\"|'[^']*')*(?<!/)>(?s:.*?)</(?P=element)\s*>)",
    re.MULTILINE,
)
_NAMED = re.compile(r"<!--\s*md:[\w-]+\s+([\w.:/-]+)\s*-->")  # a heading of Material's documentation
_MODULE = re.compile(
    r"""^import\s+(?:[\w*{][^'"\n;`]*(?:\n[^'"\n;`]+)*?\s+from\s+)?['"][^'"\n]+['"];?[ \t]*$"""
    r"|^export\s+(?:const|let|var|function|default|async|class|\{|\*)[^\n]*(?:\n(?![ \t]*$)[^\n]*)*",
    re.MULTILINE,
)
_BRACES = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"
_DEST = r"""["']?([^"'\s}%|]+)["']?"""
_SYNTAX = re.compile(
    r"(?P<xref><xref:(?P<uid>[^\s<>]+)>|<xref\s+href=[\"'](?P<uid2>[^\"']+)[\"'][^>]*?(?:/>|>\s*</xref>))|"
    r"(?P<role>\{(?:doc|ref|any|numref|std:ref|std:doc)\}`(?P<target>[^`\n]+)`)"
    r"|(?P<inline>(?<!`)(?P<ticks>`+)(?!`)(?:(?!\n[ \t]*\n)(?s:.))+?(?<!`)(?P=ticks)(?!`))"
    rf"|(?P<ref>\{{\{{[<%]\s*(?:rel)?ref\s+(?:path=)?{_DEST}[^}}\n]*[>%]\}}\}})"
    rf"|(?P<link>\{{%-?\s*link\s+{_DEST}\s*-?%\}})"
    rf"|(?P<post>\{{%-?\s*post_url\s+{_DEST}\s*-?%\}})"
    rf"|(?P<filter>\{{\{{-?\s*{_DEST}\s*\|\s*(?:relative_url|absolute_url|relURL|url)\s*-?\}}\}})"
    r"|(?P<template>\{\{[<%](?s:.*?)[>%]\}\}|\{%(?s:.*?)%\}|\{\{[^{}]*\}\}|\{#[^#\n]*#\})"
    r"|(?P<mark>\[\^[^\]\s]+\](?!:)|:(?:material|octicons|fontawesome|simple)-[\w-]+:(?:\{[^}\n]*\})?|\[!Video\s[^\]\n]*\])"
    r"|(?P<strong>(?<![=\w])==(?P<marked>[^=\n]+)==(?![=\w]))"
    r"|(?P<wiki>!?\[\[(?P<page>(?:#\s?)?[^\W\d_][^\[\]|\n]*)(?:\\?\|(?P<words>[^\[\]\n]+))?\]\](?![(\[]))"
    r"|(?P<attributes>(?<=[)`\]*_])\{:?\s*[.#][^}\n]*\}|(?<=[)`\]*_])\{:?\s*[\w-]+=[^}\n]*\})"
    r"|(?P<space>\{\s*['\"] *['\"]\s*\})"
    rf"|(?P<tag>(?<!\\)<(?P<close>/?)(?P<name>[A-Za-z][\w.-]*)(?P<attrs>(?=[\s/>])(?:[^<>\"'{{}}]|\"[^\"]*\"|'[^']*'|{_BRACES})*)>)"
    r"|(?P<fragment></?>)"
)
_ATTRIBUTE = re.compile(r"""([\w:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|\{\s*["'`]([^"'`]*)["'`]\s*\})""")
_VAULT = re.compile(r"%%(?s:.*?)%%|^(?:#[^\W\d][\w/-]*[ \t]*)+$", re.MULTILINE)
_IMAGE = re.compile(r"\.(?:png|jpe?g|gif|svg|webp|avif|bmp|mp4|pdf)(?:[?#].*)?$", re.IGNORECASE)
_BASE = re.compile(r"base|root|\burl\b|path|siteurl", re.IGNORECASE)
_UID = re.compile(r"(?<![\w@/`.])@([A-Za-z]\w*(?:\.\w+)+)")  # of DocFX

_BLOCKS = MarkdownIt("commonmark").disable(["inline", "html_block", "reference"])
_MDX_BLOCKS = MarkdownIt("commonmark").disable(["inline", "html_block", "reference", "code"])
_JSX_LINE = re.compile(r"^\s*</?[A-Z][A-Za-z.]*[\s/>]", re.MULTILINE)


class Dialect(NamedTuple):
    """What the generator of a folder writes in its own way."""

    uids: bool = False  # ``@Some.Uid`` is a link, as in DocFX
    words_first: bool = False  # ``[[words|page]]``, as in the wikis of GitHub; elsewhere ``[[page|words]]``
    vault: bool = False  # block ids, comments and tags of Obsidian


@dataclass(slots=True)
class Plain:
    """Plain Markdown and the anchors that its syntax set."""

    lines: list[str]
    anchors: list[tuple[int, str]] = field(default_factory=list)  # (index of the line, anchor)
    mdx: bool = False  # whether indented text is not code
    is_code: list[bool] = field(default_factory=list)  # of each line


def plain_markdown(name: str, lines: list[str], dialect: Dialect | None = None) -> Plain:
    """Return the lines of a page as plain Markdown."""
    dialect = dialect or Dialect()
    lines = list(_without_markers(lines))
    text = _HIDDEN.sub(_shown, "\n".join(lines))
    plain = Plain([], [], ".mdx" in name.lower() or bool(_JSX_LINE.search(text)))
    lines = text.split("\n")
    is_code = plain.is_code = _code_lines(text, len(lines), plain.mdx)
    at = 0
    while at < len(lines):
        end = at
        while end < len(lines) and is_code[end] == is_code[at]:
            end += 1
        if is_code[at]:
            plain.lines += lines[at:end]
        else:
            _add_prose(plain, lines[at:end], dialect)
        at = end
    return plain


def _shown(match: re.Match[str]) -> str:
    """Return code as it is; of a comment or an embedded element only its line ends, and the id of a heading."""
    if match["fence"] or match["inline"]:
        return match[0]
    if match["comment"] and (named := _NAMED.fullmatch(match[0])):
        line = match.string[match.string.rfind("\n", 0, match.start()) + 1 : match.start()]
        return named[1] if line.strip("# ") == "" and "#" in line else ""
    if match["comment"] and _LINE_ID.fullmatch(match[0]):
        line = match.string[match.string.rfind("\n", 0, match.start()) + 1 : match.start()]
        if line.lstrip().startswith("#") or line.strip():
            return match[0]
    return "\n" * match[0].count("\n")


def _code_lines(text: str, size: int, mdx: bool) -> list[bool]:
    is_code = [False] * size
    for token in (_MDX_BLOCKS if mdx else _BLOCKS).parse(text):
        if token.type in ("fence", "code_block") and token.map:
            for line in range(token.map[0], min(token.map[1], size)):
                is_code[line] = True
    return is_code


def _without_markers(lines: list[str]) -> Iterator[str]:
    """Remove the marks of admonitions, tabs and directives; their text stays, with its indent removed."""
    frames: list[int] = []  # the indent that text in each open block has
    fence, in_menu, unwrapped = "", False, list[str]()
    options = False  # at the head of an unwrapped directive
    lines = list(_fenced(lines))
    for raw in lines:
        line = raw.expandtabs(4) if frames and raw[:1] in " \t" else raw
        indent = len(line) - len(line.lstrip())
        while frames and line.strip() and indent < frames[-1]:
            frames.pop()
            fence = ""
        line = line[min(4 * len(frames), indent) :]
        match = _FENCE.match(line)
        if fence:
            closes = match and match[1].startswith(fence) and not match[2]
            fence = "" if closes else fence
            yield "" if in_menu else line
            in_menu &= not closes
            continue
        if match and unwrapped and match[1].startswith(unwrapped[-1]) and not match[2]:
            unwrapped.pop()
            yield ""
            continue
        if match:
            directive = re.match(r"\{([\w:-]+)\}\s*(.*)", match[2])
            if directive and directive[1] not in _CODE_DIRECTIVES and directive[1] not in _MENUS:
                unwrapped.append(match[1])
                options = True
                yield _strong(directive[2])
                continue
            in_menu = bool(directive and directive[1] in _MENUS) or match[2].startswith("dataview")
            fence = match[1]
            yield "" if in_menu else line
            continue
        if options and re.match(r"\s*:[\w-]+:", line):
            yield ""
            continue
        options = False
        yield _marker(line, indent, frames)


def _fenced(lines: list[str]) -> Iterator[str]:
    """Turn the blocks of Hugo and Jekyll with code into fenced code; one that is not closed stays.

    Fenced code below a JSX tag is moved to the margin: Markdown would take its indent for code, MDX does not.
    """
    ends = [number for number, line in enumerate(lines) if "{" in line and _CODE_END.match(line)]
    inside, fence, margin, above = False, "", 0, ""
    for number, line in enumerate(lines):
        match = _FENCE.match(line)
        if fence:
            fence = "" if match and match[1].startswith(fence) and not match[2] else fence
            yield line[min(margin, len(line) - len(line.lstrip())) :]
        elif inside and number in ends:
            inside = False
            yield "````"
        elif inside:
            yield line
        elif ends and "{" in line and (code := _CODE_START.match(line)) and ends[-1] > number:
            inside = True
            language = re.match(r"\s*(?:lang=)?[\"']?(\w+)[\"']?(?![\w=])", code[1] or code[2] or "")
            yield f"````{language[1] if language else ''}"
        elif match:
            fence = match[1]
            indent = len(line) - len(line.lstrip())
            margin = indent if indent > 3 and above.endswith(">") and above.startswith("<") else 0
            yield line[margin:]
        else:
            yield _RAW.sub("", line) if "raw" in line else line
        above = line.strip() or above


def _marker(line: str, indent: int, frames: list[int]) -> str:
    """Return a line that is not code without the mark of a block; the block of MkDocs that it opens is added."""
    start = line.lstrip(" >")[:1]
    if start in "!?=" and (match := _INDENTED_BLOCK.match(line)):
        frames.append(indent + 4)
        return match[1] + _strong(match[3] or "")
    if start == ":" and (match := _CONTAINER.match(line)):
        title = match[3] or match[4] or ""
        return match[1] + _strong(re.sub(r"\s*\{[^}]*\}$", "", title))
    if start == "/" and (match := _SLASH_BLOCK.match(line)):
        return match[1] + _strong(match[2] or "")
    if start == "[" and (match := _ALERT.match(line)):
        return match[1] + _strong(match[2]) if match[2] else ""
    if start == "[" and (match := _FOOTNOTE.match(line)):
        frames.append(indent + 4)
        return match[1] + line[match.end() :]
    if start == "#" and (match := _DOCFX_TAB.match(line)):
        return _strong(match[1])
    if _MENU_LINE.match(line) or _KRAMDOWN.match(line) or _BADGES.match(line):
        return ""
    return line


def _strong(title: str) -> str:
    plain = title.replace("**", "").strip()
    return f"**{plain}**" if plain else ""


def _add_prose(plain: Plain, lines: list[str], dialect: Dialect) -> None:
    """Append lines without code; their ids, tags, template tags, imports and exports are removed."""
    first = len(plain.lines)
    for number, line in enumerate(lines):
        above = lines[number - 1] if number else ""
        if line.startswith("{:") and above.startswith("#") and (match := _KRAMDOWN_ID.match(line)):
            plain.anchors.append((first + number - 1, match[1]))
            lines[number] = ""
        elif "{" in line and (match := _LINE_ID.search(line)):
            plain.anchors.append((first + number, next(one for one in match.groups() if one)))
            lines[number] = line[: match.start()]
        elif line.endswith("]") and line.startswith("#") and (match := _LINE_ID.search(line)):
            plain.anchors.append((first + number, next(one for one in match.groups() if one)))
            lines[number] = line[: match.start()]
        elif dialect.vault and "^" in line and (match := _BLOCK_ID.search(line)):
            plain.anchors.append((first + number, "^" + match[1]))
            lines[number] = line[: match.start()]
        elif line.startswith("*[") and _ABBREVIATION.match(line):
            lines[number] = ""
        elif line.startswith("(") and (match := _LABEL.match(line)):
            plain.anchors.append((first + number, match[1]))
            lines[number] = ""
        elif "<!--" in line and (match := _LINE_ID.search(line)):
            plain.anchors.append((first + number, next(one for one in match.groups() if one)))
            lines[number] = line[: match.start()]
    text = "\n".join(lines)
    if "port" in text:
        text = _MODULE.sub(lambda match: "\n" * match[0].count("\n"), text)
    if "<h" in text or "<H" in text:
        text = _HEADING.sub(lambda match: _heading(match, first, plain.anchors), text)
    if dialect.vault:
        text = _VAULT.sub(lambda match: "\n" * match[0].count("\n"), text)
    if any(mark in text for mark in "<{[:="):
        syntax = _Syntax(first, plain.anchors, dialect)
        text = _SYNTAX.sub(syntax, text)
    if dialect.uids:
        text = _UID.sub(lambda match: f"[{match[1]}](xref:{match[1]})", text)
    plain.lines += text.split("\n")


def _heading(match: re.Match[str], first: int, anchors: list[tuple[int, str]]) -> str:
    """Return the heading of a tag, on one line; its id is recorded."""
    if given := re.search(r"""\bid\s*=\s*["']?([^\s"'>]+)""", match[2]):
        anchors.append((first + match.string.count("\n", 0, match.start()), given[1]))
    title = " ".join(match[3].split())
    return f"{'#' * int(match[1])} {title}" + "\n" * match[0].count("\n")


class _Syntax:
    """Replaces one piece of syntax after another; knows the links that are open."""

    def __init__(self, first: int, anchors: list[tuple[int, str]], dialect: Dialect) -> None:
        self._first, self._anchors, self._dialect = first, anchors, dialect
        self._open: list[tuple[str, str]] = []  # (tag, destination) of open links
        self._newlines, self._upto = 0, 0

    def __call__(self, match: re.Match[str]) -> str:
        if match["inline"]:
            return match[0]
        return self._replacement(match) + "\n" * (match[0].count("\n"))

    def _replacement(self, match: re.Match[str]) -> str:
        kind, numbered = match.lastgroup, [one for one in match.groups() if one]
        if match["role"]:
            text, _, target = match["target"].rstrip(">").rpartition("<")
            name = match["role"][1:].partition("}")[0].removeprefix("std:")
            scheme = "doc" if name == "doc" else "label"
            return f"[{text.strip() or target.strip()}]{_in_link(f'{scheme}:{target.strip()}')}"
        if match["ref"] or match["post"]:
            return f"{'ref' if match['ref'] else 'post'}:{quote(numbered[1], safe='/#.-_~')}"
        if match["xref"]:
            uid = (match["uid"] or match["uid2"]).partition("?")[0]
            return f"[{uid}]{_in_link(f'xref:{uid}')}"
        if match["mark"]:
            return ""
        if match["strong"]:
            return str(match["marked"])
        if match["link"] or match["filter"]:
            return "/" + numbered[1].lstrip("/")
        if match["wiki"]:
            page, words = match["page"].strip().rstrip("\\"), (match["words"] or "").strip()
            if self._dialect.words_first and words and not _IMAGE.search(page):
                page, words = words, page
            is_embedded = match[0].startswith("!") or _IMAGE.search(page)
            return "" if is_embedded else f"[{words or page}]{_in_link(f'wiki:{page}')}"
        if match["template"]:
            starts = match.string[max(0, match.start() - 2) : match.start()]
            if starts in ("](", "]:", ": ", "(<") and match.string[match.end() : match.end() + 1] not in ")> \n":
                return "" if _BASE.search(match[0]) else "template:"
            return self._template(match[0])
        if match["attributes"] or match["fragment"]:
            return ""
        if match["space"]:
            return " "
        return self._tag(match) if kind else match[0]

    @staticmethod
    def _template(tag: str) -> str:
        """Return the title of a tab or a panel, which is text; any other template tag is none."""
        match = re.match(r"""\{\{[<%]\s*(?:tab|tabpanel|details|expand|collapse)\s+(?:\w+=)?"([^"]+)""", tag)
        return _strong(match[1]) if match else ""

    def _tag(self, match: re.Match[str]) -> str:
        name, attrs, start = match["name"], match["attrs"], match.start()
        before, closing = match.string[start - 1 : start], match.string.find(f"</{name}>", match.end())
        is_component = name[0].isupper() or "." in name or "-" in name
        if not match["close"] and name.lower() not in _HTML_TAGS and (
            not is_component or (before.isalnum() and not attrs.strip(" /") and closing < 0) or ("-" in name and not attrs)
        ):
            return match[0]  # a placeholder such as <your-name>, or a type such as List<T>
        if match["close"]:
            if name.lower() not in _HTML_TAGS and not is_component:
                return match[0]
            if self._open and self._open[-1][0] == name:
                destination = self._open.pop()[1]
                return f"]{_in_link(destination)}" if destination else ""
            return " " if name in ("td", "th") else ""
        values = {key: one or two or three for key, one, two, three in _ATTRIBUTE.findall(attrs)}
        if anchor := values.get("id") or (name == "a" and values.get("name")):
            line = self._first + match.string.count("\n", 0, start)
            self._anchors.append((line, anchor))
        wraps = closing >= 0 and not re.search(r"\n[ \t]*\n", match.string[match.end() : closing])
        return self._opened(name, values, attrs.rstrip().endswith("/"), wraps)

    def _opened(self, name: str, values: dict[str, str], closed: bool, wraps: bool) -> str:
        destination = _without_base(values.get("href") or values.get("to") or values.get("link") or "")
        title = values.get("title") or values.get("label") or ""
        is_component = name[0].isupper() or "-" in name
        if (name == "a" or (is_component and destination and not title)) and not closed:
            self._open.append((name, destination if wraps else ""))
            return "[" if destination and wraps else ""
        if name[0].isupper() and title:
            shown = f"[{title}]{_in_link(destination)}" if destination else _strong(title)
            return f"{shown}: {values['description']}" if values.get("description") else shown
        return " " if name in ("br", "td", "th") else ""


def _in_link(destination: str) -> str:
    return f"(<{destination}>)" if re.search(r"[\s()]", destination) else f"({destination})"


def _without_base(destination: str) -> str:
    """Return an address in an attribute without the variable of the site's root that it begins with."""
    plain = re.sub(r"^(?:\{\{[^{}]*\}\})+(?=/|$)", lambda m: "" if _BASE.search(m[0]) else "template:", destination)
    return re.sub(r"[<>]", "", plain).strip()

"""What generators add to Markdown: turned into plain Markdown where it is text or a link, removed where it is not.

Every function keeps the number of lines, so that line numbers stay those of the file.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from markdown_it import MarkdownIt

from triptych.corpus.pages.inline_syntax import HTML_TAGS, SYNTAX, Dialect, Syntax, attributes, strong, titled_link

# Fenced code whose language stands in braces: of MyST, Quarto and R Markdown.
_CODE_DIRECTIVES = frozenset(
    """
    bash code code-block code-cell css doctest dot graphviz ipython js javascript jupyter-execute julia latex
    literalinclude math mermaid observable ojs output parsed-literal plantuml plot prompt pyodide python r rcpp sh shell
    sourcecode sql stan testcode webr
    """.split()  # noqa: SIM905
)
_MENUS = frozenset(("bibliography", "contents", "iframe", "raw", "tableofcontents", "toc", "toctree"))
# Directives whose argument is a file, an address or a number, not a title.
_UNTITLED = frozenset(
    """
    anywidget autoclass autofunction automodule button-link button-ref card-carousel csv-table download embed eval-rst
    figure grid image include only video youtube
    """.split()  # noqa: SIM905
)

_FENCE = re.compile(r"^\s*(?:>\s?)*\s*(?:[-*+]\s+|\d+[.)]\s+)?(`{3,}(?!.*`)|~{3,})\s*(.*?)\s*$")
_INDENTED_BLOCK = re.compile(r"""^(\s*)(?:!!!|\?\?\?\+?|===[!+]?)\s+([\w -]*?)\s*(?:"(.*)")?\s*$""")
_CONTAINER = re.compile(
    r"^(\s*(?:>\s?)*):{3,}\s*(?:\{?([\w-]+)\}?)?(?:\[(.*)\]|\s+(.*?))?\s*(\{[^}]*\})?\s*(?::{3,}\s*)?$"
)
# A block of two colons, of Nuxt and remark-directive, and its end.
_COMPONENT = re.compile(r"^(\s*)::(?:([a-z][\w-]*)(?:\[([^\]]*)\])?(\{[^{}]*\})?)?\s*$")
_SLOT = re.compile(
    r"^\s*#(?:body|bottom|code|content|default|description|footer|header|headline|leading|links|preview|title|top|trailing)\s*$"
)
_PROPERTY = re.compile(r"^\s*([\w-]+):\s+[\"']?(.*?)[\"']?\s*$")
_PAIRS = re.compile(r"(?:[\w-]+=(?:\"[^\"]*\"|'[^']*'|[^\s\"':]+)(?:\s+|$))+")  # attributes, not a title
_TAB = re.compile(r"^(\s*)==\s+(\S.*?)\s*$")  # of a plugin of VitePress
_SLASH_BLOCK = re.compile(r"^(\s*)/{3,}\s*(?:[\w-]+)?(?:\s*\|\s*(.*?))?\s*$")
_ALERT = re.compile(r"^(\s*(?:>\s?)+)\[!(?:[\w-]+)(?:\s[^\]]*)?\][+-]?\s*(.*)$")
_DOCFX_TAB = re.compile(r"^\s*#{1,6}\s+\[([^\]]+)\]\(#tab/[^)]*\)\s*$")
# Blocks of Hugo and Jekyll whose text is code.
_CODE_START = re.compile(
    r"^\s*(?:\{\{[<%]\s*(?:highlight|code-toggle|code)\b((?:(?!/\s*[>%]\}\}).)*?)[>%]\}\}|\{%-?\s*highlight\b(.*?)-?%\})\s*$"
)
_CODE_END = re.compile(
    r"^\s*(?:\{\{[<%]\s*/\s*(?:highlight|code-toggle|code)\s*[>%]\}\}|\{%-?\s*endhighlight\s*-?%\})\s*$"
)
_RAW = re.compile(r"\{%-?\s*(?:end)?raw\s*-?%\}")
_MENU_LINE = re.compile(
    r"^\s*(?:\[TOC\]|\[\[_?toc_?\]\]|\$\{toc\}|<!--\s*toc\s*-->|[*-]\s+TOC|\{:\s*toc\b.*\}|\{\s*[.#][^{}]*\}|&nbsp;|<br\s*/?>)\s*$",
    re.I,
)
_KRAMDOWN = re.compile(
    r"^\s*(?:>\s?)*(?:\{:[^}#]*\}|\{\s*(?:[\w-]+=(?:\"[^\"]*\"|'[^']*')\s*)+\})\s*$"  # also of Writerside
)
_KRAMDOWN_ID = re.compile(r"^\{:[^}#]*#([\w.:-]+)[^}]*\}\s*$")
_ID = (
    r"\{:?\s*(?:[\w-]+=[\"'][^\"'\n]*[\"']\s+)*id=[\"']([^\"']+)[\"'][^}\n]*\}"
    r"|\{:?\s*(?:\.[\w-]+\s+)*#([^\s}]+)[^}\n]*\}"
)
_HEADING_ATTRIBUTES = re.compile(r"\s*\{(?::?\s*(?:\.|[\w-]+=[\"'])[^{}\n]*|-|docsify-ignore(?:-all)?)\}\s*#*\s*$")
_LINE_ID = re.compile(
    rf"\s*(?:{_ID}|\[#([\w.:-]+)\]|\{{/\*\s*#?([\w.:/-]+)\s*\*/\}}|<!--\s*#([\w.:-]+)\s*-->)\s*#*\s*$"
)
_BLOCK_ID = re.compile(r"(?:^|\s+)\^([\w-]+)\s*$")  # of Obsidian
_ABBREVIATION = re.compile(r"^\*\[[^\]]+\]:\s.*$")
_COMMENT_LINE = re.compile(r"^\s*\[(?://|comment)\]:\s*(?:#|<>)\s*[(\"'].*[)\"']\s*$")
_FOOTNOTE = re.compile(r"^(\s*)\[\^([^\]\s]+)\]:\s*")
_HEADING = re.compile(r"^[ ]{0,3}<h([1-6])\b([^<>]*)>((?:(?!</?h[1-6]\b)(?s:.))*?)</h\1\s*>[ \t]*$", re.I | re.M)
_BOX = re.compile(r"<(?:div|aside)\b[^<>]*\bclass=[\"'](?!(?:[^\"']* )?section\b)[^<>]*>\s*\Z", re.IGNORECASE)
_BEFORE = 300  # characters before a heading in which the tag of its box may be
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
_VAULT = re.compile(r"%%(?s:.*?)%%|^(?:#[^\W\d][\w/-]*[ \t]*)+$", re.MULTILINE)
_CLOSED = re.compile(r"</([a-z][\w.-]*)\s*>")
_INLINE_CODE = re.compile(r"`[^`\n]*`")
_UID = re.compile(r"(?<![\w@/`.])@([A-Za-z]\w*(?:\.\w+)+)")  # of DocFX

_BLOCKS = MarkdownIt("commonmark").disable(["inline", "html_block", "reference"])
_MDX_BLOCKS = MarkdownIt("commonmark").disable(["inline", "html_block", "reference", "code"])
_JSX_LINE = re.compile(r"^\s*</?[A-Z][A-Za-z.]*[\s/>]", re.MULTILINE)


@dataclass(slots=True)
class Plain:
    """Plain Markdown and the anchors that its syntax set."""

    lines: list[str]
    anchors: list[tuple[int, str]] = field(default_factory=list)  # (index of the line, anchor)
    mdx: bool = False  # whether indented text is not code
    is_code: list[bool] = field(default_factory=list)  # of each line
    footnotes: frozenset[str] = frozenset()  # their names
    elements: frozenset[str] = frozenset()  # names of tags that are not of HTML, and are closed
    heading_above: bool = False  # whether the line before is a heading, while ids are read


def plain_markdown(name: str, lines: list[str], dialect: Dialect | None = None) -> Plain:
    """Return the lines of a page as plain Markdown."""
    dialect = dialect or Dialect()
    footnotes = frozenset(match[2] for line in lines if "[^" in line and (match := _FOOTNOTE.match(line)))
    lines = list(_without_markers(lines))
    text = _HIDDEN.sub(_shown, "\n".join(lines))
    plain = Plain([], [], ".mdx" in name.lower() or bool(_JSX_LINE.search(text)), footnotes=footnotes)
    lines = text.split("\n")
    is_code = plain.is_code = _code_lines(text, len(lines), plain.mdx)
    if "</" in text:
        prose = "\n".join(line for line, code in zip(lines, is_code, strict=True) if not code)
        plain.elements = frozenset(_CLOSED.findall(_INLINE_CODE.sub("", prose))) - HTML_TAGS
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
    options, properties = False, False  # at the head of a directive: options, or a block of YAML
    container = ""  # the end of one that is no text
    lines = list(_fenced(lines))
    has_slots = any(line.lstrip().startswith("::") and _COMPONENT.match(line) for line in lines)
    for number, raw in enumerate(lines):
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
        if container:
            container = "" if line.strip() == container else container
            yield ""
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
                yield strong("" if directive[1] in _UNTITLED else directive[2])
                continue
            in_menu = bool(directive and directive[1] in _MENUS) or match[2].startswith("dataview")
            fence = match[1]
            yield "" if in_menu else line
            continue
        if properties or (options and line.strip() == "---" and _are_properties(lines, number + 1)):
            properties = not properties or line.strip() != "---"
            given = _PROPERTY.match(line)
            yield strong(given[2]) if given and given[1] in ("title", "label") else ""
            continue
        if options and re.match(r"\s*:[\w-]+:", line):
            yield ""
            continue
        options = False
        start = line.lstrip()
        if start.startswith("::"):
            options = bool(_COMPONENT.match(line)) or "{" in line
            named = re.match(r"(:{3,})\s*\{([\w-]+)\}", start)
            if named and named[2] in _MENUS:
                container = named[1]
                yield ""
                continue
        yield "" if has_slots and start.startswith("#") and _SLOT.match(line) else _marker(line, indent, frames)


def _are_properties(lines: list[str], start: int) -> bool:
    """Return whether lines up to the next ruler are YAML: keys, items and what is indented."""
    for line in lines[start:]:
        if line.strip() == "---":
            return True
        if not re.match(r"\s*$|\s+\S|\s*-\s|[\w.-]+:(?:\s|$)", line):
            return False
    return False


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
        return match[1] + strong(match[3] or "")
    if start == "=" and (match := _TAB.match(line)):
        return match[1] + strong(match[2])
    if start == ":" and (match := _COMPONENT.match(line)):
        return match[1] + (titled_link(attributes(match[4] or "")) or strong(match[3] or ""))
    if start == ":" and (match := _CONTAINER.match(line)):
        title, values = match[3] or match[4] or "", attributes(match[5] or "")
        if _PAIRS.fullmatch(title):
            title, values = "", attributes(title)
        is_untitled = match[2] in _UNTITLED and f"{{{match[2]}}}" in line
        title = "" if is_untitled else title or values.get("title", "")
        return match[1] + strong(re.sub(r"\s*\{[^}]*\}$", "", title))
    if start == "/" and (match := _SLASH_BLOCK.match(line)):
        return match[1] + strong(match[2] or "")
    if start == "[" and _COMMENT_LINE.match(line):
        return ""
    if start == "[" and (match := _ALERT.match(line)):
        return match[1] + strong(match[2]) if match[2] else ""
    if start == "[" and (match := _FOOTNOTE.match(line)):
        frames.append(indent // 4 * 4 + 4)
        return match[1] + line[match.end() :]
    if start == "#" and (match := _DOCFX_TAB.match(line)):
        return strong(match[1])
    if _MENU_LINE.match(line) or _KRAMDOWN.match(line) or _BADGES.match(line):
        return ""
    return line


def _add_prose(plain: Plain, lines: list[str], dialect: Dialect) -> None:
    """Append lines without code; their ids, tags, template tags, imports and exports are removed."""
    first = len(plain.lines)
    lines = [_without_id(plain, first + number, line, dialect) for number, line in enumerate(lines)]
    # The terms of definition lists are anchors, as in Hugo.
    terms = (
        number for number, line in enumerate(lines[1:]) if line.startswith((": ", ":\t")) and lines[number].strip()
    )
    plain.anchors += [(first + number, lines[number].strip(" `*_")) for number in terms]
    text = "\n".join(lines)
    if "port" in text:
        text = _MODULE.sub(lambda match: "\n" * match[0].count("\n"), text)
    if "<h" in text or "<H" in text:
        text = _HEADING.sub(lambda match: _heading(match, first, plain.anchors), text)
    if dialect.vault:
        text = _VAULT.sub(lambda match: "\n" * match[0].count("\n"), text)
    if any(mark in text for mark in "<{[:=&"):
        syntax = Syntax(first, plain.anchors, dialect, plain.footnotes, plain.elements)
        text = SYNTAX.sub(syntax, text)
    if dialect.uids:
        text = _UID.sub(lambda match: f"[{match[1]}](xref:{match[1]})", text)
    plain.lines += text.split("\n")


def _without_id(plain: Plain, at: int, line: str, dialect: Dialect) -> str:
    """Return a line without the id at its end, which is recorded; "" for a line that is only an id."""
    if line.startswith("{:") and (match := _KRAMDOWN_ID.match(line)):
        plain.anchors.append((at - (at > 0 and plain.heading_above), match[1]))
        return ""
    plain.heading_above = line.startswith("#")
    is_heading = plain.heading_above or line.lstrip("> ").startswith("#")
    ends = ("{" in line, "<!--" in line, plain.heading_above and line.endswith("]"))
    if any(ends) and (match := _LINE_ID.search(line)):
        plain.anchors.append((at, next(one for one in match.groups() if one)))
        return line[: match.start()]
    if is_heading and "{" in line:
        return _HEADING_ATTRIBUTES.sub("", line)
    if dialect.vault and "^" in line and (match := _BLOCK_ID.search(line)):
        plain.anchors.append((at, "^" + match[1]))
        return line[: match.start()]
    if line.startswith("(") and (match := _LABEL.match(line)):
        plain.anchors.append((at, match[1]))
        return ""
    return "" if line.startswith("*[") and _ABBREVIATION.match(line) else line


def _heading(match: re.Match[str], first: int, anchors: list[tuple[int, str]]) -> str:
    """Return the heading of a tag, on one line; its id is recorded. The title of a box with a class is only bold."""
    if given := re.search(r"""\bid\s*=\s*["']?([^\s"'>]+)""", match[2]):
        anchors.append((first + match.string.count("\n", 0, match.start()), given[1]))
    title = " ".join(match[3].split())
    is_in_box = _BOX.search(match.string, max(0, match.start() - _BEFORE), match.start())
    mark = strong(title) if is_in_box else f"{'#' * int(match[1])} {title}"
    return mark + "\n" * match[0].count("\n")

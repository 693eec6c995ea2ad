"""Syntax inside lines of Markdown: tags, template tags, roles and wiki links, turned into Markdown or removed."""

import html
import re
from typing import NamedTuple
from urllib.parse import quote

ELSEWHERE = "template"  # scheme of a link that begins with a variable which is not the root of the site
HTML_TAGS = frozenset(
    """
    a abbr address article aside audio b base bdi bdo big blockquote body br button canvas caption center circle cite
    code col colgroup data datalist dd del details dfn dialog div dl dt em embed fieldset figcaption figure font footer
    form g h1 h2 h3 h4 h5 h6 head header hr html i iframe img input ins kbd label legend li line link main map mark menu
    meta meter nav noscript object ol optgroup option output p param path picture polygon pre progress q rect rp rt ruby
    s samp script section select small source span strike strong style sub summary sup svg table tbody td template
    textarea tfoot th thead time title tr track tt u ul var video wbr
    """.split()  # noqa: SIM905
)
_BRACES = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"
_DEST = r"""["']?([^"'\s}%|]+)["']?"""
_FILTER = re.compile(rf"\{{\{{-?\s*{_DEST}\s*\|\s*(?:relative_url|absolute_url|relURL|url)\s*-?\}}\}}")
SYNTAX = re.compile(
    r"(?=[<{`\[!:=&])(?:"  # which makes it fast
    r"(?P<xref><xref:(?P<uid>[^\s<>]+)>|<xref\s+href=[\"'](?P<uid2>[^\"']+)[\"'][^>]*?(?:/>|>\s*</xref>))|"
    r"(?P<role>\{(?P<kind>[a-z][\w:.-]*)\}`(?P<target>[^`\n]+)`)"
    r"|(?P<inline>(?<!`)(?P<ticks>`+)(?!`)(?:(?!\n[ \t]*\n)(?s:.))+?(?<!`)(?P=ticks)(?!`))"
    rf"|(?P<ref>\{{\{{[<%]\s*(?:rel)?ref\s+(?:path=)?{_DEST}[^}}\n]*[>%]\}}\}})"
    rf"|(?P<link>\{{%-?\s*link\s+{_DEST}\s*-?%\}})"
    rf"|(?P<post>\{{%-?\s*post_url\s+{_DEST}\s*-?%\}})"
    rf"|(?P<filter>\{{\{{-?\s*{_DEST}\s*\|\s*(?:relative_url|absolute_url|relURL|url)\s*-?\}}\}})"
    r"|(?P<template>\{\{[<%](?s:.*?)[>%]\}\}|\{%(?s:.*?)%\}|\{\{\{[^{}]*\}\}\}|\{\{[^{}]*\}\}|\{#[^#\n]*#\})"
    r"|(?P<footnote>\[\^(?P<note>[^\]\s]+)\](?!:))"
    r"|(?P<component>(?<![\w:/]):(?P<part>[a-z][\w-]*)(?:\[(?P<inner>[^\]\n]*)\](?:\{[^{}\n]*\})?"
    r"|\{(?P<props>[^{}\n]*=[^{}\n]*)\}|(?<=\s:br)(?!\S)))"
    r"|(?P<mark>:(?:material|octicons|fontawesome|simple)-[\w-]+:(?:\{[^}\n]*\})?|\[!Video\s[^\]\n]*\])"
    r"|(?P<strong>(?<![=\w])==(?=\S)(?P<marked>[^=\n]+)(?<=\S)==(?![=\w]))"
    r"|(?P<wiki>!?\[\[(?P<page>(?:#\s?)?[^\W\d_][^\[\]|\n]*)(?:\\?\|(?P<words>[^\[\]\n]+))?\]\](?![(\[]))"
    r"|(?P<attributes>(?<=[)`\]*_])\{:?\s*[.#][^{}]{0,300}\}|(?<=[)`\]*_])\{:?\s*[\w-]+=[^}\n]*\})"
    r"|(?P<space>\{\s*['\"] *['\"]\s*\})"
    r"|(?P<entity>&(?:#\d{1,7}|#[xX][\da-fA-F]{1,6}|[A-Za-z][A-Za-z\d]{1,31});)"
    rf"|(?P<tag>(?<!\\)<(?P<close>/?)(?P<name>[A-Za-z][\w.-]*)(?P<attrs>(?=[\s/>])(?:[^<>\"'{{}}]|\"[^\"]*\"|'[^']*'|{_BRACES})*)>)"
    r"|(?P<fragment></?>))"
)
_ATTRIBUTE = re.compile(r"""([\w:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|\{\s*["'`]([^"'`]*)["'`]\s*\})""")
_ENTITY = re.compile(r"&#?\w{1,31};")
_IMAGE = re.compile(r"\.(?:png|jpe?g|gif|svg|webp|avif|bmp|mp4|pdf)(?:[?#].*)?$", re.IGNORECASE)
_BASE = re.compile(r"base|root|\burl\b|path|siteurl", re.IGNORECASE)
# A tab, a panel or a note with its title in quotes; of any other block the title is an attribute.
_TITLED = re.compile(
    r"""(?:\{\{[<%]|\{%-?)\s*(?:tab|tabpanel|details|expand|collapse|cut|spoiler|note\s+\w+)\s+(?:\w+=)?["“]([^"“”\n]+)"""
)
_UNTITLED = re.compile(
    r"(?:\{\{[<%]|\{%-?)\s*(?:include\w*|figure|img|image|video|youtube|vimeo|embed|file|assign|set|if|for)\b",
    re.IGNORECASE,
)
# Roles of Sphinx in MyST: those that link to a page or a label, and those that cite what is elsewhere.
_LINKING = frozenset(("doc", "ref", "any", "numref", "std:ref", "std:doc"))
_CITING = ("cite", "footcite", "bibliography")
_WORDS = frozenset("abbr button eq guilabel index menuselection span strong sub sup term u".split())  # noqa: SIM905
# Components that describe the parameter or the field which an attribute names.
_FIELD = re.compile(r"(?:Field|Param(?:eter)?|Prop(?:erty)?|Option|Arg(?:ument)?|Attribute|Flag)$")
_FIELD_NAMES = ("name", "path", "query", "body", "header", "param")
_MARKUP = frozenset("<>&[]*_#|`\\~!(){}")  # an entity of these stays: as a character it could be a mark


class Dialect(NamedTuple):
    """What the generator of a folder writes in its own way."""

    uids: bool = False  # ``@Some.Uid`` is a link, as in DocFX
    words_first: bool = False  # ``[[words|page]]``, as in the wikis of GitHub; elsewhere ``[[page|words]]``
    vault: bool = False  # block ids, comments and tags of Obsidian


def strong(title: str) -> str:
    """Return a title in bold, "" for none."""
    plain = title.replace("**", "").strip()
    return f"**{plain}**" if plain else ""


class Syntax:
    """Replaces one piece of syntax after another; knows the links that are open."""

    def __init__(
        self,
        first: int,
        anchors: list[tuple[int, str]],
        dialect: Dialect,
        footnotes: frozenset[str] = frozenset(),
        elements: frozenset[str] = frozenset(),
    ) -> None:
        """Start at the line ``first``; ``anchors`` is filled.

        ``footnotes`` are the names of the footnotes of the page, ``elements`` those of its tags that are not of HTML.
        """
        self._first, self._anchors, self._dialect, self._footnotes = first, anchors, dialect, footnotes
        self._elements = elements
        self._open: list[tuple[str, str]] = []  # (tag, destination) of open links

    def __call__(self, match: re.Match[str]) -> str:
        """Return the replacement of a match of `SYNTAX`, with as many line ends."""
        if match["inline"]:
            return match[0]
        return self._replacement(match) + "\n" * (match[0].count("\n"))

    def _replacement(self, match: re.Match[str]) -> str:
        numbered = [one for one in match.groups() if one]
        if match["ref"] or match["post"]:
            return f"{'ref' if match['ref'] else 'post'}:{quote(numbered[1], safe='/#.-_~')}"
        if match["link"] or match["filter"]:
            return "/" + numbered[1].lstrip("/")
        if match["strong"]:
            return str(match["marked"])
        if match["template"]:
            return self._template(match)
        if match["tag"]:
            return self._tag(match)
        if match["footnote"]:
            return "" if match["note"] in self._footnotes else match[0]
        if match["space"]:
            return " "
        if match["entity"]:
            return _character(match[0], match.string[match.end() : match.end() + 1])
        if match["component"]:
            return str(match["inner"] or titled_link(attributes(match["props"] or "")))
        return self._reference(match)

    def _reference(self, match: re.Match[str]) -> str:
        """Return the link of a piece of syntax that names a page, or "" for one that is neither link nor text."""
        if match["role"]:
            return _role(match["kind"], match["target"])
        if match["xref"]:
            uid = (match["uid"] or match["uid2"]).partition("?")[0]
            return f"[{uid}]{_in_link(f'xref:{uid}')}"
        if not match["wiki"]:
            return ""
        page, words = match["page"].strip().rstrip("\\"), (match["words"] or "").strip()
        if self._dialect.words_first and words and not _IMAGE.search(page):
            page, words = words, page
        is_embedded = match[0].startswith("!") or _IMAGE.search(page)
        return "" if is_embedded else f"[{words or page}]{_in_link(f'wiki:{page}')}"

    @staticmethod
    def _template(match: re.Match[str]) -> str:
        """Return the title of a tab or a panel, which is text; any other template tag is none.

        At the start of an address, a variable that is not the root of the site leads elsewhere.
        """
        before, after = match.string[max(0, match.start() - 2) : match.start()], match.string[match.end() :][:1]
        if before in ("](", "]:", ": ", "(<") and after and after not in ")> \n":
            return "" if _BASE.search(match[0]) else f"{ELSEWHERE}:"
        if title := _TITLED.match(match[0]):
            return strong(title[1])
        return "" if _UNTITLED.match(match[0]) else titled_link(attributes(match[0]))

    def _tag(self, match: re.Match[str]) -> str:
        name, attrs, start = match["name"], match["attrs"], match.start()
        before, closing = match.string[start - 1 : start], match.string.find(f"</{name}>", match.end())
        is_closed = attrs.rstrip().endswith("/") and "=" in attrs
        is_element = name in self._elements or is_closed
        is_component = name[0].isupper() or "." in name or "-" in name or is_element
        if not match["close"] and name.lower() not in HTML_TAGS and not is_element:
            is_bare = not attrs.strip(" /") and closing < 0
            is_type = is_bare and (before.isalnum() or (name.isupper() and not attrs.endswith("/")))
            if not is_component or is_type or ("-" in name and not attrs):
                return match[0]  # a placeholder such as <your-name> or <HOST>, or a type such as List<T>
        if match["close"]:
            if name.lower() not in HTML_TAGS and not is_component:
                return match[0]
            if self._open and self._open[-1][0] == name:
                destination = self._open.pop()[1]
                return f"]{_in_link(destination)}" if destination else ""
            return " " if name in ("td", "th") else ""
        values = attributes(attrs)
        if anchor := values.get("id") or (name == "a" and values.get("name")):
            line = self._first + match.string.count("\n", 0, start)
            self._anchors.append((line, anchor))
        wraps = closing >= 0 and not re.search(r"\n[ \t]*\n", match.string[match.end() : closing])
        return self._opened(name, values, attrs.rstrip().endswith("/"), wraps)

    def _opened(self, name: str, values: dict[str, str], closed: bool, wraps: bool) -> str:
        destination = _without_base(values.get("href") or values.get("to") or values.get("link") or "")
        title = values.get("title") or values.get("label") or ""
        is_component = name[0].isupper() or "-" in name or name in self._elements
        if (name == "a" or (is_component and destination and not title)) and not closed:
            self._open.append((name, destination if wraps else ""))
            return "[" if destination and wraps else ""
        if not title and not closed and _FIELD.search(name):
            title = next((values[key] for key in _FIELD_NAMES if values.get(key)), "")
            title += f" ({values['type']})" if title and values.get("type") else ""
        if (name[0].isupper() or name in self._elements) and title:
            shown = f"[{title}]{_in_link(destination)}" if destination else strong(title)
            return f"{shown}: {values['description']}" if values.get("description") else shown
        return " " if name in ("br", "td", "th") else ""


def attributes(text: str) -> dict[str, str]:
    """Return the attributes of a tag with their values.

    >>> attributes("note title='Two words' open")
    {'title': 'Two words'}
    """
    pairs = ((key, one or two or three) for key, one, two, three in _ATTRIBUTE.findall(text))
    return {key: _ENTITY.sub(lambda match: _character(match[0]), value) for key, value in pairs}


def titled_link(values: dict[str, str]) -> str:
    """Return the title in attributes, in bold or as a link; "" without a title.

    >>> titled_link({"title": "Routes", "to": "/routes"}), titled_link({"title": "Note"}), titled_link({"to": "/x"})
    ('[Routes](/routes)', '**Note**', '')
    """
    title = values.get("title") or values.get("label") or ""
    destination = _without_base(next((values[key] for key in ("to", "link", "href", "url") if values.get(key)), ""))
    return f"[{title}]{_in_link(destination)}" if title and destination else strong(title)


def _role(kind: str, target: str) -> str:
    """Return what a role of Sphinx shows: a link to a page or label, words, or code.

    >>> _role("ref", "the cut <label>"), _role("term", "hem"), _role("py:func", "~lib.sew"), _role("cite", "a20")
    ('[the cut](label:label)', 'hem', '`lib.sew`', '')
    """
    text, _, name = target.rstrip(">").rpartition("<")
    text, name = text.strip(), name.strip()
    if kind in _LINKING:
        scheme = "doc" if kind.endswith("doc") else "label"
        return f"[{text or name}]{_in_link(f'{scheme}:{name}')}"
    if kind.startswith(_CITING):
        return ""
    if kind in _WORDS:
        return text or name
    return f"`{(text or name).lstrip('~!')}`"


def _character(entity: str, after: str = "") -> str:
    """Return the character of an entity, a space for one without a sign; the entity if it could be a mark.

    >>> _character("&#x20;"), _character("&eacute;"), _character("&lt;"), _character("&amp;", " "), _character("&none;")
    (' ', 'é', '&lt;', '&', '&none;')
    """
    text = html.unescape(entity)
    if text == "&" and not (after.isalnum() or after == "#"):
        return text
    return entity if text == entity or not _MARKUP.isdisjoint(text) else " " if text.isspace() else text


def _in_link(destination: str) -> str:
    return f"(<{destination}>)" if re.search(r"[\s()]", destination) else f"({destination})"


def _without_base(destination: str) -> str:
    """Return an address in an attribute without the variable of the site's root that it begins with."""
    destination = _FILTER.sub(lambda match: "/" + match[1].lstrip("/"), destination)
    plain = re.sub(r"^(?:\{\{[^{}]*\}\})+(?=/|$)", lambda m: "" if _BASE.search(m[0]) else f"{ELSEWHERE}:", destination)
    return re.sub(r"[<>]", "", plain).strip()

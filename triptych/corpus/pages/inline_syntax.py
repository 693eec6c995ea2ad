"""Syntax inside lines of Markdown: tags, template tags, roles and wiki links, turned into Markdown or removed."""

import re
from typing import NamedTuple
from urllib.parse import quote

ELSEWHERE = "template"  # scheme of a link that begins with a variable which is not the root of the site
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
_BRACES = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"
_DEST = r"""["']?([^"'\s}%|]+)["']?"""
_FILTER = re.compile(rf"\{{\{{-?\s*{_DEST}\s*\|\s*(?:relative_url|absolute_url|relURL|url)\s*-?\}}\}}")
SYNTAX = re.compile(
    r"(?=[<{`\[!:=])(?:"  # which makes it fast
    r"(?P<xref><xref:(?P<uid>[^\s<>]+)>|<xref\s+href=[\"'](?P<uid2>[^\"']+)[\"'][^>]*?(?:/>|>\s*</xref>))|"
    r"(?P<role>\{(?:doc|ref|any|numref|std:ref|std:doc)\}`(?P<target>[^`\n]+)`)"
    r"|(?P<inline>(?<!`)(?P<ticks>`+)(?!`)(?:(?!\n[ \t]*\n)(?s:.))+?(?<!`)(?P=ticks)(?!`))"
    rf"|(?P<ref>\{{\{{[<%]\s*(?:rel)?ref\s+(?:path=)?{_DEST}[^}}\n]*[>%]\}}\}})"
    rf"|(?P<link>\{{%-?\s*link\s+{_DEST}\s*-?%\}})"
    rf"|(?P<post>\{{%-?\s*post_url\s+{_DEST}\s*-?%\}})"
    rf"|(?P<filter>\{{\{{-?\s*{_DEST}\s*\|\s*(?:relative_url|absolute_url|relURL|url)\s*-?\}}\}})"
    r"|(?P<template>\{\{[<%](?s:.*?)[>%]\}\}|\{%(?s:.*?)%\}|\{\{[^{}]*\}\}|\{#[^#\n]*#\})"
    r"|(?P<footnote>\[\^(?P<note>[^\]\s]+)\](?!:))"
    r"|(?P<mark>:(?:material|octicons|fontawesome|simple)-[\w-]+:(?:\{[^}\n]*\})?|\[!Video\s[^\]\n]*\])"
    r"|(?P<strong>(?<![=\w])==(?=\S)(?P<marked>[^=\n]+)(?<=\S)==(?![=\w]))"
    r"|(?P<wiki>!?\[\[(?P<page>(?:#\s?)?[^\W\d_][^\[\]|\n]*)(?:\\?\|(?P<words>[^\[\]\n]+))?\]\](?![(\[]))"
    r"|(?P<attributes>(?<=[)`\]*_])\{:?\s*[.#][^}\n]*\}|(?<=[)`\]*_])\{:?\s*[\w-]+=[^}\n]*\})"
    r"|(?P<space>\{\s*['\"] *['\"]\s*\})"
    rf"|(?P<tag>(?<!\\)<(?P<close>/?)(?P<name>[A-Za-z][\w.-]*)(?P<attrs>(?=[\s/>])(?:[^<>\"'{{}}]|\"[^\"]*\"|'[^']*'|{_BRACES})*)>)"
    r"|(?P<fragment></?>))"
)
_ATTRIBUTE = re.compile(r"""([\w:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|\{\s*["'`]([^"'`]*)["'`]\s*\})""")
_IMAGE = re.compile(r"\.(?:png|jpe?g|gif|svg|webp|avif|bmp|mp4|pdf)(?:[?#].*)?$", re.IGNORECASE)
_BASE = re.compile(r"base|root|\burl\b|path|siteurl", re.IGNORECASE)
_TITLED = re.compile(r"""\{\{[<%]\s*(?:tab|tabpanel|details|expand|collapse)\s+(?:\w+=)?"([^"]+)""")


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
        self, first: int, anchors: list[tuple[int, str]], dialect: Dialect, footnotes: frozenset[str] = frozenset()
    ) -> None:
        """Start at the line ``first``; ``anchors`` is filled, ``footnotes`` are the names of those of the page."""
        self._first, self._anchors, self._dialect, self._footnotes = first, anchors, dialect, footnotes
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
        return self._reference(match)

    def _reference(self, match: re.Match[str]) -> str:
        """Return the link of a piece of syntax that names a page, or "" for one that is neither link nor text."""
        if match["role"]:
            text, _, target = match["target"].rstrip(">").rpartition("<")
            name = match["role"][1:].partition("}")[0].removeprefix("std:")
            scheme = "doc" if name == "doc" else "label"
            return f"[{text.strip() or target.strip()}]{_in_link(f'{scheme}:{target.strip()}')}"
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
        title = _TITLED.match(match[0])
        return strong(title[1]) if title else ""

    def _tag(self, match: re.Match[str]) -> str:
        name, attrs, start = match["name"], match["attrs"], match.start()
        before, closing = match.string[start - 1 : start], match.string.find(f"</{name}>", match.end())
        is_component = name[0].isupper() or "." in name or "-" in name
        if not match["close"] and name.lower() not in _HTML_TAGS:
            is_type = before.isalnum() and not attrs.strip(" /") and closing < 0
            if not is_component or is_type or ("-" in name and not attrs):
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
            shown = f"[{title}]{_in_link(destination)}" if destination else strong(title)
            return f"{shown}: {values['description']}" if values.get("description") else shown
        return " " if name in ("br", "td", "th") else ""


def _in_link(destination: str) -> str:
    return f"(<{destination}>)" if re.search(r"[\s()]", destination) else f"({destination})"


def _without_base(destination: str) -> str:
    """Return an address in an attribute without the variable of the site's root that it begins with."""
    destination = _FILTER.sub(lambda match: "/" + match[1].lstrip("/"), destination)
    plain = re.sub(r"^(?:\{\{[^{}]*\}\})+(?=/|$)", lambda m: "" if _BASE.search(m[0]) else f"{ELSEWHERE}:", destination)
    return re.sub(r"[<>]", "", plain).strip()

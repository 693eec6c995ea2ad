"""The meaning of HTML elements: headings, blocks, table rows, and what is not content."""

import re
from collections.abc import Iterator
from typing import Any

from triptych.corpus.pages.judgments import folded

MOSTLY = 0.75  # a list or section with a larger share of its characters in links is a table of contents or an index

HEADINGS = frozenset(f"h{level}" for level in range(1, 7))
# fmt: off
BLOCKS = HEADINGS | {
    "address", "article", "aside", "blockquote", "body", "button", "caption", "center", "dd", "details", "div", "dl",
    "dt", "fieldset", "figcaption", "figure", "form", "header", "hr", "li", "main", "ol", "p", "pre", "section",
    "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
}
_SKIPPED_TAGS = {
    "audio", "canvas", "footer", "head", "iframe", "input", "nav", "noscript", "object", "script", "select",
    "style", "svg", "template", "textarea", "video",
}
_SKIPPED_ROLES = {
    "banner", "complementary", "contentinfo", "doc-backlink", "doc-noteref", "doc-toc", "navigation", "search",
}
_SKIPPED_NAMES = {
    "anchor-link", "anchorjs-link", "banner", "bd-sidebar", "bottomlang", "breadcrumb", "breadcrumb-section",
    "breadcrumbs", "catlinks", "contentSub", "cookie-banner", "cookie-consent", "cookie-notice", "cookieconsent",
    "copiable-anchor", "copiable-link", "copybtn", "docnav", "edit-link", "edit-on-github", "edit-page",
    "edit-this-page", "editsection", "feedback", "fn-backref", "footer", "footer-text", "footnote-backref",
    "footnote-ref", "footnote-reference", "gutter", "hash-link", "header-anchor", "headerlink", "headertitle",
    "hideme", "hljs-ln-numbers", "jump-to-nav", "lang-switcher", "language-selector", "lineno", "linenos", "localtoc",
    "md-content__button", "md-footer", "md-sidebar", "md-source-file", "menu-bar", "method-click-advice",
    "method-source-code", "method-source-toggle", "mw-cite-backlink", "mw-editsection", "mw-head", "mw-jump-link",
    "mw-navigation", "mw-panel", "nav", "nav-chapters", "nav-path", "nav-wide-wrapper", "navbar", "navbox",
    "navfooter", "navheader", "navigation", "navigationbar", "navpath", "noprint", "on-this-page", "out-of-band",
    "package-header", "page-header", "page-metadata", "page-nav", "page-toc", "pageSection", "pagination",
    "pagination-nav", "permalink", "prev-next", "prev-next-area", "prev-next-footer", "printfooter", "quickview",
    "rightside", "rouge-gutter", "rst-footer-buttons", "rst-versions", "screen-reader-text", "section-number",
    "selflink", "sidebar", "site-header", "siteSub", "skip-link", "skip-to-content", "sourceLineNo", "sphinxsidebar",
    "sr-only", "srclink", "table-of-contents", "theme-doc-breadcrumbs", "theme-doc-footer", "theme-doc-toc-desktop",
    "theme-doc-toc-mobile", "theme-doc-version-badge", "theme-doc-version-banner", "theme-edit-this-page",
    "titlearea", "toc", "toctree-wrapper", "toplang", "version-switcher", "viewcode-link", "visually-hidden",
    "vp-doc-footer", "wy-breadcrumbs",
}
_PANELS = {  # shown when a tab or a heading is clicked
    "accordion-body", "accordion-collapse", "collapse", "content-tab", "panel", "sd-tab-content", "tab-content",
    "tab-pane", "tab-panel", "tabbed-block", "tabbed-content", "tabpanel",
}
_NOTES = {
    "admonition", "alert", "callout", "caution", "danger", "hint", "important", "info", "note", "tip", "topic",
    "warning",
}
# fmt: on
_DIVISIONS = {
    "appendix",
    "article",
    "bibliography",
    "book",
    "chapter",
    "colophon",
    "dedication",
    "glossary",
    "index",
    "part",
    "preface",
    "refentry",
    "reference",
    "refsect1",
    "refsect2",
    "refsect3",
    "refsection",
    "sect1",
    "sect2",
    "sect3",
    "sect4",
    "sect5",
    "section",
    "set",
    "simplesect",
}
_BARS = re.compile(r"[\s|·•»«›‹→←↑<>\[\]]*")  # noqa: RUF001
_LISTS = ("ul", "ol")
_LAYOUTS = ("ul", "li")
_FEW_CHARACTERS = 80  # beside the links of a way through the pages
_CONTENTS = {"table-of-contents", "toc"}  # classes of a table of contents; a list without links is none
_WAY_BACK = re.compile(r"\s*(?:<<|[«‹←])\s*(?:go\s+)?(?:back|return)\b.*", re.IGNORECASE)  # noqa: RUF001
ITEMS = ("li", "blockquote", "dd", "dt")  # headings in them do not start a section
PART_OF_TEXT = {"citation", "field-list", "footnote", "option-list"}  # lists whose entries make no sense alone


def is_mostly_links(element: Any) -> bool:
    """Return whether a list is a table of contents or an index."""
    links = [len(folded("".join(link.itertext()))) for link in element.iter("a") if link.get("href")]
    return len(links) > 2 and sum(links) > MOSTLY * len(folded("".join(element.itertext())))


def tag_of(element: Any) -> str:
    """Return the tag of an element; a list that only lays out a page, as those of Javadoc up to 15, is a ``div``."""
    is_layout = element.tag in _LAYOUTS and any(one.startswith("blockList") for one in class_names(element))
    return "div" if is_layout else str(element.tag)


def slug(text: str) -> str:
    """Return an anchor for a heading that has none.

    >>> slug("What's new?")
    'what-s-new'
    """
    return "-".join(re.findall(r"\w+", text.lower())) or "section"


def is_data_row(row: Any) -> bool:
    """Tell a row of data from a row of a layout table, which contains sections."""
    return next(row.iter(*HEADINGS), None) is None


def signature_name(term: Any) -> str:
    """Return the name in a signature written by Sphinx, without the arguments."""
    parts = term.xpath(".//*[contains(@class, 'descclassname') or contains(@class, 'descname')]")
    return folded("".join("".join(part.itertext()) for part in parts))


def class_names(element: Any) -> set[str]:
    """Return the classes of an element."""
    return set((element.get("class") or "").split())


def is_skipped(element: Any, whole: bool, started: bool) -> bool:
    """Return whether an element is not content.

    For a ``whole`` page that includes its margins and its banner, which stands above the first heading of the text:
    after that, once the text has ``started``, a ``<header>`` is that of a section.
    """
    if element.tag in _SKIPPED_TAGS:
        return True
    if not element.attrib:
        return (element.tag == "button" and not _in_heading(element)) or (
            whole and (element.tag == "aside" or (element.tag == "header" and not started))
        )
    names = class_names(element)
    role = element.get("role")
    if element.tag == "button":
        return role != "tab" and not _in_heading(element)
    if element.tag == "aside" and (names & _NOTES or not whole or _has_title(element)):
        return role in _SKIPPED_ROLES or bool((names - {"sidebar"}) & _SKIPPED_NAMES)
    if "sidebar" in names and _has_title(element):
        return False
    if element.tag in ("a", "sup", "span") and not names.isdisjoint(("footnote", "label", "para")):
        return element.tag != "span" or _is_footnote(element.getparent())  # the number of a footnote
    if element.tag == "sup" and "reference" in names:
        return True
    if (
        element.tag in ("div", "ol", "ul") and "section" not in names
    ):  # the ids of other elements are made from headings
        names.add(element.get("id") or "")
    is_hidden = element.get("hidden") is not None or element.get("aria-hidden") == "true"
    return (
        (whole and (element.tag == "aside" or (element.tag == "header" and not started)))
        or role in _SKIPPED_ROLES
        or (is_hidden and role not in ("tabpanel", "region") and not names & _PANELS)
        or not _SKIPPED_NAMES.isdisjoint(
            names if element.tag not in _LISTS or _has_link(element) else names - _CONTENTS
        )
        or (any("lang" in name.lower() for name in names) and _is_language_menu(element))
    )


def starts_section(heading: Any) -> bool:
    """Return whether a heading is not in a list item, a quote or an admonition."""
    for element in heading.iterancestors(*ITEMS, "div", "aside"):
        if tag_of(element) in ITEMS or not class_names(element).isdisjoint(_NOTES):
            return False
    return True


def heading_level(heading: Any) -> int:
    """Return the level of a heading; DocBook gives chapters and their sections the same one, but nests them."""
    if next((one for one in heading.iterancestors("div") if "titlepage" in class_names(one)), None) is None:
        return int(heading.tag[1])
    return sum(not class_names(one).isdisjoint(_DIVISIONS) for one in heading.iterancestors("div"))


_WAYS = frozenset("contents home index next prev previous start top up".split())  # noqa: SIM905 - rel of links


def is_way_through(element: Any) -> bool:
    """Return whether an element only leads to the neighbors of a page, as Texinfo and DocBook write it.

    >>> from lxml import html
    >>> is_way_through(html.fromstring("<p>Next: <a href='b.html' accesskey='n' rel='next'>Sorting</a></p>"))
    True
    """
    links = [link for link in element.iter("a") if link.get("href")]
    is_way = links and all(
        link.get("accesskey") is not None or not _WAYS.isdisjoint((link.get("rel") or "").lower().split())
        for link in links
    )
    if not is_way:
        return False
    words = folded("".join(element.itertext()))
    return len(words) - sum(len(folded("".join(link.itertext()))) for link in links) <= _FEW_CHARACTERS


def is_code_block(element: Any) -> bool:
    """Return whether an element shows code by lines that are elements, as Doxygen writes it."""
    return (
        "fragment" in class_names(element)
        and next(iter(element), None) is not None
        and element[0].get("class") == "line"
    )


def is_menu(text: str, links: list[tuple[str, int, int]]) -> bool:
    """Return whether a block is only links with bars, dots or arrows between them, as "Home | Up | Next".

    >>> is_menu("Home | Next", [("a", 0, 4), ("b", 7, 11)]), is_menu("sort, order", [("a", 0, 4), ("b", 6, 11)])
    (True, False)
    """
    between, at = "", 0
    for _, start, end in links:
        between, at = between + text[at:start], max(at, end)
    between += text[at:]
    return len(links) > 1 and bool(_BARS.fullmatch(between)) and bool(between.strip())


def is_way_back(text: str, links: list[tuple[str, int, int]]) -> bool:
    """Return whether a block is only a link back, such as "<< Back to the index".

    >>> is_way_back("<< Back to the index", [("a", 0, 20)]), is_way_back("Back to square one", [("a", 0, 18)])
    (True, False)
    """
    (_, start, end) = links[0] if len(links) == 1 else ("", 0, 0)
    return bool(_WAY_BACK.fullmatch(text)) and bool(_BARS.fullmatch(text[:start] + text[end:]))


def _has_link(element: Any) -> bool:
    return next(element.iterfind(".//a[@href]"), None) is not None


def _is_footnote(element: Any) -> bool:
    return element is not None and "footnote" in class_names(element)


def _in_heading(element: Any) -> bool:
    return next(element.iterancestors(*HEADINGS), None) is not None


def _has_title(element: Any) -> bool:
    """Return whether an element is the sidebar directive of Sphinx, which is text, rather than the side of a page."""
    return any("sidebar-title" in (child.get("class") or "") for child in element)


def _is_language_menu(element: Any) -> bool:
    links = [child for child in element.iter("a") if child.get("href")] if len(element) > 1 else []
    return len(links) > 1 and sum(link.get("hreflang") is not None for link in links) >= len(links) - 1


def index_entries(element: Any) -> Iterator[tuple[str, str]]:
    """Yield (words, destination) of each link in a list of an index: the words of an entry after those above it.

    >>> from lxml import html
    >>> entry = html.fromstring("<ul><li>sort<ul><li><a href='a#b'>in place</a>, <a href='c'>[1]</a></ul></ul>")
    >>> list(index_entries(entry))
    [('sort, in place', 'a#b'), ('sort, in place', 'c')]
    """
    for link in element.iter("a"):
        if link.get("href"):
            heads = [_head(one) for one in link.iterancestors("li", "dt", "dd")]
            words = ", ".join(dict.fromkeys(head for head in reversed(heads) if head))
            yield words, link.get("href")


def _head(item: Any) -> str:
    """Return the words of an entry of an index, apart from those below it: its text, else that of its first link."""
    if item.tag == "dd":
        item = item.getprevious()
        if item is None:
            return ""
    text = folded(item.text or "").strip(" ,;")
    link = item.find("a")
    link = item.find("p/a") if link is None else link
    return text or ("" if link is None else folded("".join(link.itertext())).strip(" ,;"))

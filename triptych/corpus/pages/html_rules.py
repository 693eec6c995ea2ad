"""The meaning of HTML elements: headings, blocks, table rows, and what is not content."""

import re
from typing import Any

from triptych.corpus.pages.linked_pages import folded

MOSTLY = 0.75  # a list or section with a larger share of its characters in links is a table of contents or an index

HEADINGS = frozenset(f"h{level}" for level in range(1, 7))
# fmt: off
BLOCKS = HEADINGS | {
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "form", "header", "hr", "li", "main", "ol", "p", "pre", "section", "summary",
    "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
}
_SKIPPED_TAGS = {
    "audio", "button", "canvas", "footer", "head", "iframe", "input", "nav", "noscript", "object", "script", "select",
    "style", "svg", "template", "textarea", "video",
}
_SKIPPED_ROLES = {"banner", "complementary", "contentinfo", "doc-toc", "navigation", "search"}
_SKIPPED_NAMES = {
    "breadcrumb", "breadcrumbs", "footer", "footer-text", "headerlink", "linenos", "localtoc", "nav", "navbar",
    "page-toc", "pagination", "section-number", "sidebar", "site-header", "skip-link", "sphinxsidebar",
    "table-of-contents", "toc", "toctree-wrapper",
}
# fmt: on
ITEMS = ("li", "blockquote", "dd", "dt")  # headings in them do not start a section
PART_OF_TEXT = {"citation", "field-list", "footnote", "option-list"}  # lists whose entries make no sense alone


def is_mostly_links(element: Any) -> bool:
    """Return whether a list is a table of contents or an index."""
    links = [len(folded("".join(link.itertext()))) for link in element.iter("a") if link.get("href")]
    return len(links) > 2 and sum(links) > MOSTLY * len(folded("".join(element.itertext())))


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


def is_skipped(element: Any, whole: bool) -> bool:
    """Return whether an element is not content; for a ``whole`` page that includes its banner and margins."""
    names = class_names(element)
    if element.tag in ("div", "ul") and "section" not in names:  # the ids of other elements are made from headings
        names.add(element.get("id") or "")
    return (
        element.tag in _SKIPPED_TAGS
        or (whole and element.tag in ("aside", "header"))
        or element.get("role") in _SKIPPED_ROLES
        or element.get("hidden") is not None
        or element.get("aria-hidden") == "true"
        or bool(names & _SKIPPED_NAMES)
    )

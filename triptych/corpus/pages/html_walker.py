"""The elements of an HTML page in order: what they make of its text, its sections, its anchors and its links."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from triptych.corpus.cleaning import cleaned
from triptych.corpus.pages.html_rules import (
    BLOCKS,
    HEADINGS,
    ITEMS,
    PART_OF_TEXT,
    class_names,
    is_data_row,
    is_mostly_links,
    is_skipped,
    signature_name,
    slug,
)
from triptych.corpus.pages.linked_pages import folded

_SPACE = re.compile(r"\s+")


@dataclass(slots=True, eq=False)
class SectionDraft:
    """A section, or an entry of a list of definitions in it, while it is read."""

    path: tuple[str, ...]
    fragment: str  # an anchor
    line: int
    parts: list["str | SectionDraft"] = field(default_factory=list)  # blocks of text and entries, in order
    linked: int = 0  # letters of the blocks that are in links
    contents: bool = False  # a table of contents was left out
    terms: list[str] = field(default_factory=list)  # of an entry

    def entries(self) -> list["SectionDraft"]:
        """Return the entries among the parts."""
        return [part for part in self.parts if isinstance(part, SectionDraft)]

    def drafts(self) -> Iterator["SectionDraft"]:
        """Yield this one and the entries in it, at every depth."""
        yield self
        for entry in self.entries():
            yield from entry.drafts()

    def text(self) -> str:
        """Return all the text, that of the entries included."""
        return "\n\n".join(part if isinstance(part, str) else part.text() for part in self.parts)


class HtmlWalker:
    """Goes through the elements of a page once, in order, and collects sections, anchors and links."""

    def __init__(self, title: str) -> None:
        self.drafts = [SectionDraft((title,), "", 1)]
        self.anchors: dict[str, SectionDraft] = {}
        self.links: list[tuple[SectionDraft, str, list[tuple[str, int, int]]]] = []  # with the block that holds them
        self._above: list[tuple[int, str]] = []  # level and words of the headings that hold what comes
        self._lists: list[tuple[Any, SectionDraft | None]] = []  # lists of definitions, and the entry that is read
        self._waiting: list[str] = []  # anchors since the last text: they belong to the next
        self._pieces: list[str] = []  # of the block that is read
        self._length, self._last = 0, ""
        self._in_block: list[tuple[str, int, int]] = []  # links
        self._link: tuple[str, int] | None = None
        self._cutting = False  # in a heading that begins a section
        self._pre = self._rows = 0  # depth
        self._numbers: list[int | None] = []  # of the item in each open list; None in one without numbers
        self._bullet, self._join = "", False

    def through(self, tree: Any) -> None:
        """Read the part of a page that is content."""
        marked = (list(tree.iter("main")), tree.xpath("//*[@role='main']"), list(tree.iter("article")))
        root = next((found[0] for found in marked if len(found) == 1), None)
        whole, root = root is None, tree if root is None else root
        walker = etree.iterwalk(root, events=("start", "end"))
        left_out = None
        for event, element in walker:
            if event == "start":
                if is_skipped(element, whole) or self._is_contents(element):
                    left_out = element
                    walker.skip_subtree()
                else:
                    self._start(element)
                    self._add(element.text)
                continue
            if element is not left_out:
                self._end(element)
            if element is not root:
                self._add(element.tail)
        self._flush()
        self.anchors |= {anchor: self._draft for anchor in self._waiting if anchor not in self.anchors}

    @property
    def _draft(self) -> SectionDraft:
        return next((entry for _, entry in reversed(self._lists) if entry), self.drafts[-1])

    def _is_contents(self, element: Any) -> bool:
        """Tell a list of links, to be left out, from one with text."""
        if element.tag not in ("ul", "ol", "table"):
            return False
        found = is_mostly_links(element)
        self._break()
        self._draft.contents |= found
        return found

    def _start(self, element: Any) -> None:
        tag = element.tag
        if tag in BLOCKS:
            self._break()
        if tag in HEADINGS:
            self._cutting = next(element.iterancestors(*ITEMS), None) is None
        elif tag in _STARTS:
            _STARTS[tag](self, element)
        self._pre += tag == "pre"
        self._waiting += [cleaned(one) for one in (element.get("id"), tag == "a" and element.get("name")) if one]

    def _start_definitions(self, element: Any) -> None:
        inside = next(element.iterancestors("li", "tr", "blockquote", "dd"), None)
        if (inside is None or inside.tag == "dd") and not class_names(element) & PART_OF_TEXT:
            self._lists.append((element, None))

    def _entry_of(self, term: Any) -> SectionDraft | None:
        """Return the entry that is read if it is the term's, which may be a part of the text."""
        return self._lists[-1][1] if self._lists and self._lists[-1][0] is term.getparent() else None

    def _start_term(self, element: Any) -> None:
        before = element.getprevious()
        again = before is not None and before.tag == "dt" and self._entry_of(element)  # another name of the same
        if again or not self._lists or self._lists[-1][0] is not element.getparent():
            return
        listing, _ = self._lists.pop()
        entry = SectionDraft((), cleaned(element.get("id") or ""), element.sourceline or 1)
        self._draft.parts.append(entry)
        self._lists.append((listing, entry))

    def _start_list(self, element: Any) -> None:
        self._join = bool(self._numbers)
        self._numbers.append(0 if element.tag == "ol" else None)

    def _start_item(self, _element: Any) -> None:
        number = self._numbers[-1] if self._numbers else None
        if number is not None:
            self._numbers[-1] = number + 1
        self._bullet = "  " * (len(self._numbers) - 1) + ("- " if number is None else f"{number + 1}. ")

    def _start_row(self, element: Any) -> None:
        self._rows += is_data_row(element)

    def _start_cell(self, _element: Any) -> None:
        if self._rows and self._pieces:
            self._put("| " if self._last == " " else " | ")

    def _start_link(self, element: Any) -> None:
        if element.get("href") and not self._cutting:
            self._link = (element.get("href"), self._length)

    def _start_line(self, _element: Any) -> None:
        self._put(" " if self._rows or self._cutting else "\n")

    def _end(self, element: Any) -> None:
        tag = element.tag
        if tag == "a" and self._link:
            self._in_block.append((*self._link, self._length))
            self._link = None
        elif tag in HEADINGS and self._cutting:
            self._cut(element)
        elif tag == "dt" and (entry := self._entry_of(element)):
            entry.terms.append(signature_name(element) or folded("".join(self._pieces)))
        elif tag == "tr":
            self._rows -= is_data_row(element)
        if tag in BLOCKS:
            self._break()
            self._join = tag in ("dt", "li", "tbody", "thead", "tr") or (self._rows > 0 and self._join)
        self._pre -= tag == "pre"
        if tag == "dl" and self._lists and self._lists[-1][0] is element:
            self._lists.pop()
        elif tag in ("ul", "ol"):
            self._numbers.pop()

    def _cut(self, heading: Any) -> None:
        """Begin a section under a heading that is complete."""
        self._cutting = False
        words = folded("".join(self._pieces))
        self._pieces, self._length, self._last = [], 0, ""
        if not words:
            return
        level = int(heading.tag[1])
        self._above = [one for one in self._above if one[0] < level] + [(level, words)]
        around = [cleaned(one.get("id") or "") for one in (heading, *heading.iterancestors("section", "div", "a"))]
        fragment = next((one for one in [*around, *self._waiting[::-1]] if one in self._waiting), slug(words))
        path = tuple(one for _, one in self._above)
        self._lists.clear()
        self.drafts.append(SectionDraft(path, fragment, heading.sourceline or 1))
        self._settle()

    def _settle(self) -> None:
        for anchor in self._waiting:
            self.anchors.setdefault(anchor, self._draft)
        self._waiting.clear()

    def _add(self, text: str | None) -> None:
        text = cleaned(text or "")
        if not self._pre:
            text = _SPACE.sub(" ", text)
            if self._last in ("", " ", "\n"):
                text = text.lstrip(" ")
        self._put(text)

    def _put(self, text: str) -> None:
        if text:
            self._pieces.append(text)
            self._length += len(text)
            self._last = text[-1]

    def _break(self) -> None:
        """End a block; in the row of a table and in a heading blocks are only words."""
        if self._rows or self._cutting:
            self._put(" " if self._last not in ("", " ", "\n") else "")
        else:
            self._flush()

    def _flush(self) -> None:
        text = "".join(self._pieces)
        if self._link:  # around several blocks
            self._in_block.append((*self._link, self._length))
            self._link = (self._link[0], 0)
        links = self._in_block
        self._pieces, self._length, self._last, self._in_block = [], 0, "", []
        body = text.strip("\n").rstrip() if self._pre else text.strip()
        if not body.strip():
            return
        draft = self._draft
        draft.linked += sum(end - start for _, start, end in links)
        self.links.append((draft, text, links))
        body, self._bullet = self._bullet + body, ""
        if self._join and draft.parts and isinstance(draft.parts[-1], str):
            draft.parts[-1] += "\n" + body
        else:
            draft.parts.append(body)
        self._join = False
        self._settle()


# fmt: off
_STARTS: dict[str, Callable[[HtmlWalker, Any], None]] = {
    "a": HtmlWalker._start_link, "br": HtmlWalker._start_line,
    "dl": HtmlWalker._start_definitions, "dt": HtmlWalker._start_term,
    "li": HtmlWalker._start_item, "ol": HtmlWalker._start_list, "td": HtmlWalker._start_cell,
    "th": HtmlWalker._start_cell, "tr": HtmlWalker._start_row, "ul": HtmlWalker._start_list,
}
# fmt: on

"""Walk the elements of an HTML page in order and collect sections, anchors and links."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from triptych.corpus.cleaning import cleaned
from triptych.corpus.pages.html_rules import (
    BLOCKS,
    HEADINGS,
    PART_OF_TEXT,
    class_names,
    heading_level,
    index_entries,
    is_code_block,
    is_data_row,
    is_menu,
    is_mostly_links,
    is_skipped,
    is_way_back,
    is_way_through,
    signature_name,
    slug,
    starts_section,
    tag_of,
)
from triptych.corpus.pages.judgments import LinkSpan, folded

_SPACE = re.compile(r"\s+")
_ITEMS = ("dl", "li", "tr")
_WAYS = ("p", "table", "ul")
_TITLE_EDGES = " \u200b\u200c\u200d\u2060\ufeff¶"  # in links from a heading to itself


@dataclass(slots=True, eq=False)
class SectionDraft:
    """A section, or an entry of a definition list in it, while it is being read."""

    path: tuple[str, ...]
    fragment: str  # an anchor
    line: int
    parts: list["str | SectionDraft"] = field(default_factory=list)  # blocks of text and entries, in order
    linked: int = 0  # characters in links
    contents: bool = False  # whether a table of contents was left out
    terms: list[str] = field(default_factory=list)  # of an entry

    def entries(self) -> list["SectionDraft"]:
        """Return the parts that are entries."""
        return [part for part in self.parts if isinstance(part, SectionDraft)]

    def drafts(self) -> Iterator["SectionDraft"]:
        """Yield this draft and all entries in it, recursively."""
        yield self
        for entry in self.entries():
            yield from entry.drafts()

    def text(self) -> str:
        """Return all text, including that of the entries."""
        return "\n\n".join(part if isinstance(part, str) else part.text() for part in self.parts)


class HtmlWalker:
    """Walks the elements of a page once, in order, and collects sections, anchors and links."""

    def __init__(self, title: str, is_index: bool = False) -> None:
        self.drafts = [SectionDraft((title,), "", 1)]
        self.has_top_heading = False  # a heading of level 1
        self.anchors: dict[str, SectionDraft] = {}
        # (section, block of text, links in it, number of the list item, row or definition, 0 for none)
        self.blocks: list[tuple[SectionDraft, str, list[LinkSpan], int]] = []
        self.entries: list[tuple[str, str]] = []  # of an index: (words, destination)
        self._is_index = is_index
        self._items: list[int] = []  # numbers of the open items
        self._last_item = 0
        self._above: list[tuple[int, str]] = []  # level and text of the current headings
        self._lists: list[tuple[Any, SectionDraft | None]] = []  # open definition lists, each with its current entry
        # Anchors that belong to the next text, each with the number of characters before it in the current block.
        self._pending: dict[str, int] = {}
        self._pieces: list[str] = []  # text of the current block
        self._length, self._last = 0, ""  # of that text: number of characters, last character
        self._block_links: list[LinkSpan] = []  # in that text
        self._link: tuple[str, int] | None = None  # the open link: (destination, start)
        self._in_heading = False  # in a heading that starts a section
        self._pre = self._rows = 0  # depth of <pre> and of rows of data
        self._shift = 0  # levels that headings are below their own
        self._lines: Any = None  # the open block of code whose lines are elements
        self._numbers: list[int | None] = []  # number of the current item of each open list; None if not numbered
        self._bullet, self._join = "", False  # prefix of the next block; whether it continues the last part

    def walk(self, tree: Any) -> None:
        """Walk the main content of a page, or the whole page if none is marked."""
        candidates = (list(tree.iter("main")), tree.xpath("//*[@role='main']"), list(tree.iter("article")))
        root = next((elements[0] for elements in candidates if len(elements) == 1), None)
        whole, root = root is None, tree if root is None else root
        self._shift = int(bool(tree.xpath("//div[@class='headertitle']")))
        walker = etree.iterwalk(root, events=("start", "end"))
        skipped = None
        for event, element in walker:
            if event == "start":
                if (
                    is_skipped(element, whole, len(self.drafts) > 1)
                    or self._is_contents(element)
                    or self._is_way(element)
                ):
                    skipped = element
                    walker.skip_subtree()
                else:
                    self._start(element)
                    self._add(element.text)
                continue
            if element is not skipped:
                self._end(element)
            if element is not root:
                self._add(element.tail)
        self._flush()
        self.anchors |= {anchor: self._draft for anchor in self._pending if anchor not in self.anchors}

    @property
    def _draft(self) -> SectionDraft:
        return next((entry for _, entry in reversed(self._lists) if entry), self.drafts[-1])

    def _is_contents(self, element: Any) -> bool:
        """Return whether an element is a table of contents, to be left out; this also ends the block before it."""
        if element.tag not in ("ul", "ol", "table"):
            return False
        is_contents = is_mostly_links(element)
        self._break()
        self._draft.contents |= is_contents
        if is_contents:
            self._pending |= {cleaned(one.get("id")): 0 for one in element.iter("*") if one.get("id")}
            self.entries += index_entries(element) if self._is_index else ()
        return is_contents

    def _is_way(self, element: Any) -> bool:
        """Return whether an element only leads to the neighbors of a page; this also ends the block before it."""
        is_way = element.tag in _WAYS and is_way_through(element)
        if is_way:
            self._break()
        return is_way

    def _start(self, element: Any) -> None:
        tag = tag_of(element)
        if tag in BLOCKS:
            self._break()
            if tag in _ITEMS:
                self._last_item += 1
                self._items.append(self._last_item)
            elif tag == "dt" and self._items:  # its description is the same item
                self._last_item += 1
                self._items[-1] = self._last_item
        if tag in HEADINGS:
            self._in_heading = starts_section(element)
        elif tag in _STARTS:
            _STARTS[tag](self, element)
        self._pre += tag == "pre"
        if tag == "div" and self._lines is None and is_code_block(element):
            self._lines, self._pre = element, self._pre + 1
        anchors = (element.get("id"), tag == "a" and element.get("name"))
        self._pending |= {cleaned(anchor): self._length for anchor in anchors if anchor}

    def _start_definitions(self, element: Any) -> None:
        parent = next(element.iterancestors("li", "tr", "blockquote", "dd"), None)
        if (parent is None or parent.tag == "dd") and not class_names(element) & PART_OF_TEXT:
            self._lists.append((element, None))

    def _entry_of(self, term: Any) -> SectionDraft | None:
        """Return the current entry if the term belongs to it; a term may also be plain text."""
        return self._lists[-1][1] if self._lists and self._lists[-1][0] is term.getparent() else None

    def _start_term(self, element: Any) -> None:
        before = element.getprevious()
        same_entry = before is not None and before.tag == "dt" and self._entry_of(element)  # another term of it
        if same_entry or not self._lists or self._lists[-1][0] is not element.getparent():
            return
        definitions, _ = self._lists.pop()
        entry = SectionDraft((), cleaned(element.get("id") or ""), element.sourceline or 1)
        self._draft.parts.append(entry)
        self._lists.append((definitions, entry))

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
        if element.get("href") and not self._in_heading:
            self._link = (element.get("href"), self._length)

    def _start_line(self, _element: Any) -> None:
        self._put(" " if self._rows or self._in_heading else "\n")

    def _end(self, element: Any) -> None:
        tag = tag_of(element)
        if tag == "a" and self._link:
            self._block_links.append((*self._link, self._length))
            self._link = None
        elif tag in HEADINGS and self._in_heading:
            self._start_section(element)
        elif tag == "dt" and (entry := self._entry_of(element)):
            entry.terms.append(signature_name(element) or folded("".join(self._pieces)).strip(_TITLE_EDGES))
        elif tag == "tr":
            self._rows -= is_data_row(element)
        if tag in BLOCKS:
            self._break()
            self._join = tag in ("dt", "li", "tbody", "thead", "tr") or (self._rows > 0 and self._join)
            if tag in _ITEMS and self._items:
                self._items.pop()
        self._pre -= tag == "pre"
        if element is self._lines:
            self._lines = None
            self._break()
            self._pre -= 1
        if tag == "dl" and self._lists and self._lists[-1][0] is element:
            self._lists.pop()
        elif tag in ("ul", "ol"):
            self._numbers.pop()

    def _start_section(self, heading: Any) -> None:
        """Start a section at the end of its heading."""
        self._in_heading = False
        title = folded("".join(self._pieces)).strip(_TITLE_EDGES)
        self._pieces, self._length, self._last = [], 0, ""
        if not title:
            return
        level = heading_level(heading) + self._shift
        self.has_top_heading |= level <= 1
        self._above = [one for one in self._above if one[0] < level] + [(level, title)]
        elements = (heading, *heading.iterancestors("section", "div", "a"))
        ids = [cleaned(element.get("id") or "") for element in elements]
        fragment = next((one for one in [*ids, *reversed(self._pending)] if one in self._pending), slug(title))
        path = tuple(words for _, words in self._above)
        self._lists.clear()
        self.drafts.append(SectionDraft(path, fragment, heading.sourceline or 1))
        self._place_anchors()

    def _place_anchors(self, before: int | None = None) -> None:
        """Place the anchors before some character of the block that ends, or all; what stands last waits for the next.

        Hand-written pages have their anchors between loose text and the heading that they are meant for.
        """
        for anchor, at in self._pending.items():
            if before is None or at < before:
                self.anchors.setdefault(anchor, self._draft)
        self._pending = {anchor: 0 for anchor, at in self._pending.items() if before is not None and at >= before}

    def _add(self, text: str | None) -> None:
        if not text:
            return
        text = cleaned(text)
        if self._lines is not None:
            text = text.replace("\n", "")  # between the lines
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
        """End a block; in a table row or a heading, a block only adds a space."""
        if self._lines is not None:
            self._put("\n" if self._last not in ("", "\n") else "")
        elif self._rows or self._in_heading:
            self._put(" " if self._last not in ("", " ", "\n") else "")
        else:
            self._flush()

    def _flush(self) -> None:
        text = "".join(self._pieces)
        if self._link:  # it spans several blocks
            self._block_links.append((*self._link, self._length))
            self._link = (self._link[0], 0)
        links = self._block_links
        self._pieces, self._length, self._last, self._block_links = [], 0, "", []
        body = text.strip("\n").rstrip() if self._pre else text.strip()
        if not body.strip() or (len(links) > 1 and is_menu(text, links)) or is_way_back(text, links):
            self._pending = dict.fromkeys(self._pending, 0)
            return
        draft = self._draft
        draft.linked += sum(end - start for _, start, end in links)
        self.blocks.append((draft, text, links, self._items[-1] if self._items else 0))
        body, self._bullet = self._bullet + body, ""
        if self._join and draft.parts and isinstance(draft.parts[-1], str):
            draft.parts[-1] += "\n" + body
        else:
            draft.parts.append(body)
        self._join = False
        self._place_anchors(len(text.rstrip()))


# fmt: off
_STARTS: dict[str, Callable[[HtmlWalker, Any], None]] = {
    "a": HtmlWalker._start_link, "br": HtmlWalker._start_line,
    "dl": HtmlWalker._start_definitions, "dt": HtmlWalker._start_term,
    "li": HtmlWalker._start_item, "ol": HtmlWalker._start_list, "td": HtmlWalker._start_cell,
    "th": HtmlWalker._start_cell, "tr": HtmlWalker._start_row, "ul": HtmlWalker._start_list,
}
# fmt: on

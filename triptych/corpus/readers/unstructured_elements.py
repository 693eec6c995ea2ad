"""The elements that unstructured cuts a page into, joined into sections: a title and the texts below it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from triptych.corpus.outcomes import Rejected
from triptych.corpus.readers.exported_records import flattened
from triptych.corpus.readers.record_to_chunk import SourceRecord

_FURNITURE = frozenset({"Footer", "Header", "PageBreak", "PageNumber"})  # repeated on each page
_TYPES = _FURNITURE | {
    "Address",
    "Checkbox",
    "CodeSnippet",
    "EmailAddress",
    "FigureCaption",
    "Form",
    "FormKeysValues",
    "Formula",
    "Image",
    "ListItem",
    "NarrativeText",
    "Table",
    "Text",
    "Title",
    "UncategorizedText",
}
_FILE = ("filename", "file_directory", "url")
_KINDS = ("type", "category")  # LangChain's loader names the type "category"
_OF_ELEMENT = frozenset({"text", "page_content", "element_id", "parent_id", "category_depth", *_KINDS})


def is_element(record: SourceRecord) -> bool:
    """Return whether a record is an element, not a chunk that unstructured already joined."""
    fields = flattened(record.fields)
    return "element_id" in fields and _kind(fields) in _TYPES


def sections_of(records: Iterator[SourceRecord | Rejected]) -> Iterator[SourceRecord | Rejected]:
    """Yield a record for each title with the texts up to the next title; page headers and footers are left out.

    Its header path has the titles above it. Records that are not elements are yielded as they are. A title with neither
    text nor titles below it is rejected as an empty section.
    """
    section = _Section()
    file: tuple[Any, ...] = ()
    for record in records:
        if isinstance(record, Rejected) or not is_element(record):
            yield from section.records()
            section = _Section(section.titles)
            yield record
            continue
        fields = flattened(record.fields)
        if (own_file := tuple(fields.get(key) for key in _FILE)) != file:
            yield from section.records()
            file, section = own_file, _Section()
        if _kind(fields) == "Title" and _text(fields).strip():
            titles = _above(fields, section.titles)
            deeper = len(titles) >= len(section.titles)
            yield from section.records(has_subsections=deeper)
            title = _Title(str(fields.get("element_id")), _text(fields), _depth(fields))
            section = _Section([*titles, title], record)
        elif _kind(fields) not in _FURNITURE:
            section.add(record, fields)
    yield from section.records()


@dataclass(frozen=True, slots=True)
class _Title:
    element_id: str
    text: str
    depth: int | None


@dataclass(slots=True)
class _Section:
    titles: list[_Title] = field(default_factory=list)  # the titles above its text, the nearest last
    first: SourceRecord | None = None  # its title, or its first text
    text: str = ""
    after_item: bool = False

    def add(self, record: SourceRecord, fields: dict[str, Any]) -> None:
        """Add the text of an element, as Markdown."""
        text, item = _text(fields), _kind(fields) == "ListItem"
        if not text.strip():
            return
        if item:
            text = f"- {text}"
        elif _kind(fields) == "CodeSnippet":
            text = f"```\n{text}\n```"
        separator = ("\n" if item and self.after_item else "\n\n") if self.text else ""
        self.text += separator + text
        self.after_item = item
        self.first = self.first or record

    def records(self, has_subsections: bool = False) -> Iterator[SourceRecord | Rejected]:
        """Yield the section as a record, if it has text."""
        if self.first is None:
            return
        if self.text:
            fields = flattened(self.first.fields)
            kept = {
                key: value
                for key, value in fields.items()
                if key not in _OF_ELEMENT or (key == "category" and value not in _TYPES)
            }
            own = {"element_id": fields.get("element_id"), "text": self.text}
            yield SourceRecord(
                self.first.file,
                self.first.number,
                kept | own | {"header_path": [title.text for title in self.titles]},
            )
        elif not has_subsections:
            yield Rejected(self.first.file, self.first.number, "empty section", "", self.titles[-1].text)


def _above(fields: dict[str, Any], titles: list[_Title]) -> list[_Title]:
    """Return those of the open titles that a new title is below: by its depth, else by its parent."""
    depth = _depth(fields)
    if depth is not None:
        return [title for title in titles if title.depth is not None and title.depth < depth]
    parents = [number for number, title in enumerate(titles) if title.element_id == fields.get("parent_id")]
    return titles[: parents[0] + 1] if parents else []


def _kind(fields: dict[str, Any]) -> Any:
    return next((fields[key] for key in _KINDS if fields.get(key) in _TYPES), None)


def _text(fields: dict[str, Any]) -> str:
    return next((fields[key] for key in ("text", "page_content") if isinstance(fields.get(key), str)), "")


def _depth(fields: dict[str, Any]) -> int | None:
    try:
        return int(float(fields["category_depth"]))  # CSV files have it as "1.0"
    except (KeyError, TypeError, ValueError):
        return None

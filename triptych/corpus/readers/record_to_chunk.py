"""From a record of a file to a chunk, or to the reason why it is rejected."""

import ast
import hashlib
import json
import reprlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

from triptych.corpus.cleaning import cleaned, one_line
from triptych.corpus.outcomes import Rejected, SourceCounts
from triptych.corpus.readers.field_names import flattened, lookup
from triptych.corpus.records import Chunk
from triptych.params.sections import Fields

_SHORT = reprlib.Repr()
_SHORT.maxstring = 60


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """A record as read from its file."""

    file: str
    number: int  # 1-based; for JSON Lines the number of the line
    fields: dict[str, Any]


class _RefusedError(Exception):
    """The reason why a record is rejected."""

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(reason, field, detail)
        self.outcome = reason, field, detail


def source_record(file: str, number: int, value: Any) -> SourceRecord | Rejected:
    """Return the record of a value that should be an object."""
    if isinstance(value, dict):
        return SourceRecord(file, number, value)
    return Rejected(file, number, "wrong type", "record", f"expected an object, got {shortened(value)}")


def shortened(value: Any) -> str:
    """Return the representation of a value, shortened if it is long or deeply nested."""
    return _SHORT.repr(value)


def chunk_of(
    record: SourceRecord, names: Fields, category: str | None, counts: SourceCounts, own_document: bool = False
) -> Chunk | Rejected:
    """Return the chunk of a record.

    The ``filename`` of a record without one is the file of the record or, with ``own_document``, the chunk id.
    """
    reader = _FieldReader(flattened(record.fields), names, counts)
    changes = counts.normalized
    try:
        content = reader.content()
        category = category or reader.line("category")
        if not category:
            raise _RefusedError("no category", reader.name("category"), "missing here and in ingest.sources")
        path = reader.header_path()
        title = reader.line("title")
        chunk_id = reader.line("chunk_id")
        filename = reader.line("filename") or (own_document and chunk_id) or record.file
    except _RefusedError as refused:
        return Rejected(record.file, record.number, *refused.outcome)
    if own_document and title and not path:
        path = (title,)
    if not title and path:
        title = path[-1]
        changes["title_from_header_path"] += 1
    if not chunk_id:
        parts = json.dumps([category, filename, path, content])
        chunk_id = hashlib.sha256(parts.encode()).hexdigest()[:16]
        changes["id_from_content"] += 1
    return Chunk(chunk_id, category, filename, path, title, content, f"{record.file}:{record.number}")


class _FieldReader:
    """Reads the fields of a record, and counts the names that were used and the changes."""

    def __init__(self, fields: dict[str, Any], names: Fields, counts: SourceCounts) -> None:
        self._fields, self._names, self._counts = fields, names, counts
        self._changes: Counter[str] = counts.normalized

    def name(self, ours: str) -> str:
        return lookup(self._fields, ours, self._names)[0]

    def _take(self, ours: str) -> tuple[str, Any]:
        name, value = lookup(self._fields, ours, self._names)
        if name in self._fields:
            self._counts.fields[ours, name] += 1
        return name, value

    def content(self) -> str:
        name, value = self._take("content")
        if value is None:
            raise _RefusedError("missing field", name, "null" if name in self._fields else "missing")
        if not isinstance(value, str):
            raise _wrong_type(name, "text", value)
        content = cleaned(value, self._changes)
        if not any(char.isprintable() and char != " " for char in content):  # zero-width spaces are not printable
            raise _RefusedError("empty content", name, shortened(value))
        return content

    def line(self, ours: str) -> str:
        name, value = self._take(ours)
        line = one_line(value, self._changes)
        if line is None:
            raise _wrong_type(name, "text or a number", value)
        return line

    def header_path(self) -> tuple[str, ...]:
        name, value = self._take("header_path")
        if isinstance(value, dict):  # {"h1": "A", "h2": "B"}
            value = list(value.values())
        if not isinstance(value, list | tuple):
            line = one_line(value, self._changes)
            if line is None:
                raise _wrong_type(name, "a list of headings or 'A > B'", value)
            if line:
                self._changes["header_path_from_text"] += 1
            headings = _parsed_list(line)
            value = line.split(" > ") if headings is None else headings
        lines = [one_line(heading, self._changes) for heading in value]
        if None in lines:
            raise _wrong_type(name, "a list of headings or 'A > B'", value)
        return tuple(line for line in lines if line)


def _wrong_type(field: str, expected: str, value: Any) -> _RefusedError:
    return _RefusedError("wrong type", field, f"expected {expected}, got {shortened(value)}")


def _parsed_list(line: str) -> list[Any] | None:
    """Return the list that a CSV cell contains as a Python literal (pandas writes lists so) or as JSON, else None."""
    try:
        value = ast.literal_eval(line) if line.startswith("[") else None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None  # a heading such as "[deprecated] open"
    return value if isinstance(value, list) else None

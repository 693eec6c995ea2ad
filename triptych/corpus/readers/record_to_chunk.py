"""From a record of a file to a chunk, or to the reason why it is rejected."""

import ast
import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from triptych.corpus.cleaning import cleaned, one_line
from triptych.corpus.outcomes import Rejected, SourceCounts
from triptych.corpus.readers.exported_records import empty, flattened
from triptych.corpus.readers.field_names import lookup
from triptych.corpus.readers.shortening import shortened
from triptych.corpus.records import Chunk
from triptych.params.sections import Fields

_SLASHES = re.compile(r"/(?:.*/)?")  # "/A/B/": how LlamaIndex writes the headings above a node
_HEADING_LINE = re.compile(r"\s*#{1,6}[ \t]+(.+?)[ \t]*#*[ \t]*\n\s*(?=\S)")


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


def chunk_of(
    record: SourceRecord,
    names: Fields,
    category: str | None,
    counts: SourceCounts,
    own_document: bool = False,
    default_category: str | None = None,
) -> Chunk | Rejected:
    """Return the chunk of a record.

    ``category`` replaces that of the record, ``default_category`` is for one without.
    The ``filename`` of a record without one is the file of the record or, with ``own_document``, the chunk id.
    """
    reader = _FieldReader(flattened(record.fields), names, counts)
    changes = counts.normalized
    try:
        content = reader.content()
        category = category or reader.line("category") or default_category
        if not category:
            raise _RefusedError("no category", reader.name("category"), "missing here and in ingest.sources")
        path, of_ancestors = reader.header_path()
        title = reader.line("title")
        chunk_id = reader.line("chunk_id")
        filename = reader.line("filename") or (own_document and chunk_id) or record.file
    except _RefusedError as refused:
        return Rejected(record.file, record.number, *refused.outcome)
    if of_ancestors:
        path, content = _with_own_heading(path, content)
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
        if not empty(value):
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

    def header_path(self) -> tuple[tuple[str, ...], bool]:
        """Return the header path, and whether it has only the headings above that of the record itself."""
        name, value = self._take("header_path")
        of_ancestors = False
        if isinstance(value, dict):  # {"h1": "A", "h2": "B"}
            value = list(value.values())
        if not isinstance(value, list | tuple):
            line = one_line(value, self._changes)
            if line is None:
                raise _wrong_type(name, "a list of headings or 'A > B'", value)
            if line:
                self._changes["header_path_from_text"] += 1
            headings = _parsed_list(line)
            of_ancestors = _SLASHES.fullmatch(line) is not None
            if headings is None:
                headings = line.strip("/").split("/") if of_ancestors else line.split(" > ")
            value = headings
        lines = [one_line(heading, self._changes) for heading in value]
        if None in lines:
            raise _wrong_type(name, "a list of headings or 'A > B'", value)
        return tuple(line for line in lines if line), of_ancestors


def _wrong_type(field: str, expected: str, value: Any) -> _RefusedError:
    return _RefusedError("wrong type", field, f"expected {expected}, got {shortened(value)}")


def _with_own_heading(path: tuple[str, ...], content: str) -> tuple[tuple[str, ...], str]:
    """Return the path with the heading that the content begins with, and the content without it."""
    match = _HEADING_LINE.match(content)
    if match is None:
        return path, content
    own = one_line(match[1]) or ""
    return path if path[-1:] == (own,) else (*path, own), content[match.end() :]


def _parsed_list(line: str) -> list[Any] | None:
    """Return the list that a CSV cell contains as a Python literal (pandas writes lists so) or as JSON, else None."""
    try:
        value = ast.literal_eval(line) if line.startswith("[") else None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None  # a heading such as "[deprecated] open"
    return value if isinstance(value, list) else None

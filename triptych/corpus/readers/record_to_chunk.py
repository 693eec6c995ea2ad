"""From one record of a user's file to one chunk, or to the reason why it is none."""

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
    """One record as it stands in its file."""

    file: str
    number: int  # 1-based; in JSON Lines the line
    fields: dict[str, Any]


class _RefusedError(Exception):
    """Why one record becomes no chunk."""

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(reason, field, detail)
        self.outcome = reason, field, detail


def source_record(file: str, number: int, value: Any) -> SourceRecord | Rejected:
    """Make a row of a value that should be an object."""
    if isinstance(value, dict):
        return SourceRecord(file, number, value)
    return Rejected(file, number, "wrong type", "record", f"expected an object, got {shortened(value)}")


def shortened(value: Any) -> str:
    """Spell a value, a long or a deep one in part."""
    return _SHORT.repr(value)


def chunk_of(
    row: SourceRecord, names: Fields, category: str | None, account: SourceCounts, own_document: bool = False
) -> Chunk | Rejected:
    """Build the chunk of a record.

    A record that names no file belongs to the one it stands in or, with ``own_document``, to none but itself.
    """
    reader = _Reader(flattened(row.fields), names, account)
    done = account.normalized
    try:
        content = reader.content()
        category = category or reader.line("category")
        if not category:
            raise _RefusedError("no category", reader.name("category"), "missing here and in ingest.sources")
        path = reader.header_path()
        title = reader.line("title")
        chunk_id = reader.line("chunk_id")
        filename = reader.line("filename") or (own_document and chunk_id) or row.file
    except _RefusedError as refused:
        return Rejected(row.file, row.number, *refused.outcome)
    if own_document and title and not path:
        path = (title,)
    if not title and path:
        title = path[-1]
        done["title_from_header_path"] += 1
    if not chunk_id:
        parts = json.dumps([category, filename, path, content])
        chunk_id = hashlib.sha256(parts.encode()).hexdigest()[:16]
        done["id_from_content"] += 1
    return Chunk(chunk_id, category, filename, path, title, content, f"{row.file}:{row.number}")


class _Reader:
    """Reads the fields of one record, and notes which names served and what was changed."""

    def __init__(self, fields: dict[str, Any], names: Fields, account: SourceCounts) -> None:
        self._fields, self._names, self._account = fields, names, account
        self._done: Counter[str] = account.normalized

    def name(self, ours: str) -> str:
        return lookup(self._fields, ours, self._names)[0]

    def _take(self, ours: str) -> tuple[str, Any]:
        name, value = lookup(self._fields, ours, self._names)
        if name in self._fields:
            self._account.fields[ours, name] += 1
        return name, value

    def content(self) -> str:
        name, value = self._take("content")
        if value is None:
            raise _RefusedError("missing field", name, "null" if name in self._fields else "missing")
        if not isinstance(value, str):
            raise _wrong_type(name, "text", value)
        content = cleaned(value, self._done)
        if not any(one.isprintable() and one != " " for one in content):  # nor are spaces of no width
            raise _RefusedError("empty content", name, shortened(value))
        return content

    def line(self, ours: str) -> str:
        name, value = self._take(ours)
        line = one_line(value, self._done)
        if line is None:
            raise _wrong_type(name, "text or a number", value)
        return line

    def header_path(self) -> tuple[str, ...]:
        name, value = self._take("header_path")
        if isinstance(value, dict):  # {"h1": "A", "h2": "B"}
            value = list(value.values())
        if not isinstance(value, list | tuple):
            line = one_line(value, self._done)
            if line is None:
                raise _wrong_type(name, "a list of headings or 'A > B'", value)
            if line:
                self._done["header_path_from_text"] += 1
            listed = _listed(line)
            value = line.split(" > ") if listed is None else listed
        lines = [one_line(one, self._done) for one in value]
        if None in lines:
            raise _wrong_type(name, "a list of headings or 'A > B'", value)
        return tuple(line for line in lines if line)


def _wrong_type(field: str, wanted: str, value: Any) -> _RefusedError:
    return _RefusedError("wrong type", field, f"expected {wanted}, got {shortened(value)}")


def _listed(line: str) -> list[Any] | None:
    """Return the list that a CSV cell spells, as Python does (pandas writes it so) or as JSON does."""
    try:
        value = ast.literal_eval(line) if line.startswith("[") else None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None  # a heading such as "[deprecated] open"
    return value if isinstance(value, list) else None

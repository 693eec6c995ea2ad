"""Chunk records in JSON, JSON Lines, CSV and Parquet files."""

import ast
import hashlib
import io
import json
import math
import re
import reprlib
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from triptych.corpus.reading import Reading, Rejected
from triptych.corpus.records import Chunk
from triptych.errors import UserError
from triptych.params import Fields

Kind = Literal["json", "jsonl", "csv", "parquet"]

_LINE_END = re.compile(r"\r\n|[\r\v\f\x85]")  # removing a form feed would glue two words together
# Lone surrogates too: JSON can spell them, UTF-8 cannot hold them.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_SHORT = reprlib.Repr()
_SHORT.maxstring = 60


@dataclass(frozen=True, slots=True)
class Row:
    """One record as it stands in its file."""

    source: str  # file name and 1-based number
    fields: dict[str, Any]


class _RefusedError(Exception):
    """Why one record becomes no chunk."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def read_records(path: Path, kind: Kind, fields: Fields, category: str | None) -> Reading:
    """Read one file of chunk records; a bad record is rejected with a reason, a bad file is a `UserError`."""
    if kind == "jsonl":
        rows = read_lines(path)
    else:
        values = _LOADERS[kind](path, fields)
        rows = [_row(f"{path.name}:{number}", value) for number, value in enumerate(values, start=1)]
    require_fields(path, rows, [fields.content], "name yours in ingest.fields of params.yaml")
    return gather(chunk_of(row, path.name, fields, category) for row in rows)


def read_utf8(path: Path) -> str:
    """Read a text file with or without a BOM; line ends stay as they are."""
    return decoded(path, read_bytes(path), "utf-8-sig", "save the file as UTF-8")


def read_bytes(path: Path) -> bytes:
    """Read a file that ``ingest.sources`` names or holds."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; check ingest.sources in params.yaml") from error


def decoded(path: Path, data: bytes, encoding: str, advice: str) -> str:
    """Decode what a file holds; refuse it with the line of the first byte that is wrong."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        name, byte = encoding.removesuffix("-sig").upper(), data[error.start]
        raise UserError(f"{path}:{line}: byte 0x{byte:02x} is not {name}; {advice}") from error


def cleaned(text: str) -> str:
    r"""Return NFC text with LF line ends and no control character but ``\n`` and ``\t``.

    NFC comes last: a removed character may have kept a letter from its accent.
    """
    return unicodedata.normalize("NFC", _CONTROL.sub("", _LINE_END.sub("\n", text)))


def read_lines(path: Path) -> list[Row | Rejected]:
    """Read JSON Lines; a record's number is its line, and a line that is no JSON object is rejected."""
    rows: list[Row | Rejected] = []
    # Not splitlines: it also cuts at U+2028, which may stand inside a JSON string.
    for number, line in enumerate(read_utf8(path).split("\n"), start=1):
        source = f"{path.name}:{number}"
        if line.strip():
            try:
                rows.append(_row(source, _loads(line)))
            except (ValueError, RecursionError) as error:
                rows.append(Rejected(source, "invalid JSON", f"line {number}: {error}: {_SHORT.repr(line)}"))
    return rows


def require_fields(path: Path, rows: Sequence[Row | Rejected], names: list[str], advice: str) -> None:
    """Refuse a file without records, or one in which no record has one of the fields at all."""
    found = dict.fromkeys(name for row in rows if isinstance(row, Row) for name in row.fields)
    if not found:
        first = next((f" ({row.source}: {row.detail})" for row in rows if isinstance(row, Rejected)), "")
        raise UserError(f"{path} holds no records{first}; check the file and its format in ingest.sources")
    for name in names:
        if name not in found:
            raise UserError(f"{path}: no record has the field {name!r}, found {', '.join(found)}; {advice}")


def chunk_of(row: Row | Rejected, filename: str, fields: Fields, category: str | None) -> Chunk | Rejected:
    """Build the chunk of a record; ``filename`` stands in where the record names none."""
    if isinstance(row, Rejected):
        return row
    try:
        content = _content(row, fields.content)
        category = category or _line(row, fields.category)
        if not category:
            raise _RefusedError("no category", f"{fields.category}: missing here and in ingest.sources")
        path = _header_path(row, fields.header_path)
        title = _line(row, fields.title) or (path[-1] if path else "")
        filename = _line(row, fields.filename) or filename
        chunk_id = _line(row, fields.chunk_id)
    except _RefusedError as refused:
        return Rejected(row.source, refused.reason, refused.detail)
    if not chunk_id:
        parts = json.dumps([category, filename, path, content])
        chunk_id = hashlib.sha256(parts.encode()).hexdigest()[:16]
    return Chunk(chunk_id, category, filename, path, title, content, row.source)


def gather(outcomes: Iterable[Chunk | Rejected]) -> Reading:
    """Collect chunks under unique ids: an equal repeat is merged, another text gets ``~2``, ``~3``."""
    reading = Reading()
    seen: dict[str, set[str]] = {}  # id as it was given → contents kept
    taken: set[str] = set()
    for one in outcomes:
        if isinstance(one, Rejected):
            reading.rejected.append(one)
            continue
        kept = seen.setdefault(one.chunk_id, set())
        if one.content in kept:
            reading.merged += 1
            continue
        chunk_id, number = one.chunk_id, max(len(kept), 1)
        while chunk_id in taken:
            number += 1
            chunk_id = f"{one.chunk_id}~{number}"
        taken.add(chunk_id)
        kept.add(one.content)
        reading.chunks.append(replace(one, chunk_id=chunk_id))
    return reading


def one_line(value: Any) -> str | None:
    """Return an id, a name or a heading as text on one line: "" for a missing one, None for a wrong type."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # an id column that once had gaps comes as 12.0
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    return " ".join(cleaned(str(value)).split())


def _load_json(path: Path, fields: Fields) -> list[Any]:
    text = read_utf8(path)
    if not text.strip():
        raise UserError(f"{path} is empty; fill it or take it out of ingest.sources")
    try:
        value = _loads(text)
    except json.JSONDecodeError as error:
        place = f"{path}:{error.lineno}:{error.colno}"
        raise UserError(f"{place}: invalid JSON, {error.msg}; mend it there or set format: jsonl") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: invalid JSON, {error}; mend the file") from error
    return _records(path, value, fields)


def _records(path: Path, value: Any, fields: Fields) -> list[Any]:
    """Find the records: an array, the one list of objects in an object, or an object's values by id."""
    if isinstance(value, list):
        return value
    entries = value if isinstance(value, dict) else {}
    # A list of plain values is a field of a record, such as its header path.
    lists = [key for key, one in entries.items() if isinstance(one, list) and (not one or _any_object(one))]
    if len(lists) == 1:
        return list(entries[lists[0]])
    if lists:
        raise UserError(f"{path}: lists under {', '.join(lists)}; keep the one that holds the chunks")
    if not _any_object(entries.values()):
        found = _SHORT.repr(value)
        raise UserError(f"{path}: expected an array of objects, got {found}; wrap the records in [ ]")
    return [{fields.chunk_id: key, **one} if isinstance(one, dict) else one for key, one in entries.items()]


def _any_object(values: Iterable[Any]) -> bool:
    return any(isinstance(one, dict) for one in values)


def _load_csv(path: Path, fields: Fields) -> list[Any]:
    try:
        with warnings.catch_warnings():
            # Lines longer than the header are only a warning to pandas, and lose their last cells.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            text = io.StringIO(read_utf8(path))
            frame = pd.read_csv(text, dtype=str, keep_default_na=False, index_col=False)
    except pd.errors.EmptyDataError as error:
        raise UserError(f"{path} is empty; fill it or take it out of ingest.sources") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        problem = str(error).strip().removeprefix("Error tokenizing data. C error: ").rstrip(".")
        raise UserError(f"{path}: not CSV, {problem}; quote cells that hold commas or line ends") from error
    return frame.to_dict("records")


def _load_parquet(path: Path, fields: Fields) -> list[Any]:
    try:
        return pq.read_table(path).to_pylist()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}; check ingest.sources in params.yaml") from error
    except (pa.ArrowException, ValueError) as error:
        raise UserError(f"{path}: not Parquet, {error}; write it again or set another format") from error


_LOADERS: dict[str, Callable[[Path, Fields], list[Any]]] = {
    "json": _load_json,
    "csv": _load_csv,
    "parquet": _load_parquet,
}


def _loads(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key given twice, of which `json` would silently drop the first."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)!r} is given twice")
    return found


def _row(source: str, value: Any) -> Row | Rejected:
    if isinstance(value, dict):
        return Row(source, value)
    return Rejected(source, "wrong type", f"record: expected an object, got {_SHORT.repr(value)}")


def _wrong_type(key: str, wanted: str, value: Any) -> _RefusedError:
    return _RefusedError("wrong type", f"{key}: expected {wanted}, got {_SHORT.repr(value)}")


def _content(row: Row, key: str) -> str:
    value = row.fields.get(key)
    if value is None:
        raise _RefusedError("missing field", f"{key}: {'null' if key in row.fields else 'missing'}")
    if not isinstance(value, str):
        raise _wrong_type(key, "text", value)
    content = cleaned(value)
    if not content.strip():
        raise _RefusedError("empty content", f"{key}: {_SHORT.repr(value)}")
    return content


def _line(row: Row, key: str) -> str:
    line = one_line(row.fields.get(key))
    if line is None:
        raise _wrong_type(key, "text or a number", row.fields[key])
    return line


def _header_path(row: Row, key: str) -> tuple[str, ...]:
    value = row.fields.get(key)
    if not isinstance(value, list | tuple):
        line = _line(row, key)
        value = _listed(line)
        value = line.split(" > ") if value is None else value
    lines = [one_line(one) for one in value]
    if None in lines:
        raise _wrong_type(key, "a list of headings or 'A > B'", value)
    return tuple(line for line in lines if line)


def _listed(line: str) -> list[Any] | None:
    """Return the list that a CSV cell spells, as Python does (pandas writes it so) or as JSON does."""
    try:
        value = ast.literal_eval(line) if line.startswith("[") else None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None  # a heading such as "[deprecated] open"
    return value if isinstance(value, list) else None

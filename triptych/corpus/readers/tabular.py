"""Chunk records in JSON, JSON Lines, CSV and Parquet files, one after the other."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from triptych.corpus.files import BadFileError, opened, read_text
from triptych.corpus.outcomes import Rejected, SourceCounts
from triptych.corpus.readers.field_names import KNOWN, flattened, has, relevant
from triptych.corpus.readers.record_to_chunk import SourceRecord, chunk_of, shortened, source_record
from triptych.corpus.records import Chunk
from triptych.params.sections import Fields

Kind = Literal["json", "jsonl", "csv", "parquet"]

_DELIMITERS = ",\t;|"
_SAMPLE = 1 << 16  # characters in which the header of a CSV file must end
_WRAPPERS = 8  # objects around the records
_ESCAPED = re.compile(r"[\udc80-\udcff]")  # a byte that could not be decoded
_BATCH = 1024  # records of a Parquet file


def read_records(
    path: Path,
    kind: Kind,
    names: Fields,
    account: SourceCounts,
    *,
    category: str | None = None,
    encoding: str | None = None,
    own_documents: bool = False,
    required: tuple[str, ...] = ("content",),
) -> Iterator[Chunk | Rejected]:
    """Yield a chunk for each record of a file, or why it is none; raise `BadFileError` when it cannot be read on.

    Only a file of kind ``json`` is held in memory as a whole. A file in which no record has one of the ``required``
    fields is refused.
    """
    first: SourceRecord | None = None
    missing, flaw = list(required), ""
    for row in _ROWS[kind](path, encoding, names):
        account.read += 1
        if isinstance(row, Rejected):
            flaw = flaw or f" ({row})"
            yield row
        else:
            first = first or row
            missing = [ours for ours in missing if not has(row.fields, ours, names)]
            yield chunk_of(row, names, category, account, own_documents)
    if first is None:
        raise BadFileError(f"{path} holds no records{flaw}; check the file and its format in ingest.sources")
    if missing:
        wanted = getattr(names, missing[0]) or "/".join(KNOWN[missing[0]])
        found = ", ".join(flattened(first.fields))
        raise BadFileError(
            f"{path}: no record has the field {wanted!r}, found {found}; name yours in ingest.fields of params.yaml"
        )


def read_lines(
    path: Path, encoding: str | None = None, _names: Fields | None = None
) -> Iterator[SourceRecord | Rejected]:
    """Yield the records of JSON Lines by their line; a line that is no JSON object is rejected."""
    with opened(path, encoding) as lines:
        # Lines end at LF alone: U+2028 and others may stand inside a JSON string.
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            if (byte := _undecoded(line)) is not None:
                yield Rejected(path.name, number, "undecodable", "", _undecodable(byte))
                continue
            try:
                yield source_record(path.name, number, _loads(line))
            except (ValueError, RecursionError) as error:
                yield Rejected(path.name, number, "invalid JSON", "", f"{error}: {shortened(line.rstrip())}")


def _read_json(path: Path, encoding: str | None, names: Fields) -> Iterator[SourceRecord | Rejected]:
    text = read_text(path, encoding)
    if not text.strip():
        raise BadFileError(f"{path} is empty; fill it or take it out of ingest.sources")
    try:
        value = _loads(text)
    except json.JSONDecodeError as error:
        place = f"{path}:{error.lineno}:{error.colno}"
        raise BadFileError(f"{place}: invalid JSON, {error.msg}; mend it there or set format: jsonl") from error
    except (ValueError, RecursionError) as error:
        raise BadFileError(f"{path}: invalid JSON, {error}; mend the file") from error
    del text
    for number, record in enumerate(_records(path, value, names), start=1):
        yield source_record(path.name, number, record)


def _records(path: Path, value: Any, names: Fields) -> list[Any]:
    """Find the records: an array, or what holds them in an object, be it a list or an object keyed by id."""
    if isinstance(value, list):
        return value
    found = dict(_wrapped(value, names, "", _WRAPPERS))
    with_content = {
        key: records for key, records in found.items() if any(has(one, "content", names) for one in records)
    }
    found = with_content or found
    if len(found) > 1:
        raise BadFileError(f"{path}: lists under {', '.join(found)}; keep the one that holds the chunks")
    if not found:
        raise BadFileError(
            f"{path}: expected an array of objects, got {shortened(value)}; wrap the records in [ ]"
            " or name their field of text in ingest.fields"
        )
    return next(iter(found.values()))


def _wrapped(value: Any, names: Fields, key: str, depth: int) -> Iterator[tuple[str, list[Any]]]:
    # A list of plain values is a field of a record, such as its header path.
    if isinstance(value, list) and (not value or any(isinstance(one, dict) for one in value)):
        yield key, value
    elif isinstance(value, dict) and any(has(one, "content", names) for one in value.values()):
        id_name = names.chunk_id or "chunk_id"
        yield key, [{id_name: own, **one} if isinstance(one, dict) else one for own, one in value.items()]
    elif isinstance(value, dict) and depth:
        for own, one in value.items():
            yield from _wrapped(one, names, f"{key}.{own}".lstrip("."), depth - 1)


def _read_csv(path: Path, encoding: str | None, names: Fields) -> Iterator[SourceRecord | Rejected]:
    csv.field_size_limit(2**31 - 1)  # its default is shorter than some chunks
    with opened(path, encoding, newline="") as sample:
        delimiter = _delimiter(sample.read(_SAMPLE), names)
    with opened(path, encoding, newline="") as lines:
        table = csv.reader(lines, delimiter=delimiter, strict=True)
        header: list[str] = []
        number = 0
        while True:
            line = table.line_num + 1
            try:
                cells = next(table, None)
            except csv.Error as error:
                if "unexpected end" in str(error):
                    problem = f"{path}:{line}: not CSV, a quote is never closed"
                    raise BadFileError(f"{problem}; close it, or double the quotes inside cells") from error
                if not header:
                    raise BadFileError(f"{path}:{line}: not CSV, {error}; mend the header") from error
                number += 1
                yield Rejected(path.name, number, "not CSV", "", f"line {line}: {error}")
                continue
            if cells is None:
                return
            if not cells:
                continue
            if not header:
                header = _header(path, cells)
                continue
            number += 1
            yield _csv_row(path.name, number, header, cells)


def _csv_row(file: str, number: int, header: list[str], cells: list[str]) -> SourceRecord | Rejected:
    if len(cells) > len(header):
        wanted = f"{len(cells)} cells under {len(header)} columns; quote cells that hold the delimiter"
        return Rejected(file, number, "too many cells", "", wanted)
    for name, cell in zip(header, cells, strict=False):
        if (byte := _undecoded(cell)) is not None:
            return Rejected(file, number, "undecodable", name, _undecodable(byte))
    return SourceRecord(file, number, dict(zip(header, cells, strict=False)))


def _header(path: Path, cells: list[str]) -> list[str]:
    header = [cell.strip() for cell in cells]
    twice = next((name for name in header if name and header.count(name) > 1), None)
    if twice is not None:
        raise BadFileError(f"{path}:1: column {twice!r} is given twice; rename one")
    return header


def _delimiter(sample: str, names: Fields) -> str:
    """Choose the delimiter by the header: the one with which it names a content, then with the most columns."""

    def fit(delimiter: str) -> tuple[bool, int]:
        table = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
        header = next((cells for cells in table if cells), [])
        return has(dict.fromkeys(cell.strip() for cell in header), "content", names), len(header)

    return max(_DELIMITERS, key=fit)


def _read_parquet(path: Path, _encoding: str | None, names: Fields) -> Iterator[SourceRecord | Rejected]:
    number = 0
    try:
        with pq.ParquetFile(path, pre_buffer=False) as table:
            found = table.schema_arrow.names
            wanted = relevant(found, names) or found
            for batch in table.iter_batches(batch_size=_BATCH, columns=wanted):
                for record in batch.to_pylist():
                    number += 1
                    yield source_record(path.name, number, record)
    except (pa.ArrowException, OSError, ValueError) as error:
        problem = " ".join(str(error).split()).rstrip(".")
        raise BadFileError(f"{path}: not Parquet, {problem}; write it again or set another format") from error


_ROWS: dict[str, Callable[[Path, str | None, Fields], Iterator[SourceRecord | Rejected]]] = {
    "json": _read_json,
    "jsonl": read_lines,
    "csv": _read_csv,
    "parquet": _read_parquet,
}


def _undecoded(text: str) -> int | None:
    found = None if text.isascii() else _ESCAPED.search(text)
    return ord(found[0]) - 0xDC00 if found else None


def _undecodable(byte: int) -> str:
    return f"byte 0x{byte:02x}; save the file as UTF-8 or name its encoding in ingest.sources"


def _loads(text: str) -> Any:
    """Parse JSON; raw control characters in strings are let through, and cleaned with the rest."""
    return json.loads(text, object_pairs_hook=_object, strict=False)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key given twice, of which `json` would silently drop the first."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)!r} is given twice")
    return found

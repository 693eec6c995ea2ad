"""Read chunk records from JSON, JSON Lines, CSV and Parquet files, as a stream."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from triptych.corpus.files import BadFileError, bounded_lines, open_text, read_text
from triptych.corpus.outcomes import Rejected, SourceCounts
from triptych.corpus.readers.exported_records import ancestors, flattened, node_id
from triptych.corpus.readers.field_names import KNOWN, has, relevant
from triptych.corpus.readers.record_to_chunk import SourceRecord, chunk_of, source_record
from triptych.corpus.readers.shortening import listed, shortened
from triptych.corpus.readers.unstructured_elements import is_element, sections_of
from triptych.corpus.records import Chunk
from triptych.params.sections import Fields

Kind = Literal["json", "jsonl", "csv", "parquet"]

_DELIMITERS = ",\t;|"
_SAMPLE = 1 << 16  # characters of a CSV file that must contain its header
_DOCSTORE = "docstore/data"  # the nodes in LlamaIndex' docstore.json
_WRAPPERS = 8  # nested objects around the records
_ESCAPED = re.compile(r"[\udc80-\udcff]")  # a byte that could not be decoded
_LONGEST_CELL = 64 * 2**20  # characters; some chunks are longer than the default of csv
_BATCH = 1024  # records of a Parquet file


def read_records(
    path: Path,
    kind: Kind,
    names: Fields,
    counts: SourceCounts,
    *,
    category: str | None = None,
    encoding: str | None = None,
    own_documents: bool = False,
    required: tuple[str, ...] = ("content",),
) -> Iterator[Chunk | Rejected]:
    """Yield a chunk for each record of a file, or the reason why it is rejected.

    Where neither ``category`` nor the first record names one, records without a category get the name of the file.
    Only a file of kind ``json`` is read into memory as a whole. Raises `BadFileError` if the file cannot be read
    further, or if one of the ``required`` fields is missing in all of its records.
    """
    first: SourceRecord | None = None
    default_category: str | None = None
    missing, problem = list(required), ""
    records = _READERS[kind](path, encoding, names)
    if kind != "json":  # there they are in memory
        records = _uncut(records, lambda: _READERS[kind](path, encoding, names))
    for record in _joined(records, names):
        counts.read += 1
        if isinstance(record, Rejected):
            problem = problem or f" ({record})"
            yield record
        else:
            if first is None:
                first = record
                if category is None and not own_documents and not has(record.fields, "category", names):
                    default_category = path.stem
            missing = [ours for ours in missing if not has(record.fields, ours, names)]
            yield chunk_of(record, names, category, counts, own_documents, default_category)
    if first is None:
        raise BadFileError(f"{path} contains no records{problem}; check the file and its format in ingest.sources")
    if missing:
        expected = getattr(names, missing[0]) or "/".join(KNOWN[missing[0]])
        found = listed(flattened(first.fields))
        raise BadFileError(
            f"{path}: no record has the field {expected!r}, found {found}; name yours in ingest.fields of params.yaml"
        )


def _uncut(
    records: Iterator[SourceRecord | Rejected], again: Callable[[], Iterator[SourceRecord | Rejected]]
) -> Iterator[SourceRecord | Rejected]:
    """Reject the nodes of LlamaIndex that other nodes were cut from; only for nodes is the file read twice."""
    first = next(records, None)
    if first is None:
        return
    cut_up = set[str]()
    if isinstance(first, SourceRecord) and node_id(first.fields) is not None:
        cut_up = {node for one in again() if isinstance(one, SourceRecord) for node in ancestors(one.fields)}
    for record in chain([first], records):
        if cut_up and isinstance(record, SourceRecord) and (node := node_id(record.fields)) in cut_up:
            yield Rejected(record.file, record.number, "cut into nodes", "", shortened(node))
        else:
            yield record


def _joined(records: Iterator[SourceRecord | Rejected], names: Fields) -> Iterator[SourceRecord | Rejected]:
    """Yield the records of a file; if they are elements of pages, and no fields are named, their sections."""
    first = next(records, None)
    if first is None:
        return
    records = chain([first], records)
    if names == Fields() and isinstance(first, SourceRecord) and is_element(first):
        records = sections_of(records)
    yield from records


def read_lines(
    path: Path, encoding: str | None = None, _names: Fields | None = None
) -> Iterator[SourceRecord | Rejected]:
    """Yield the records of a JSON Lines file; a line that is not a JSON object is rejected."""
    with open_text(path, encoding) as lines:
        # Lines end only at LF: a JSON string may contain U+2028 and other separators.
        for number, line in enumerate(bounded_lines(path, lines), start=1):
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
        raise BadFileError(f"{path} is empty; fill it or remove it from ingest.sources")
    try:
        value = _loads(text)
    except json.JSONDecodeError as error:
        position = f"{path}:{error.lineno}:{error.colno}"
        raise BadFileError(f"{position}: invalid JSON, {error.msg}; fix it there or set format: jsonl") from error
    except (ValueError, RecursionError) as error:
        raise BadFileError(f"{path}: invalid JSON, {error}; fix the file") from error
    del text
    records = _records(path, value, names)
    cut_up = {node for record in records for node in ancestors(record)}
    for number, record in enumerate(records, start=1):
        if cut_up and (node := node_id(record)) in cut_up:
            yield Rejected(path.name, number, "cut into nodes", "", shortened(node))
        else:
            yield source_record(path.name, number, record)


def _records(path: Path, value: Any, names: Fields) -> list[Any]:
    """Find the records: the array itself, or the list or object keyed by id that an object contains."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and _DOCSTORE in value:
        value = value[_DOCSTORE]  # beside it are hashes and the metadata of documents
    lists = dict(_wrapped(value, names, "", _WRAPPERS))
    with_content = {
        key: records for key, records in lists.items() if any(has(record, "content", names) for record in records)
    }
    lists = with_content or lists
    if len(lists) > 1:
        raise BadFileError(f"{path}: lists under {listed(lists)}; keep the one that contains the chunks")
    if not lists:
        raise BadFileError(
            f"{path}: expected an array of objects, got {shortened(value)}; wrap the records in [ ]"
            " or name their text field in ingest.fields"
        )
    return next(iter(lists.values()))


def _wrapped(value: Any, names: Fields, key: str, depth: int) -> Iterator[tuple[str, list[Any]]]:
    """Yield (dotted key, records) for each list of records in a value."""
    # A list of plain values is a field of a record, such as its header path.
    if isinstance(value, list) and (not value or any(isinstance(item, dict) for item in value)):
        yield key, value
    elif isinstance(value, dict) and any(has(item, "content", names) for item in value.values()):
        id_name = names.chunk_id or "chunk_id"
        yield key, [{id_name: own, **item} if isinstance(item, dict) else item for own, item in value.items()]
    elif isinstance(value, dict) and depth:
        for own, item in value.items():
            yield from _wrapped(item, names, f"{key}.{own}".lstrip("."), depth - 1)


def _read_csv(path: Path, encoding: str | None, names: Fields) -> Iterator[SourceRecord | Rejected]:
    csv.field_size_limit(_LONGEST_CELL)
    with open_text(path, encoding, newline="") as sample:
        delimiter = _delimiter(sample.read(_SAMPLE), names)
    with open_text(path, encoding, newline="") as lines:
        table = csv.reader(bounded_lines(path, lines), delimiter=delimiter, strict=True)
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
                    raise BadFileError(f"{path}:{line}: not CSV, {error}; fix the header") from error
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
            yield _csv_record(path.name, number, header, cells)


def _csv_record(file: str, number: int, header: list[str], cells: list[str]) -> SourceRecord | Rejected:
    if len(cells) > len(header):
        detail = f"{len(cells)} cells under {len(header)} columns; quote cells that contain the delimiter"
        return Rejected(file, number, "too many cells", "", detail)
    for name, cell in zip(header, cells, strict=False):
        if (byte := _undecoded(cell)) is not None:
            return Rejected(file, number, "undecodable", name, _undecodable(byte))
    return SourceRecord(file, number, dict(zip(header, cells, strict=False)))


def _header(path: Path, cells: list[str]) -> list[str]:
    header = [cell.strip() for cell in cells]
    counts = Counter(header)
    repeated = next((name for name in header if name and counts[name] > 1), None)
    if repeated is not None:
        raise BadFileError(f"{path}:1: column {shortened(repeated)} appears twice; rename one")
    return header


def _delimiter(sample: str, names: Fields) -> str:
    """Choose the delimiter by which the header has a content column, then the one with the most columns."""

    def fit(delimiter: str) -> tuple[bool, int]:
        table = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
        header = next((cells for cells in table if cells), [])
        return has(dict.fromkeys(cell.strip() for cell in header), "content", names), len(header)

    return max(_DELIMITERS, key=fit)


def _read_parquet(path: Path, _encoding: str | None, names: Fields) -> Iterator[SourceRecord | Rejected]:
    number = 0
    try:
        with pq.ParquetFile(path, pre_buffer=False) as table:
            columns = table.schema_arrow.names
            columns = relevant(columns, names) or columns
            for batch in table.iter_batches(batch_size=_BATCH, columns=columns):
                for record in batch.to_pylist():
                    number += 1
                    yield source_record(path.name, number, record)
    except (pa.ArrowException, OSError, ValueError) as error:
        problem = " ".join(str(error).split()).rstrip(".")
        raise BadFileError(f"{path}: not Parquet, {problem}; write it again or set another format") from error


_READERS: dict[str, Callable[[Path, str | None, Fields], Iterator[SourceRecord | Rejected]]] = {
    "json": _read_json,
    "jsonl": read_lines,
    "csv": _read_csv,
    "parquet": _read_parquet,
}


def _undecoded(text: str) -> int | None:
    match = None if text.isascii() else _ESCAPED.search(text)
    return ord(match[0]) - 0xDC00 if match else None


def _undecodable(byte: int) -> str:
    return f"byte 0x{byte:02x}; save the file as UTF-8 or name its encoding in ingest.sources"


def _loads(text: str) -> Any:
    """Parse JSON; control characters in strings are accepted here and removed with all others later."""
    return json.loads(text, object_pairs_hook=_object, strict=False)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Reject a repeated key, of which `json` would silently drop the first."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {shortened(next(key for key in keys if keys.count(key) > 1))} appears twice")
    return fields

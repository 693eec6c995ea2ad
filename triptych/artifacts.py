"""Read and write the files of stages. Writes are atomic, and equal inputs give equal bytes."""

import csv
import hashlib
import io
import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError

from triptych.errors import ArtifactError, disk_message

ROW_GROUP = 65_536  # rows of a table that are compressed together, where nothing else is said
# What the readers of JSON, Parquet, FAISS and others raise on a damaged file.
_READ_ERRORS = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, OverflowError),
    *(csv.Error, SafetensorError),
)


@contextmanager
def writing(out: Path) -> Iterator[Path]:
    """Yield an empty temporary folder and rename it to ``out`` when the block ends without an error.

    Readers never see a partial output: until the block ends, ``out`` is absent or the previous output.
    """
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if out.exists():
        shutil.rmtree(out)
    partial.replace(out)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with LF line ends, through a temporary file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8", newline="\n")
    os.replace(partial, path)  # noqa: PTH105


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys and floats rounded to six digits, so that equal results give equal bytes.

    NaN and Inf become null.
    """
    text = json.dumps(_rounded(value), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_jsonl(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object per line, in the given order."""
    with writing_jsonl(path) as write:
        for record in records:
            write(record)


@contextmanager
def writing_jsonl(path: Path) -> Iterator[Callable[[dict[str, Any]], object]]:
    """Yield a function that writes one JSON object as a line; the file appears when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8", newline="\n") as lines:
        yield lambda record: lines.write(json.dumps(_rounded(record), sort_keys=True, ensure_ascii=False) + "\n")
    os.replace(partial, path)  # noqa: PTH105


@contextmanager
def intact(path: Path) -> Iterator[None]:
    """Raise an `ArtifactError` in place of any error that reading a damaged file raises in the block."""
    try:
        yield
    except _READ_ERRORS as error:
        if type(error).__name__ == "OutOfMemoryError" or (isinstance(error, OSError) and disk_message(error)):
            raise  # it may be whole: the GPU's memory, the disk or its permissions are the problem
        message = f"no {error}" if isinstance(error, KeyError) else (str(error).splitlines() or ["empty"])[0]
        reason = message.rpartition(" failed: ")[2]  # FAISS puts its source location before it
        raise ArtifactError(path, f"is damaged ({reason})") from error


def read_json(path: Path) -> Any:
    """Read a JSON file that a stage writes; raise `ArtifactError` if it is missing or damaged."""
    _existing(path)
    with intact(path):
        return json.loads(path.read_text(encoding="utf-8"))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read a JSON Lines file that a stage writes; errors as in `read_json`."""
    _existing(path)
    with intact(path), path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows with the same keys as CSV; floats have six decimals."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: f"{value:.6f}" if isinstance(value, float) else value for key, value in row.items()})
    write_text(path, text.getvalue())


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV file that a stage writes as one dict per row; all values are strings. Errors as in `read_json`."""
    _existing(path)
    with intact(path), path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def write_table(path: Path, table: pa.Table) -> None:
    """Write Parquet with fixed settings: the bytes depend only on the table and the pinned version of pyarrow."""
    with writing_table(path, table.schema) as write:
        write(table)


@contextmanager
def writing_table(path: Path, schema: pa.Schema, group: int = ROW_GROUP) -> Iterator[Callable[[pa.Table], None]]:
    """Yield a function that appends a part of a table, so that the whole table is never in memory.

    ``group`` rows are compressed together: whoever reads one row decompresses that many.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        yield lambda table: writer.write_table(table, row_group_size=group)
    os.replace(partial, path)  # noqa: PTH105


def open_table(path: Path) -> pq.ParquetFile:
    """Open a Parquet file that a stage writes, to be read in batches; errors as in `read_json`."""
    _existing(path)
    with intact(path):
        return pq.ParquetFile(path)


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read all or some columns of a Parquet file that a stage writes; errors as in `read_json`."""
    _existing(path)
    with intact(path):
        return pq.read_table(path, columns=columns)


def dvc_hash(path: Path, *excluded: str) -> str:
    """Return the hash under which DVC records a file or a folder in ``dvc.lock`` and stores it in a remote.

    For a file it is the md5 of its bytes; for a folder the md5 of a JSON list of its files and their md5, with the
    suffix ``.dir``. Files named ``excluded`` are ignored.
    """
    if path.is_file():
        with path.open("rb") as data:
            return hashlib.file_digest(data, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    files = sorted(
        (file.relative_to(path).as_posix(), file)
        for file in path.rglob("*")
        if file.is_file() and file.name not in excluded
    )
    listing = json.dumps([{"md5": dvc_hash(file), "relpath": name} for name, file in files], sort_keys=True)
    return hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest() + ".dir"


def _existing(path: Path) -> Path:
    if not path.exists():
        raise ArtifactError(path, "is missing")
    return path


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value

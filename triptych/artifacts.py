"""Atomic, byte-stable writers: what a stage writes is whole or absent, and equal for equal inputs."""

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

from triptych.errors import ArtifactError

_ROW_GROUP = 65_536
_OF_DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError)  # what readers raise


@contextmanager
def writing(out: Path) -> Iterator[Path]:
    """Yield a fresh folder beside ``out`` and move it into place when the block ends without an error.

    Readers never see half an output: until the block has ended ``out`` is absent or what it was before.
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
    """Write UTF-8 text with LF line ends through a temporary name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8", newline="\n")
    os.replace(partial, path)  # noqa: PTH105


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys and floats rounded to six digits, so that equal results are equal bytes."""
    text = json.dumps(_rounded(value), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_jsonl(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line, in the order given."""
    with writing_jsonl(path) as write:
        for record in records:
            write(record)


@contextmanager
def writing_jsonl(path: Path) -> Iterator[Callable[[dict[str, Any]], object]]:
    """Yield what writes one JSON object a line; the file is in place when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8", newline="\n") as lines:
        yield lambda one: lines.write(json.dumps(_rounded(one), sort_keys=True, ensure_ascii=False) + "\n")
    os.replace(partial, path)  # noqa: PTH105


@contextmanager
def intact(path: Path) -> Iterator[None]:
    """Turn what reading a damaged file raises into one `ArtifactError`."""
    try:
        yield
    except _OF_DAMAGE as error:
        said = f"no {error}" if isinstance(error, KeyError) else (str(error).splitlines() or ["empty"])[0]
        reason = said.rpartition(" failed: ")[2]  # FAISS puts its source before it
        raise ArtifactError(path, f"is damaged ({reason})") from error


def read_json(path: Path) -> Any:
    """Read a JSON file that a stage writes; raise `ArtifactError` where it is missing or damaged."""
    _present(path)
    with intact(path):
        return json.loads(path.read_text(encoding="utf-8"))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read a JSON Lines file that a stage writes, as `read_json` does."""
    _present(path)
    with intact(path), path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write CSV with a line for each row, all of the same keys; floats have six digits."""
    text = io.StringIO()
    lines = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    lines.writeheader()
    for row in rows:
        lines.writerow({key: f"{value:.6f}" if isinstance(value, float) else value for key, value in row.items()})
    write_text(path, text.getvalue())


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV file that a stage writes, one dict per row; all values are strings."""
    with _present(path).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def write_table(path: Path, table: pa.Table) -> None:
    """Write Parquet with fixed settings; the bytes depend on the table and the pinned pyarrow alone."""
    with writing_table(path, table.schema) as write:
        write(table)


@contextmanager
def writing_table(path: Path, schema: pa.Schema, group: int = _ROW_GROUP) -> Iterator[Callable[[pa.Table], None]]:
    """Yield what writes one part of a table after the other, so that it is never in memory as a whole.

    ``group`` rows are compressed together: a reader of one row reads so many.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        yield lambda table: writer.write_table(table, row_group_size=group)
    os.replace(partial, path)  # noqa: PTH105


def open_table(path: Path) -> pq.ParquetFile:
    """Open a Parquet file that a stage writes, to read it in batches."""
    return pq.ParquetFile(_present(path))


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file that a stage writes, all of it or some columns."""
    return pq.read_table(_present(path), columns=columns)


def dvc_hash(path: Path, *but: str) -> str:
    """Return the hash that DVC gives a file or a folder, so that it can be found in ``dvc.lock`` and in a remote.

    A file's is the md5 of its bytes; a folder's the md5 of a JSON list of its files with theirs, and ``.dir``. Files
    named in ``but`` are left out.
    """
    if path.is_file():
        with path.open("rb") as data:
            return hashlib.file_digest(data, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    files = sorted(
        (one.relative_to(path).as_posix(), one) for one in path.rglob("*") if one.is_file() and one.name not in but
    )
    listed = json.dumps([{"md5": dvc_hash(one), "relpath": name} for name, one in files], sort_keys=True)
    return hashlib.md5(listed.encode(), usedforsecurity=False).hexdigest() + ".dir"


def _present(path: Path) -> Path:
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

"""Atomic, byte-stable writers: what a stage writes is whole or absent, and equal for equal inputs."""

import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from triptych.errors import UserError

ROW_GROUP = 65_536  # rows that are written, and can be read, at a time


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
    lines = (json.dumps(_rounded(record), sort_keys=True, ensure_ascii=False) + "\n" for record in records)
    write_text(path, "".join(lines))


def read_json(path: Path, made_by: str) -> Any:
    """Read a JSON file that the stage ``made_by`` writes; a missing one is the user's to mend."""
    return json.loads(_present(path, made_by).read_text(encoding="utf-8"))


def read_jsonl(path: Path, made_by: str) -> list[dict[str, Any]]:
    """Read a JSON Lines file that the stage ``made_by`` writes."""
    with _present(path, made_by).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def write_table(path: Path, table: pa.Table) -> None:
    """Write Parquet with fixed settings; the bytes depend on the table and the pinned pyarrow alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    pq.write_table(table, partial, compression="zstd", row_group_size=ROW_GROUP)
    os.replace(partial, path)  # noqa: PTH105


def write_batches(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write Parquet as `write_table` does, a row group for each batch, without holding more than one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
    os.replace(partial, path)  # noqa: PTH105


def open_table(path: Path, made_by: str) -> pq.ParquetFile:
    """Open a Parquet file that the stage ``made_by`` writes, to read it a batch at a time."""
    return pq.ParquetFile(_present(path, made_by))


def read_table(path: Path, made_by: str, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file that the stage ``made_by`` writes, all of it or some columns."""
    return pq.read_table(_present(path, made_by), columns=columns)


def _present(path: Path, made_by: str) -> Path:
    if not path.exists():
        raise UserError(f"{path} is missing; `dvc repro {made_by}` makes it, `dvc pull {made_by}` fetches it")
    return path


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value

"""The rows of a Parquet file, read from the disk by groups when they are shown."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from triptych.artifacts import intact

GROUP = 256  # rows per group, which is read as a whole to show one of them
_KEPT = 64  # groups


class RowGroups:
    """The rows of a file whose groups have `GROUP` rows each. Several threads may read."""

    def __init__(self, path: Path) -> None:
        """Open a file; raise what pyarrow does if it cannot be."""
        self._path, self._file = path, pq.ParquetFile(path, memory_map=True)
        self._reading = Lock()  # a Parquet file is read by one thread at a time
        self._group = lru_cache(_KEPT)(self._read_group)

    def __len__(self) -> int:
        rows: int = self._file.metadata.num_rows
        return rows

    def columns(self, *names: str) -> pa.Table:
        """Read some columns whole; raise `ArtifactError` if the file is damaged, which opening it does not find."""
        with intact(self._path), self._reading:
            return self._file.read(columns=list(names))

    def records(self, rows: Iterable[int]) -> list[dict[str, Any]]:
        """Return rows by their numbers, in this order; errors as in `columns`."""
        with intact(self._path):
            return [self._group(row // GROUP).slice(row % GROUP, 1).to_pylist()[0] for row in rows]

    def _read_group(self, group: int) -> pa.Table:
        with self._reading:
            return self._file.read_row_group(group)

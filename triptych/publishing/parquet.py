"""Parquet: two files in a folder, for any loader. A file is written again where a row changed, and replaced at once."""

from collections.abc import Mapping
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path

import numpy as np

from triptych.artifacts import intact, read_table, writing_table
from triptych.corpus.records import best
from triptych.errors import UserError
from triptych.publishing.changes import Changes
from triptych.publishing.database import Neighbor, chunk_scores
from triptych.publishing.index_rows import IndexRows, Rows

_BATCH = 1024  # rows written at once


class Parquet:
    """Files ``<name>_chunks.parquet`` and ``<name>_vectors.parquet``."""

    def __init__(self, folder: Path, name: str) -> None:
        if folder.is_file():
            raise UserError(f"{folder} is a file; name a folder")
        self._chunks, self._vectors = folder / f"{name}_chunks.parquet", folder / f"{name}_vectors.parquet"
        self.shown = f"{self._chunks.as_posix()} and {self._vectors.name}"

    def publication(self) -> nullcontext[None]:
        """Return an empty block."""
        return nullcontext()

    def prepare(self, rows: IndexRows) -> None:
        """Make nothing: files are written as a whole."""

    def digests(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return the digests of chunks and of vectors."""
        return _digests(self._chunks, "chunk_id"), _digests(self._vectors, "id")

    def write(self, chunks: Changes, vectors: Changes) -> None:
        """Write each file again that differs."""
        for path, changes in ((self._chunks, chunks), (self._vectors, vectors)):
            if changes or not path.exists():
                _write(path, changes.rows)

    def search(self, query: np.ndarray, depth: int) -> dict[str, float]:
        """Return the best chunks by all vectors of the file."""
        chunk_ids, kinds, vectors = self._searched
        rows = zip(chunk_ids, kinds, (vectors @ query).tolist(), strict=True)
        return best(chunk_scores(Neighbor(*row) for row in rows), depth)

    def close(self) -> None:
        """Nothing is open."""

    @cached_property
    def _searched(self) -> tuple[list[str], list[str], np.ndarray]:
        table = read_table(self._vectors, ["chunk_id", "kind", "vector"])
        vectors = table["vector"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
        return table["chunk_id"].to_pylist(), table["kind"].to_pylist(), vectors


def _write(path: Path, rows: Rows) -> None:
    with writing_table(path, rows.schema) as write:
        for batch in rows.batches(size=_BATCH):
            write(batch)


def _digests(path: Path, key: str) -> dict[str, str]:
    if not path.exists():
        return {}
    with intact(path):
        table = read_table(path, [key, "digest"])
    return dict(zip(table[key].to_pylist(), table["digest"].to_pylist(), strict=True))

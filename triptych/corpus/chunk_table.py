"""A corpus by columns: what decides about a million chunks is numbers; their texts pass by a batch at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pandas.util import hash_array

from triptych.artifacts import writing_table
from triptych.corpus.records import BATCH, CHUNK_SCHEMA, Chunk
from triptych.corpus.texts import normalized


class ChunkTable:
    """Chunks in a Parquet file, in the order in which they were written."""

    def __init__(self, file: pq.ParquetFile) -> None:
        """Read from an open file."""
        self._file = file

    def __len__(self) -> int:
        return self._file.metadata.num_rows

    def batches(self, *columns: str) -> Iterator[list[list[Any]]]:
        """Yield the values of some columns, a list for each, of some thousand chunks at a time."""
        for batch in self._file.iter_batches(BATCH, columns=list(columns)):
            yield [batch.column(name).to_pylist() for name in columns]

    def column(self, name: str) -> pa.Array:
        """Return one column whole; for short ones."""
        return self._file.read(columns=[name]).column(0).combine_chunks()

    def some(self, rows: Sequence[int] | np.ndarray) -> Iterator[tuple[int, Chunk]]:
        """Yield the chunks of some rows with their row, in ascending order."""
        wanted = np.unique(np.asarray(rows, dtype=np.int64))
        start = 0
        for batch in self._file.iter_batches(BATCH, columns=CHUNK_SCHEMA.names):
            first, last = np.searchsorted(wanted, [start, start + len(batch)])
            here = wanted[first:last]
            for row, values in zip(here.tolist(), batch.take(pa.array(here - start)).to_pylist(), strict=True):
                yield row, replace(Chunk(**values), header_path=tuple(values["header_path"]))
            start += len(batch)

    def write_with(self, path: Path, **columns: pa.Array) -> None:
        """Write the chunks anew with some columns of shape (chunks,) replaced."""
        start = 0
        with writing_table(path, CHUNK_SCHEMA) as write:
            for batch in self._file.iter_batches(BATCH):
                new = {name: values.slice(start, len(batch)) for name, values in columns.items()}
                old = {name: batch.column(name) for name in CHUNK_SCHEMA.names}
                write(pa.table(old | new, schema=CHUNK_SCHEMA))
                start += len(batch)


@dataclass(frozen=True, slots=True)
class Columns:
    """What is known of each chunk without its content: arrays of shape (chunks,); equal numbers mean equal things."""

    chunk_id: pa.Array
    categories: list[str]  # sorted
    category: np.ndarray  # int32, place in ``categories``
    file: np.ndarray  # int64, category and file name
    section: np.ndarray  # int64, file name and header path: parts of a section that was cut share it
    title: np.ndarray  # int64, normalized title; a chunk without one has its own number

    def __len__(self) -> int:
        return len(self.chunk_id)

    def rows(self, chunk_ids: Sequence[str] | pa.Array) -> np.ndarray:
        """Return the row of each id, -1 where there is none: int64."""
        found = pc.index_in(pa.array(chunk_ids, pa.string()), value_set=self.chunk_id)
        return np.asarray(found.fill_null(-1), dtype=np.int64)

    def category_of(self, row: int) -> str:
        """Return the name of a chunk's category."""
        return self.categories[self.category[row]]

    def rank(self) -> np.ndarray:
        """Return the place of each chunk among all by id: an order that rows do not decide; int64."""
        rank = np.empty(len(self), dtype=np.int64)
        rank[np.asarray(pc.sort_indices(self.chunk_id))] = np.arange(len(self))
        return rank


def read_columns(table: ChunkTable) -> Columns:
    """Read what decides about chunks besides their content."""
    category = [np.empty(0, np.int32)]
    hashes = {name: [np.empty(0, np.uint64)] for name in ("file", "section", "title")}
    known: dict[str, int] = {}
    for ids, categories, files, paths, titles in table.batches(
        "chunk_id", "category", "filename", "header_path", "title"
    ):
        category.append(np.array([known.setdefault(one, len(known)) for one in categories], dtype=np.int32))
        hashes["file"].append(_hashed(f"{one}\0{file}" for one, file in zip(categories, files, strict=True)))
        hashes["section"].append(_hashed("\0".join([file, *path]) for file, path in zip(files, paths, strict=True)))
        hashes["title"].append(_hashed(normalized(title) or one for title, one in zip(titles, ids, strict=True)))
    names = sorted(known)
    place = np.array([names.index(name) for name in known], dtype=np.int32)
    numbers = {name: np.unique(np.concatenate(parts), return_inverse=True)[1] for name, parts in hashes.items()}
    return Columns(table.column("chunk_id"), names, place[np.concatenate(category)], **numbers)


def _hashed(keys: Iterator[str]) -> np.ndarray:
    """Return a 64-bit hash of each text, the same on every machine: two of a million agree by chance once in 10^7."""
    return hash_array(np.array(list(keys), dtype=object), categorize=False)

"""A corpus as columns: a million chunks fit in memory as numbers; their texts are read a batch at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pandas.util import hash_array

from triptych.artifacts import writing_table
from triptych.corpus.records import BATCH, CHUNK_SCHEMA, Chunk, chunk_from_row
from triptych.corpus.texts import normalized
from triptych.ids import ChunkRow, ChunkRows


class ChunkTable:
    """Chunks in a Parquet file, in the order of the file."""

    def __init__(self, file: pq.ParquetFile) -> None:
        """Read from an open file."""
        self._file = file

    def __len__(self) -> int:
        return self._file.metadata.num_rows

    def batches(self, *columns: str) -> Iterator[list[list[Any]]]:
        """Yield the values of some columns, as a list per column, `BATCH` chunks at a time."""
        for batch in self._file.iter_batches(BATCH, columns=list(columns)):
            yield [batch.column(name).to_pylist() for name in columns]

    def column(self, name: str) -> pa.Array:
        """Return a whole column; meant for columns of short values."""
        return self._file.read(columns=[name]).column(0).combine_chunks()

    def chunks_at(self, rows: Sequence[ChunkRow] | ChunkRows) -> Iterator[tuple[ChunkRow, Chunk]]:
        """Yield (row, chunk) for each of the rows, in ascending order and without repeats."""
        wanted = np.unique(np.asarray(rows, dtype=np.int64))
        start = 0
        for batch in self._file.iter_batches(BATCH, columns=CHUNK_SCHEMA.names):
            first, last = np.searchsorted(wanted, [start, start + len(batch)])
            in_batch = wanted[first:last]
            values = batch.take(pa.array(in_batch - start)).to_pylist()
            yield from zip(in_batch.tolist(), map(chunk_from_row, values), strict=True)
            start += len(batch)

    def write_with(self, path: Path, **columns: pa.Array) -> None:
        """Write a copy of the chunks with some columns, of shape (chunks,), replaced."""
        start = 0
        with writing_table(path, CHUNK_SCHEMA) as write:
            for batch in self._file.iter_batches(BATCH):
                new = {name: values.slice(start, len(batch)) for name, values in columns.items()}
                old = {name: batch.column(name) for name in CHUNK_SCHEMA.names}
                write(pa.table(old | new, schema=CHUNK_SCHEMA))
                start += len(batch)


@dataclass(frozen=True, slots=True)
class CorpusColumns:
    """The columns of a corpus except the content, as arrays of shape (chunks,); equal values have equal numbers."""

    chunk_id: pa.Array
    categories: list[str]  # sorted
    category: np.ndarray  # int32, index into ``categories``
    file: np.ndarray  # int64, by category and file name
    section: np.ndarray  # int64, by file name and header path: the parts of a cut section share it
    header_path: np.ndarray  # int64, by header path
    title: np.ndarray  # int64, by normalized title; a chunk without a title has a number of its own

    def __len__(self) -> int:
        return len(self.chunk_id)

    def rows(self, chunk_ids: Sequence[str] | pa.Array) -> ChunkRows:
        """Return the row of each id, -1 for an unknown one: int64 of shape (ids,)."""
        rows = pc.index_in(pa.array(chunk_ids, pa.string()), value_set=self.chunk_id)
        return ChunkRows(np.asarray(rows.fill_null(-1), dtype=np.int64))

    def category_of(self, row: ChunkRow) -> str:
        """Return the name of the category of a chunk."""
        return self.categories[self.category[row]]

    def rank(self) -> np.ndarray:
        """Return the rank of each chunk by id, int64: an order that does not depend on the order of the rows."""
        rank = np.empty(len(self), dtype=np.int64)
        rank[np.asarray(pc.sort_indices(self.chunk_id))] = np.arange(len(self))
        return rank


def read_columns(table: ChunkTable) -> CorpusColumns:
    """Read the columns of a corpus; strings are replaced with numbers."""
    category = [np.empty(0, np.int32)]
    hashes = {name: [np.empty(0, np.uint64)] for name in ("file", "section", "header_path", "title")}
    numbers: dict[str, int] = {}  # of categories, in the order in which they first appear
    for ids, categories, files, paths, titles in table.batches(
        "chunk_id", "category", "filename", "header_path", "title"
    ):
        category.append(np.array([numbers.setdefault(name, len(numbers)) for name in categories], dtype=np.int32))
        hashes["file"].append(_hashes(f"{name}\0{file}" for name, file in zip(categories, files, strict=True)))
        hashes["section"].append(_hashes("\0".join([file, *path]) for file, path in zip(files, paths, strict=True)))
        hashes["header_path"].append(_hashes("\0".join(path) for path in paths))
        hashes["title"].append(_hashes(normalized(title) or own for title, own in zip(titles, ids, strict=True)))
    names = sorted(numbers)
    index = np.array([names.index(name) for name in numbers], dtype=np.int32)
    columns = {name: np.unique(np.concatenate(parts), return_inverse=True)[1] for name, parts in hashes.items()}
    return CorpusColumns(table.column("chunk_id"), names, index[np.concatenate(category)], **columns)


def _hashes(keys: Iterator[str]) -> np.ndarray:
    """Return a 64-bit hash of each text, equal on every machine. A million texts collide with probability 10^-7."""
    return hash_array(np.array(list(keys), dtype=object), categorize=False)

"""What differs between the rows of an index and those that a database has."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import pyarrow as pa

from triptych.publishing.index_rows import Rows


@dataclass(frozen=True, slots=True)
class Changes:
    """The rows of one table to write and to delete."""

    rows: Rows
    written: list[int]  # positions of the rows that are new or changed
    gone: list[str]  # ids that the index no longer has

    @classmethod
    def between(cls, rows: Rows, known: Mapping[str, str]) -> Self:
        """Compare with the digests that a database has, by id."""
        pairs = enumerate(zip(rows.ids, rows.digests, strict=True))
        written = [position for position, (one, digest) in pairs if known.get(one) != digest]
        return cls(rows, written, sorted(known.keys() - set(rows.ids)))

    def __bool__(self) -> bool:
        return bool(self.written or self.gone)

    def batches(self, size: int) -> Iterator[pa.Table]:
        """Yield the rows to write, in tables of at most ``size`` rows."""
        return self.rows.batches(self.written, size)


def parts(ids: list[str], size: int) -> Iterator[list[str]]:
    """Yield ids in lists of at most ``size``."""
    for start in range(0, len(ids), size):
        yield ids[start : start + size]

"""Documents of limited size: where joins would connect too many chunks, the weakest of them are cut."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from triptych.corpus.chunk_table import CorpusColumns
from triptych.corpus.duplicates.near_duplicates import renumber
from triptych.corpus.queries.labeled_query import LabeledQuery
from triptych.corpus.splits.by_document import group_documents, rows_of_answers
from triptych.ids import ChunkRow

_MOST = 0.1  # share of the chunks that joins may connect: half of it is at most five points of a split
_MOST_FILE = 0.3  # a file with a larger share of the chunks is divided into its sections


@dataclass(slots=True)
class Cuts:
    """The joins that were cut, and the share of the chunks that the largest document would contain without cuts."""

    largest: float = 0.0
    files: int = 0  # divided into sections
    near_duplicates: list[tuple[int, ChunkRow]] = field(
        default_factory=list
    )  # (documents it would join, row of a member)
    queries: int = 0  # with answers in several documents
    titles: list[tuple[int, ChunkRow]] = field(
        default_factory=list
    )  # (documents it would join, row of a chunk with it)

    def __bool__(self) -> bool:
        return bool(self.files or self.near_duplicates or self.queries or self.titles)


def bounded_documents(
    columns: CorpusColumns, clusters: np.ndarray, queries: list[LabeledQuery], titles: np.ndarray | None
) -> tuple[np.ndarray, Cuts]:
    """Return the document of each chunk as `group_documents` does, but cut where one would be too large.

    In a document that is too large, joins are made again from the strongest to the weakest: near-duplicates, answers of
    one query, equal titles; of one kind those that join the fewest files first. A join that would exceed the limit
    is cut. Near-duplicates stay together even then: they leave their files and are a document of their own.
    """
    ids = group_documents(columns, clusters, queries, titles)
    sizes = np.bincount(ids)
    cuts = Cuts(largest=float(sizes.max() / len(columns)))
    large = sizes[ids] > _MOST * len(columns)
    if not large.any():
        return ids, cuts
    file_sizes = np.bincount(columns.file)
    divided = large & (file_sizes[columns.file] > _MOST_FILE * len(columns))
    cuts.files = len(np.unique(columns.file[divided]))
    parts = renumber(np.where(divided, columns.file.max() + 1 + columns.section, columns.file))
    merger = _Merger(parts, int(_MOST * len(columns)), len(columns))
    rank = columns.rank()
    for rows in _several(clusters, np.flatnonzero(large), parts, rank):
        number = merger.join(rows)
        if number:
            cuts.near_duplicates.append((number, ChunkRow(int(rows[0]))))
            merger.take_out(rows)
    answers = [rows for rows in rows_of_answers(queries, columns) if len(rows) > 1 and large[rows[0]]]
    for rows in sorted(answers, key=lambda rows: (len(rows), rank[rows].tolist())):
        cuts.queries += bool(merger.join(rows))
    if titles is not None:
        for rows in _several(titles, np.flatnonzero(large), merger.part, rank):
            if number := merger.join(rows):
                cuts.titles.append((number, ChunkRow(int(rows[0]))))
    ids = renumber(np.where(large, len(sizes) + merger.documents(), ids))
    return ids, cuts


class _Merger:
    """Parts of a corpus that are joined to documents of a limited number of chunks."""

    def __init__(self, parts: np.ndarray, most: int, chunks: int) -> None:
        number = int(parts.max()) + 1
        self.part = parts.astype(np.int64)
        self._most = most
        self._parents = list(range(number))
        self._sizes = np.bincount(parts, minlength=number).tolist()

    def join(self, rows: np.ndarray) -> int:
        """Join the documents of some chunks; if the result is too large, return their number and leave them."""
        roots = sorted({self._root(part) for part in self.part[rows].tolist()})
        size = sum(self._sizes[root] for root in roots)
        if len(roots) > 1 and size > self._most:
            return len(roots)
        for root in roots[1:]:
            self._parents[root] = roots[0]
        self._sizes[roots[0]] = size
        return 0

    def take_out(self, rows: np.ndarray) -> None:
        """Make some chunks a document of their own."""
        for part in self.part[rows].tolist():
            self._sizes[self._root(part)] -= 1
        self.part[rows] = len(self._parents)
        self._parents.append(len(self._parents))
        self._sizes.append(len(rows))

    def documents(self) -> np.ndarray:
        """Return the document of each chunk: int64 of shape (chunks,)."""
        roots = np.array([self._root(part) for part in range(len(self._parents))], dtype=np.int64)
        return roots[self.part]

    def _root(self, part: int) -> int:
        while self._parents[part] != part:
            self._parents[part] = self._parents[self._parents[part]]
            part = self._parents[part]
        return part


def _several(groups: np.ndarray, rows: np.ndarray, parts: np.ndarray, rank: np.ndarray) -> Iterable[np.ndarray]:
    """Return the rows of each group with members in several parts: those in few parts first, then by smallest id."""
    order = rows[np.lexsort((rank[rows], groups[rows]))]
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    members = np.split(order, starts[1:])
    several = [(len(np.unique(parts[one])), one) for one in members if len(one) > 1]
    return [one for number, one in sorted(several, key=lambda item: (item[0], rank[item[1][0]])) if number > 1]

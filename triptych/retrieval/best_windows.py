"""Which window of a passage answers a query: the one whose vector is closest to that of the query."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from triptych.ids import Vectors

_BLOCK = 65_536  # pairs of query and window compared at once


@dataclass(frozen=True, slots=True)
class WindowVectors:
    """The vectors of passages, at least one for each: those of its windows."""

    vectors: Vectors  # float32, shape (windows, dimensions)
    starts: (
        np.ndarray
    )  # int64, shape (passages + 1,): the windows of passage ``i`` are ``starts[i]`` to ``starts[i + 1]``

    @classmethod
    def of(cls, vectors: Vectors, passage_of_window: np.ndarray, passages: int) -> Self:
        """Group vectors by passage; ``passage_of_window`` is ascending, with a window of each passage."""
        return cls(vectors, np.cumsum([0, *np.bincount(passage_of_window, minlength=passages)], dtype=np.int64))

    @classmethod
    def one_each(cls, vectors: Vectors) -> Self:
        """Return vectors of passages that have one window each."""
        return cls(vectors, np.arange(len(vectors) + 1))

    @property
    def passage_of_window(self) -> np.ndarray:
        """The row of each window's passage, int64 of shape (windows,), ascending."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def __len__(self) -> int:
        """Return the number of passages."""
        return len(self.starts) - 1

    def best(self, query_vectors: Vectors, queries: np.ndarray, passages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the best window for each pair of a row of ``query_vectors`` and the row of a passage.

        The result is the row of its vector, int64 of shape (pairs,), the first of equals, and its cosine similarity,
        float32 of the same shape.

        >>> windows = WindowVectors.of(np.eye(3, dtype=np.float32), np.array([0, 0, 1]), 2)
        >>> [one.tolist() for one in windows.best(np.eye(3, dtype=np.float32), np.array([1, 1]), np.array([0, 1]))]
        [[1, 2], [1.0, 0.0]]
        """
        counts = np.diff(self.starts)[passages]
        ends = np.cumsum(counts)
        best, scores = np.empty(len(passages), np.int64), np.empty(len(passages), np.float32)
        for pairs in np.split(np.arange(len(passages)), np.flatnonzero(np.diff(ends // _BLOCK)) + 1):
            if not len(pairs):
                continue
            number = counts[pairs]
            first = np.cumsum(number) - number
            pair = np.repeat(np.arange(len(pairs)), number)
            windows = self.starts[passages[pairs]][pair] + np.arange(len(pair)) - first[pair]
            cosines = np.einsum("ij,ij->i", query_vectors[queries[pairs][pair]], self.vectors[windows])
            scores[pairs] = np.maximum.reduceat(cosines, first)
            equal = np.flatnonzero(cosines == scores[pairs][pair])
            best[pairs] = windows[equal[np.unique(pair[equal], return_index=True)[1]]]
        return best, scores

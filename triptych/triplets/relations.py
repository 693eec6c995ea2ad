"""The one filter against false negatives: for pools, for mined candidates, and inside a batch."""

from collections.abc import Hashable, Iterable

import numpy as np

from triptych.corpus.records import Chunk, Link
from triptych.corpus.texts import normalized


class Relations:
    """Knows which chunks may never be each other's negatives.

    Related are chunks of one near-duplicate cluster, of one document section, with equal titles, and, if
    ``exclude_linked``, chunks of which one links to the other. Chunks are named by their row in the corpus.
    """

    def __init__(self, chunks: list[Chunk], links: list[Link], exclude_linked: bool = True) -> None:
        row = {chunk.chunk_id: index for index, chunk in enumerate(chunks)}
        self._codes = (
            np.array([chunk.cluster_id for chunk in chunks], dtype=np.int32),
            _codes((chunk.filename, chunk.header_path) for chunk in chunks),
            _codes(normalized(chunk.title) or chunk.chunk_id for chunk in chunks),
        )
        pairs = np.array(
            [(row[link.from_chunk_id], row[link.to_chunk_id]) for link in links if exclude_linked], dtype=np.int64
        ).reshape(-1, 2)
        self._size = len(chunks)
        self._linked = np.unique(
            np.concatenate([self._keys(pairs[:, 0], pairs[:, 1]), self._keys(pairs[:, 1], pairs[:, 0])])
        )

    def related(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return, with NumPy's broadcasting, whether the chunks in rows ``left`` and ``right`` are related.

        ``left`` and ``right`` are integer arrays of chunk rows; the result is bool of their broadcast shape.
        """
        related = left == right
        for codes in self._codes:
            related = related | (codes[left] == codes[right])
        return related | np.isin(self._keys(left, right), self._linked)

    def _keys(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.asarray(left, dtype=np.int64) * self._size + right


def _codes(values: Iterable[Hashable]) -> np.ndarray:
    """Return distinct values numbered in order of appearance; int32."""
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(value, len(seen)) for value in values], dtype=np.int32)

"""The one filter against false negatives: for pools, for mined candidates, and inside a batch."""

from collections.abc import Hashable, Iterable

import numpy as np

from triptych.corpus.records import Chunk, Link
from triptych.corpus.sectioning import PART
from triptych.corpus.texts import normalized


class Relations:
    """Knows which chunks may never be each other's negatives.

    Related are chunks of one near-duplicate cluster, of one document section, with equal titles, and, if
    ``exclude_linked``, chunks of which one links to the other. Chunks are named by their row in the corpus.
    """

    def __init__(self, chunks: list[Chunk], links: list[Link], exclude_linked: bool = True) -> None:
        row = {chunk.chunk_id: index for index, chunk in enumerate(chunks)}
        self._groups = (
            np.array([chunk.cluster_id for chunk in chunks], dtype=np.int32),
            codes(_section(chunk) for chunk in chunks),
            codes(normalized(chunk.title) or chunk.chunk_id for chunk in chunks),
        )
        pairs = np.array(
            [(row[link.from_chunk_id], row[link.to_chunk_id]) for link in links if exclude_linked], dtype=np.int64
        ).reshape(-1, 2)
        self._size = len(chunks)
        keys = np.concatenate([self._keys(pairs[:, 0], pairs[:, 1]), self._keys(pairs[:, 1], pairs[:, 0])])
        self._linked = np.append(np.unique(keys), np.iinfo(np.int64).max)  # a last one that no key reaches

    def related(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return, with NumPy's broadcasting, whether the chunks in rows ``left`` and ``right`` are related.

        ``left`` and ``right`` are integer arrays of chunk rows; the result is bool of their broadcast shape.
        """
        related = left == right
        for group in self._groups:
            related = related | (group[left] == group[right])
        keys = self._keys(left, right)
        return related | (self._linked[np.searchsorted(self._linked, keys)] == keys)

    def _keys(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.asarray(left, dtype=np.int64) * self._size + right


def _section(chunk: Chunk) -> Hashable:
    """Return what stands for a chunk's section; without headings a record is one, lest a whole file be."""
    return (chunk.filename, chunk.header_path) if chunk.header_path else chunk.chunk_id.split(PART)[0]


def codes(values: Iterable[Hashable]) -> np.ndarray:
    """Return distinct values numbered in order of appearance; int32."""
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(value, len(seen)) for value in values], dtype=np.int32)

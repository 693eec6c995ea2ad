"""Search chunks by their windows: a chunk's score is that of its best window."""

from collections.abc import Callable

import numpy as np

from triptych.ids import Vectors

# Search of windows: query vectors, depth, and rows to search among (None: all) → rows and scores, best first.
WindowSearch = Callable[[np.ndarray, int, np.ndarray | None], tuple[np.ndarray, np.ndarray]]


class ChunkSearch:
    """Turns a search of windows into one of chunks, which loses no hit where one chunk has many of the best windows."""

    def __init__(self, search: WindowSearch, chunk_of_window: np.ndarray) -> None:
        """``chunk_of_window`` is an ascending int array of shape (windows,), with a window of every chunk."""
        self._search, self._chunk_of_window = search, np.asarray(chunk_of_window)
        self._chunks = int(self._chunk_of_window[-1]) + 1 if len(self._chunk_of_window) else 0
        self._one_each = self._chunks == len(self._chunk_of_window)

    def search(
        self, query_vectors: Vectors | np.ndarray, depth: int, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the best chunks of each query: rows (int64) and the cosine similarity of the best window (float32).

        ``among`` restricts the search to some rows of chunks. Both outputs have shape (queries, min(depth, chunks)),
        best first, ties by row. Where an approximate search finds fewer, the rest are row -1 and score -inf.
        """
        if self._one_each:
            return self._search(np.asarray(query_vectors), depth, among)
        depth = min(depth, self._chunks if among is None else len(among))
        windows = None if among is None else np.flatnonzero(np.isin(self._chunk_of_window, among))
        most = len(self._chunk_of_window) if windows is None else len(windows)
        asked = 2 * depth
        while True:
            rows, scores = self._search(np.asarray(query_vectors), min(asked, most), windows)
            chunks = np.where(rows < 0, -1, self._chunk_of_window[rows])
            best = [self._best(*hits, depth) for hits in zip(chunks, scores, strict=True)]
            if asked >= most or all(len(hits) == depth for hits, _ in best):
                break
            asked *= 2
        found = np.full((len(best), depth), -1, np.int64)
        values = np.full((len(best), depth), -np.inf, np.float32)
        for query, (hits, hit_scores) in enumerate(best):
            found[query, : len(hits)], values[query, : len(hits)] = hits, hit_scores
        return found, values

    def best_windows(self, query_vector: np.ndarray, chunks: np.ndarray) -> np.ndarray:
        """Return the row of the window of each of these distinct chunks that is closest to a query, int64 (chunks,)."""
        among = np.flatnonzero(np.isin(self._chunk_of_window, chunks))
        rows, _ = self._search(np.asarray(query_vector)[None], len(among), among)
        distinct, first = np.unique(self._chunk_of_window[rows[0]], return_index=True)
        return np.asarray(rows[0][first[np.searchsorted(distinct, chunks)]])

    @staticmethod
    def _best(chunks: np.ndarray, scores: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
        """Return each chunk once, at its first and best window, equal scores by row."""
        distinct, first = np.unique(chunks, return_index=True)
        first = first[distinct >= 0]
        order = np.lexsort((chunks[first], -scores[first]))[:depth]
        return chunks[first][order], scores[first][order]

"""Search chunks by their windows and the questions written for them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from triptych.ids import Vectors
from triptych.retrieval.question_scores import combined_scores

# Search of vectors: query vectors, depth, and rows to search among (None: all) → rows and scores, best first.
VectorSearch = Callable[[np.ndarray, int, np.ndarray | None], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, slots=True)
class IndexedQuestions:
    """The questions whose vectors follow those of the windows in an index."""

    chunk: np.ndarray  # int, shape (questions,): row of the chunk of each, ascending
    vectors: Callable[[np.ndarray], np.ndarray]  # of some rows of the index, windows or questions: float32


class ChunkSearch:
    """Turns a search of windows into one of chunks, which loses no hit where one chunk has many of the best windows.

    A chunk's score is that of its best window. Where an index has questions too, it is what `combined_scores` makes of
    its best window and its best question.
    """

    def __init__(
        self, search: VectorSearch, chunk_of_window: np.ndarray, questions: IndexedQuestions | None = None
    ) -> None:
        """``chunk_of_window`` is an ascending int array of shape (windows,), with a window of every chunk."""
        self._search, self._chunk_of_window = search, np.asarray(chunk_of_window)
        self._chunks = int(self._chunk_of_window[-1]) + 1 if len(self._chunk_of_window) else 0
        self._one_each = self._chunks == len(self._chunk_of_window)
        self._questions = questions if questions is not None and len(questions.chunk) else None
        asked = [self._questions.chunk] if self._questions is not None else []
        self._chunk_of_row = np.concatenate([self._chunk_of_window, *asked])

    @property
    def has_questions(self) -> bool:
        """Whether questions are searched too."""
        return self._questions is not None

    def search(
        self, query_vectors: Vectors | np.ndarray, depth: int, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the best chunks of each query: rows (int64) and scores (float32), of windows cosine similarities.

        ``among`` restricts the search to some rows of chunks. Both outputs have shape (queries, min(depth, chunks)),
        best first, ties by row. Where an approximate search finds fewer, the rest are row -1 and score -inf.
        """
        queries = np.asarray(query_vectors)
        if self._questions is not None:
            return self._search_with_questions(self._questions, queries, depth, among)
        if self._one_each:
            return self._search(queries, depth, among)
        depth = min(depth, self._chunks if among is None else len(among))
        windows = None if among is None else np.flatnonzero(np.isin(self._chunk_of_window, among))
        most = len(self._chunk_of_window) if windows is None else len(windows)
        asked = 2 * depth
        while True:
            rows, scores = self._search(queries, min(asked, most), windows)
            chunks = np.where(rows < 0, -1, self._chunk_of_window[rows])
            best = [self._best(*hits, depth) for hits in zip(chunks, scores, strict=True)]
            if asked >= most or all(len(hits) == depth for hits, _ in best):
                break
            asked *= 2
        return _padded(best, depth)

    def best_question(self, query_vector: np.ndarray, chunk: int) -> int | None:
        """Return the position of the chunk's question that is nearest to a query; None where a window is nearer."""
        if self._questions is None:
            return None
        windows, _ = _rows_of(np.array([chunk]), self._chunk_of_window)
        asked, _ = _rows_of(np.array([chunk]), self._questions.chunk)
        nearest = int(self._similarities(self._questions, query_vector, windows, asked).argmax()) - len(windows)
        return int(asked[nearest]) if nearest >= 0 else None

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

    def _search_with_questions(
        self, questions: IndexedQuestions, queries: np.ndarray, depth: int, among: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Search windows and questions together, and score the chunks that they belong to.

        A chunk that is not yet among them scores at most as much as the last vector found, so once the last of the best
        chunks scores more, no other one can be among them.
        """
        depth = min(depth, self._chunks if among is None else len(among))
        chunk_of_row = self._chunk_of_row
        rows_among = None if among is None else np.flatnonzero(np.isin(chunk_of_row, among))
        most = len(chunk_of_row) if rows_among is None else len(rows_among)
        best: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        asked, pending = 4 * depth, np.arange(len(queries))
        while len(pending):
            rows, scores = self._search(queries[pending], min(asked, most), rows_among)
            for query, hits, lowest in zip(pending.tolist(), rows, scores[:, -1:], strict=True):
                chunks = np.unique(chunk_of_row[hits[hits >= 0]])
                chunk_scores = self._scores(questions, queries[query], chunks)
                order = np.lexsort((chunks, -chunk_scores))[:depth]
                if asked >= most or (len(order) == depth and chunk_scores[order[-1]] > lowest):
                    best[query] = chunks[order], chunk_scores[order]
            pending = np.array([query for query in pending.tolist() if query not in best], np.int64)
            asked *= 2
        return _padded([best[query] for query in range(len(queries))], depth)

    def _scores(self, questions: IndexedQuestions, query: np.ndarray, chunks: np.ndarray) -> np.ndarray:
        """Return the scores of chunks, from all their vectors."""
        windows, window_counts = _rows_of(chunks, self._chunk_of_window)
        asked, question_counts = _rows_of(chunks, questions.chunk)
        similarities = self._similarities(questions, query, windows, asked)
        return combined_scores(
            _largest(similarities[: len(windows)], window_counts),
            _largest(similarities[len(windows) :], question_counts),
            question_counts > 0,
        )

    def _similarities(
        self, questions: IndexedQuestions, query: np.ndarray, windows: np.ndarray, asked: np.ndarray
    ) -> np.ndarray:
        """Return the cosine similarities of some windows, then of some questions."""
        return questions.vectors(np.concatenate([windows, len(self._chunk_of_window) + asked])) @ query


def _rows_of(chunks: np.ndarray, chunk_of_row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of some chunks, chunk by chunk, and the number of each; ``chunk_of_row`` is ascending."""
    starts, ends = (np.searchsorted(chunk_of_row, chunks, side=side) for side in ("left", "right"))
    counts = ends - starts
    first = np.cumsum(counts) - counts
    return np.repeat(starts - first, counts) + np.arange(counts.sum()), counts


def _largest(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the largest of the values of each group, given the number of each; -1 for a group without any."""
    largest = np.full(len(counts), -1.0, np.float32)
    some = counts > 0
    if some.any():
        largest[some] = np.maximum.reduceat(values, (np.cumsum(counts) - counts)[some])
    return largest


def _padded(best: list[tuple[np.ndarray, np.ndarray]], depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and scores of shape (queries, depth); where there are fewer, the rest are row -1 and score -inf."""
    rows = np.full((len(best), depth), -1, np.int64)
    scores = np.full((len(best), depth), -np.inf, np.float32)
    for query, (hits, hit_scores) in enumerate(best):
        rows[query, : len(hits)], scores[query, : len(hits)] = hits, hit_scores
    return rows, scores

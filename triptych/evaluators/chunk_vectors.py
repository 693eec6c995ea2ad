"""A model's vectors of the chunks and of the queries, and the search among them."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from triptych.ids import Vectors
from triptych.retrieval.dense import DenseIndex
from triptych.retrieval.windows import ChunkSearch, IndexedQuestions


@dataclass(frozen=True, slots=True)
class ChunkVectors:
    """Vectors of the windows of all chunks, of the questions written for them, and of the queries."""

    windows: Vectors
    chunk_of_window: np.ndarray  # int64, ascending
    questions: Vectors
    chunk_of_question: np.ndarray  # int64, ascending
    queries: Vectors

    def beginnings(self) -> Self:
        """Keep the first window of each chunk only."""
        first = np.flatnonzero(np.diff(self.chunk_of_window, prepend=-1))
        return replace(self, windows=Vectors(self.windows[first]), chunk_of_window=np.arange(len(first)))

    def without_questions(self) -> Self:
        """Leave out the questions."""
        return replace(self, questions=Vectors(self.questions[:0]), chunk_of_question=self.chunk_of_question[:0])

    def search(self, depth: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the best chunks of each query, exactly; see `ChunkSearch.search`."""
        some = len(self.questions) > 0
        index = DenseIndex(np.concatenate([self.windows, self.questions]) if some else self.windows, 1 << 62)
        questions = IndexedQuestions(self.chunk_of_question, index.vectors)
        chunks = ChunkSearch(lambda asked, number, _: index.search(asked, number), self.chunk_of_window, questions)
        return chunks.search(self.queries, depth)

"""The written questions of a corpus, by the chunks that answer them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from triptych.corpus.records import Chunk
from triptych.corpus.written_questions import WrittenQuestion, read_questions


@dataclass(frozen=True, slots=True)
class ChunkQuestions:
    """Questions in the order of the chunks that answer them; a chunk may have any number of them."""

    chunk: np.ndarray  # int64, shape (questions,): row of the chunk of each, ascending
    texts: list[str]
    unknown: int = 0  # questions left out because the corpus does not have their chunk

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def of(cls, questions: Iterable[WrittenQuestion], chunk_ids: Sequence[str]) -> Self:
        """Sort questions by the rows of their chunks; leave out those about chunks that are not in ``chunk_ids``.

        >>> one, other = WrittenQuestion("b", "how?", ""), WrittenQuestion("gone", "why?", "")
        >>> ChunkQuestions.of([one, other], ["a", "b"])
        ChunkQuestions(chunk=array([1]), texts=['how?'], unknown=1)
        """
        questions, row_of = list(questions), {chunk_id: row for row, chunk_id in enumerate(chunk_ids)}
        known = [(row_of[one.chunk_id], one.text) for one in questions if one.chunk_id in row_of]
        known.sort(key=lambda one: one[0])
        return cls(
            np.array([row for row, _ in known], np.int64), [text for _, text in known], len(questions) - len(known)
        )

    @classmethod
    def none(cls) -> Self:
        """Return no questions."""
        return cls(np.empty(0, np.int64), [])

    @classmethod
    def read(cls, folder: Path, chunk_ids: Sequence[str]) -> Self:
        """Read what stage ``ask`` wrote, as `of` sorts it."""
        return cls.of(read_questions(folder / "questions.jsonl"), chunk_ids)

    def added_to(self, passages: Sequence[str]) -> list[str]:
        """Return the passages of all chunks, each followed by its questions, one a line: what BM25 searches."""
        texts = list(passages)
        for row, question in zip(self.chunk.tolist(), self.texts, strict=True):
            texts[row] += f"\n{question}"
        return texts

    def coverage(self, chunks: Sequence[Chunk]) -> float:
        """Return the share of the chunks that have questions, in the category where it is lowest; 0 without questions.

        Of near-duplicates one is asked about: a chunk is covered where a chunk of its cluster is.
        """
        rows = set(self.chunk.tolist())
        clusters = {chunks[row].cluster_id for row in rows} - {-1}
        covered: dict[str, list[bool]] = {}
        for row, chunk in enumerate(chunks):
            covered.setdefault(chunk.category, []).append(row in rows or chunk.cluster_id in clusters)
        return min((sum(of_category) / len(of_category) for of_category in covered.values()), default=0.0)

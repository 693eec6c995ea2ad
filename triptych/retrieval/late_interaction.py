"""Late interaction: a passage scored token by token, by vectors that the embedder has made before it pools them.

The score is MaxSim: for each token of the question the cosine similarity of the closest token of the passage, and their
mean (Khattab & Zaharia 2020, "ColBERT", SIGIR; theirs is the sum, which orders the passages of a question alike). It
orders the best hits of a first stage anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from triptych.corpus.records import Run, best
from triptych.retrieval.quantization import LEVELS

_CODES, _OFFSETS = "tokens.i8", "token_offsets.npy"


@dataclass(frozen=True, slots=True)
class TokenVectors:
    """The token vectors of passages as directions in eight bits: a code has no scale, since only its angle counts."""

    codes: np.ndarray  # int8, shape (tokens, dimensions)
    offsets: np.ndarray  # int64, shape (passages + 1,): where the tokens of each passage begin; each has one at least

    @classmethod
    def of(cls, passages: Sequence[np.ndarray]) -> Self:
        """Join the codes of passages, at least one, int8 of shape (tokens, dimensions) each."""
        return cls(np.concatenate(passages), np.cumsum([0, *map(len, passages)], dtype=np.int64))

    @classmethod
    def join(cls, blocks: Sequence[Self]) -> Self:
        """Put blocks of passages, at least one, one behind the other."""
        lengths = np.concatenate([np.diff(block.offsets) for block in blocks])
        codes = np.concatenate([block.codes for block in blocks]) if len(blocks) > 1 else blocks[0].codes
        return cls(codes, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open what `save_tokens` wrote, memory-mapped."""
        offsets = np.load(folder / _OFFSETS)
        return cls(np.memmap(folder / _CODES, np.int8, "r").reshape(int(offsets[-1]), -1), offsets)

    def each(self) -> list[np.ndarray]:
        """Return the codes of each passage; views, not copies."""
        return np.split(self.codes, self.offsets[1:-1])

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def vectors(self, rows: Sequence[int]) -> np.ndarray:
        """Return the token vectors of some passages one after another; float32 of length 1."""
        codes = np.concatenate([self.codes[self.offsets[row] : self.offsets[row + 1]] for row in rows])
        vectors = codes.astype(np.float32)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1)

    def max_sim(self, question: np.ndarray, rows: Sequence[int]) -> np.ndarray:
        """Return the score of some passages, at least one, in [-1, 1]; float32 of shape (rows,).

        ``question`` are the token vectors of a question, float32 of shape (tokens, dimensions), rows of length 1.
        """
        starts = np.cumsum([0, *(self.offsets[row + 1] - self.offsets[row] for row in rows)])[:-1]
        return np.maximum.reduceat(question @ self.vectors(rows).T, starts, axis=1).mean(axis=0)


def late_scores(
    first: Run, questions: Mapping[str, np.ndarray], tokens: TokenVectors, row_of: Mapping[str, int], depth: int
) -> Run:
    """Score the best ``depth`` hits of each query by late interaction.

    ``questions`` are the token vectors of each query, ``row_of`` the row of each chunk in ``tokens``.
    """
    found: Run = {}
    for query, hits in first.items():
        top = list(best(hits, depth))
        scores = tokens.max_sim(questions[query], [row_of[one] for one in top]) if top else np.empty(0)
        found[query] = dict(zip(top, scores.tolist(), strict=True))
    return found


def save_tokens(folder: Path, blocks: Iterable[TokenVectors]) -> int:
    """Write token vectors block after block into an existing folder; return how many bytes."""
    lengths = []
    with (folder / _CODES).open("wb") as file:
        for block in blocks:
            file.write(block.codes.tobytes())
            lengths.append(np.diff(block.offsets))
    np.save(folder / _OFFSETS, np.cumsum(np.concatenate([[0], *lengths]), dtype=np.int64))
    return sum((folder / name).stat().st_size for name in (_CODES, _OFFSETS))


def coded(vectors: np.ndarray) -> np.ndarray:
    """Round token vectors, float32 of shape (tokens, dimensions), so that the largest number of each becomes 127."""
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    return np.rint(vectors * (LEVELS / np.where(largest > 0, largest, 1))).astype(np.int8)

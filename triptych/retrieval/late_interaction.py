"""Late interaction: rerank the best hits of a first stage with the embedder's token vectors from before pooling.

The score is MaxSim: for each token of the query the cosine similarity of the closest token of the passage, averaged
over the query (Khattab & Zaharia 2020, "ColBERT", SIGIR, use the sum, which ranks the passages of a query alike). A
long passage is compared by the tokens of all its windows.
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
    """The token vectors of passages in int8, without scales: cosine similarity needs only the directions."""

    codes: np.ndarray  # int8, shape (tokens, dimensions)
    offsets: np.ndarray  # int64, shape (passages + 1,): start of each passage's tokens; each has at least one

    @classmethod
    def of(cls, passages: Sequence[np.ndarray]) -> Self:
        """Concatenate the codes of at least one passage, int8 of shape (tokens, dimensions) each."""
        return cls(np.concatenate(passages), np.cumsum([0, *map(len, passages)], dtype=np.int64))

    @classmethod
    def join(cls, blocks: Sequence[Self]) -> Self:
        """Concatenate at least one block of passages."""
        lengths = np.concatenate([np.diff(block.offsets) for block in blocks])
        codes = np.concatenate([block.codes for block in blocks]) if len(blocks) > 1 else blocks[0].codes
        return cls(codes, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    def merged(self, starts: np.ndarray) -> Self:
        """Join passages that follow each other, such as windows of one chunk: one begins at each of ``starts``.

        The last of ``starts``, int of shape (joined passages + 1,), is the number of passages here.
        """
        return type(self)(self.codes, self.offsets[starts])

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
        """Return the concatenated token vectors of some passages; float32 with rows of length 1."""
        codes = np.concatenate([self.codes[self.offsets[row] : self.offsets[row + 1]] for row in rows])
        vectors = codes.astype(np.float32)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1)

    def max_sim(self, query_vectors: np.ndarray, rows: Sequence[int]) -> np.ndarray:
        """Return the scores of at least one passage, in [-1, 1]; float32 of shape (rows,).

        ``query_vectors`` are the token vectors of a query, float32 of shape (tokens, dimensions), rows of length 1.

        >>> passages = [np.array([[127, 0], [0, 127]], np.int8), np.array([[127, 0]], np.int8)]
        >>> TokenVectors.of(passages).max_sim(np.eye(2, dtype=np.float32), [0, 1]).tolist()
        [1.0, 0.5]
        """
        starts = np.cumsum([0, *(self.offsets[row + 1] - self.offsets[row] for row in rows)])[:-1]
        return np.maximum.reduceat(query_vectors @ self.vectors(rows).T, starts, axis=1).mean(axis=0)


def late_scores(
    first: Run, query_vectors: Mapping[str, np.ndarray], tokens: TokenVectors, row_of: Mapping[str, int], depth: int
) -> Run:
    """Score the best ``depth`` hits of each query by late interaction.

    ``query_vectors`` are the token vectors of each query, ``row_of`` the row of each chunk in ``tokens``.
    """
    run: Run = {}
    for query_id, hits in first.items():
        top = list(best(hits, depth))
        rows = [row_of[chunk_id] for chunk_id in top]
        scores = tokens.max_sim(query_vectors[query_id], rows) if top else np.empty(0)
        run[query_id] = dict(zip(top, scores.tolist(), strict=True))
    return run


def save_tokens(folder: Path, blocks: Iterable[TokenVectors]) -> int:
    """Write token vectors block by block into an existing folder; return the number of bytes."""
    lengths = []
    with (folder / _CODES).open("wb") as file:
        for block in blocks:
            file.write(block.codes.tobytes())
            lengths.append(np.diff(block.offsets))
    np.save(folder / _OFFSETS, np.cumsum(np.concatenate([[0], *lengths]), dtype=np.int64))
    return sum((folder / name).stat().st_size for name in (_CODES, _OFFSETS))


def coded(vectors: np.ndarray) -> np.ndarray:
    """Quantize token vectors, float32 of shape (tokens, dimensions), so that the largest value of each becomes 127."""
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    return np.rint(vectors * (LEVELS / np.where(largest > 0, largest, 1))).astype(np.int8)

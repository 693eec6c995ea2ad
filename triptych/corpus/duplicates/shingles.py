"""Texts as sets of hashed word n-grams (shingles), and the Jaccard similarity of many pairs at a time."""

from dataclasses import dataclass

import numpy as np
from pandas.util import hash_array
from scipy.sparse import csr_array

from triptych.corpus.texts import words as text_words

_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd: multiplication by it modulo 2^64 is invertible
_PAIRS = 16_384  # pairs compared at a time


@dataclass(frozen=True, slots=True)
class ShingleSets:
    """Set ``i`` is ``hashes[offsets[i]:offsets[i + 1]]``, ascending and without repeats."""

    hashes: np.ndarray  # int64 of 63 bits, shape (members of all sets,)
    offsets: np.ndarray  # int64, shape (sets + 1,)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def sizes(self) -> np.ndarray:
        """Return the number of members of each set: int64."""
        return np.diff(self.offsets)

    def jaccard(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the Jaccard similarity of pairs of sets, given by index: float64 of shape (pairs,)."""
        shared = [
            np.diff(self._table(left[start:][:_PAIRS]).multiply(self._table(right[start:][:_PAIRS])).indptr)
            for start in range(0, len(left), _PAIRS)
        ]
        common = np.concatenate([np.empty(0, np.int64), *shared])
        sizes = self.sizes()
        return common / (sizes[left] + sizes[right] - common)

    def _table(self, rows: np.ndarray) -> csr_array:
        """Return some sets as a sparse matrix of ones with a column for each possible hash."""
        sizes = self.offsets[rows + 1] - self.offsets[rows]
        offsets = np.concatenate([[0], sizes.cumsum()])
        members = self.hashes[np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], sizes)]
        return csr_array((np.ones(len(members), np.int8), members, offsets), shape=(len(rows), 2**63 - 1))


def shingle_sets(texts: list[str], words: int) -> ShingleSets:
    """Return the set of case-folded n-grams of ``words`` words of each text; a shorter text is one shingle.

    Members are 63-bit hashes. The shingles of two texts collide in one of 10^13 pairs of texts.

    >>> sets = shingle_sets(["Sort a long list", "sort a long table"], words=2)
    >>> sets.sizes().tolist()
    [3, 3]
    >>> sets.jaccard(np.array([0]), np.array([1])).tolist()  # 2 shingles shared of 4
    [0.5]
    """
    # No word is empty, so a short text padded with empty words differs from every longer one.
    tokens = [_padded(text_words(text.casefold()), words) for text in texts]
    length = np.array([len(row) for row in tokens], dtype=np.int64)
    hashed = hash_array(np.array([word for row in tokens for word in row], dtype=object), categorize=False)
    grams = np.zeros(max(0, len(hashed) - words + 1), dtype=np.uint64)
    for offset in range(words):
        grams = grams * _MIX + hashed[offset : offset + len(grams)]
    rows = np.repeat(np.arange(len(texts)), length)[: len(grams)]
    ends = np.repeat(np.cumsum(length), length)[: len(grams)]
    inside = np.arange(len(grams)) + words <= ends
    rows, grams = rows[inside], (grams[inside] >> np.uint64(1)).astype(np.int64)
    order = np.lexsort((grams, rows))
    rows, grams = rows[order], grams[order]
    new = np.ones(len(rows), dtype=bool)
    new[1:] = (rows[1:] != rows[:-1]) | (grams[1:] != grams[:-1])
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows[new], minlength=len(texts)), out=offsets[1:])
    return ShingleSets(grams[new], offsets)


def _padded(tokens: list[str], length: int) -> list[str]:
    return tokens if len(tokens) >= length else tokens + [""] * (length - len(tokens))

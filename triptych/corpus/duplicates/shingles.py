"""Texts as sets of word n-grams, hashed: rows of numbers that are compared many at a time."""

import re
from dataclasses import dataclass

import numpy as np
from pandas.util import hash_array
from scipy.sparse import csr_array

_WORD = re.compile(r"\w+")
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying loses nothing
_PAIRS = 16_384  # pairs compared at a time


@dataclass(frozen=True, slots=True)
class ShingleSets:
    """Row ``i`` is the set ``hashes[offsets[i]:offsets[i + 1]]``, ascending: int64 of 63 bits, int64."""

    hashes: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def sizes(self) -> np.ndarray:
        """Return the number of members of each row: int64."""
        return np.diff(self.offsets)

    def jaccard(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return shared by distinct members of each pair of rows: float64 of shape (pairs,)."""
        shared = [
            np.diff(self._table(left[start:][:_PAIRS]).multiply(self._table(right[start:][:_PAIRS])).indptr)
            for start in range(0, len(left), _PAIRS)
        ]
        common = np.concatenate([np.empty(0, np.int64), *shared])
        sizes = self.sizes()
        return common / (sizes[left] + sizes[right] - common)

    def _table(self, rows: np.ndarray) -> csr_array:
        """Return some rows as a matrix of ones with a column for each possible hash."""
        sizes = self.offsets[rows + 1] - self.offsets[rows]
        offsets = np.concatenate([[0], sizes.cumsum()])
        members = self.hashes[np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], sizes)]
        return csr_array((np.ones(len(members), np.int8), members, offsets), shape=(len(rows), 2**63 - 1))


def shingle_sets(texts: list[str], words: int) -> ShingleSets:
    """Return the word n-grams of each text, case folded; a text of fewer words is one shingle.

    Members are 63-bit hashes: two of the shingles of a pair of texts agree by chance once in 10^13 pairs.
    """
    # No word is empty, so what is added tells a short text from every longer one.
    tokens = [_padded(_WORD.findall(text.casefold()), words) for text in texts]
    length = np.array([len(found) for found in tokens], dtype=np.int64)
    hashed = hash_array(np.array([word for found in tokens for word in found], dtype=object), categorize=False)
    grams = np.zeros(max(0, len(hashed) - words + 1), dtype=np.uint64)
    for place in range(words):
        grams = grams * _MIX + hashed[place : place + len(grams)]
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


def _padded(found: list[str], words: int) -> list[str]:
    return found if len(found) >= words else found + [""] * (words - len(found))

"""How often each token occurs in a text of the token store, and how similar texts are by their tokens."""

import numpy as np
from scipy.sparse import csr_array

from triptych.ids import TextIds
from triptych.tokens.token_store import TokenStore


def token_counts(store: TokenStore, text_ids: TextIds | np.ndarray, vocabulary: int) -> csr_array:
    """Return how often each token occurs in each text before the cut, float32 of shape (texts, vocabulary)."""
    rows = [store[int(one)] for one in text_ids]
    indices = np.concatenate([*rows, np.empty(0, np.int32)])
    counts = csr_array(
        (np.ones(len(indices), np.float32), indices, np.cumsum([0, *map(len, rows)])), (len(rows), vocabulary)
    )
    counts.sum_duplicates()
    return counts


class TokenOverlap:
    """The Jaccard similarity of the distinct tokens of texts, such as windows of different chunks."""

    def __init__(self, store: TokenStore, text_ids: TextIds | np.ndarray) -> None:
        """Prepare the comparison of these texts, of which at least one has a token."""
        self._ids = np.unique(text_ids)
        largest = max(int(store[int(one)].max(initial=0)) for one in self._ids)
        counts = token_counts(store, self._ids, largest + 1)
        self._sizes = np.diff(counts.indptr)
        counts.data[:] = 1
        self._tokens = counts

    def pairs(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the similarity of pairs of text ids, float64 of shape (pairs,)."""
        left, right = np.searchsorted(self._ids, left), np.searchsorted(self._ids, right)
        shared = self._tokens[left].multiply(self._tokens[right]).sum(axis=1)
        return np.asarray(shared / np.maximum(self._sizes[left] + self._sizes[right] - shared, 1)).ravel()

    def matrix(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the similarity of each text of ``left`` to each of ``right``, float64 of shape (left, right)."""
        left, right = np.searchsorted(self._ids, left), np.searchsorted(self._ids, right)
        shared = (self._tokens[left] @ self._tokens[right].T).toarray()
        return np.asarray(shared / np.maximum(self._sizes[left][:, None] + self._sizes[right] - shared, 1))

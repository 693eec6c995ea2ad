"""How often each token occurs in a text of the token store, and how similar texts are by their tokens."""

import numpy as np
from scipy.sparse import csr_array

from triptych.ids import TextIds
from triptych.tokens.token_store import TokenStore

_COPIED = 65_536  # texts whose tokens are copied together


def token_counts(store: TokenStore, text_ids: TextIds | np.ndarray, vocabulary: int) -> csr_array:
    """Return how often each token occurs in each text before the cut, float32 of shape (texts, vocabulary)."""
    text_ids = np.asarray(text_ids, np.int64)
    lengths = store.lengths[text_ids]
    ends = np.cumsum(np.r_[0, lengths])
    indices = np.empty(ends[-1], np.int32)
    for start in range(0, len(text_ids), _COPIED):
        block = slice(start, start + _COPIED)
        first, last = ends[start], ends[min(start + _COPIED, len(text_ids))]
        shift = np.repeat(store.offsets[text_ids[block]] - ends[:-1][block], lengths[block])
        indices[first:last] = store.ids[np.arange(first, last) + shift]
    counts = csr_array((np.ones(len(indices), np.float32), indices, ends), (len(text_ids), vocabulary))
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

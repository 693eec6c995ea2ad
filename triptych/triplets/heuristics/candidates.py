"""Candidates for negatives, from inverted lists and path prefixes, never from all pairs: flat cost per anchor."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from triptych.corpus.texts import letter_words
from triptych.retrieval.lexical import bm25_weights

_WORD = letter_words(at_least=3)
_PREFIXES = 16  # levels of a header path that are looked at
_NONE = -1


class Words:
    """Words of each text, and how many of them two texts share."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._vocabulary: dict[str, int] = {}
        self._counts = self._count(texts, grow=True)
        ones = np.ones_like(self._counts.data, np.float32)
        self.words = csr_array((ones, self._counts.indices, self._counts.indptr), self._counts.shape)
        self.sizes = np.diff(self._counts.indptr)

    def overlap(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the overlap coefficient (Szymkiewicz and Simpson) of pairs of texts, float32 like them in shape."""
        return (self._shared(left, right) / np.maximum(np.minimum(self.sizes[left], self.sizes[right]), 1)).astype(
            np.float32
        )

    def likeness(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the Jaccard similarity of the words of pairs of texts, float32 like them in shape."""
        shared = self._shared(left, right)
        return (shared / np.maximum(self.sizes[left] + self.sizes[right] - shared, 1)).astype(np.float32)

    def _shared(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return self.words[left].multiply(self.words[right]).sum(axis=1)

    def _count(self, texts: Iterable[str], grow: bool) -> csr_array:
        """Return how often each word stands in each text, float32 of shape (texts, words)."""
        columns: list[np.ndarray] = []
        for text in texts:
            found = _WORD.findall(text.casefold())
            known = self._vocabulary
            ids = [known.setdefault(w, len(known)) for w in found] if grow else [known[w] for w in found if w in known]
            columns.append(np.array(ids, np.int32))
        indptr = np.cumsum([0, *map(len, columns)])
        indices = np.concatenate(columns) if columns else np.empty(0, np.int32)
        shape = (len(columns), max(len(self._vocabulary), 1))
        counts = csr_array((np.ones(len(indices), np.float32), indices, indptr), shape)
        counts.sum_duplicates()
        return counts


class WordIndex(Words):
    """Inverted lists beside the words, cut to the chunks where a word weighs most.

    Weights are BM25's. The cut makes a look-up cost the same in any
    corpus; what it loses are chunks in which a frequent word weighs little.
    """

    def __init__(self, texts: Iterable[str], postings: int) -> None:
        super().__init__(texts)
        self._lists = _heaviest(bm25_weights(self._counts), postings)

    def hits(self, texts: Sequence[str], number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the chunks that match each text best: (text, chunk) pairs as two int64 arrays, best first."""
        asked = self._count(texts, grow=False)
        asked.data[:] = 1
        scores = (asked @ self._lists).tocsr()
        # Score and row in one number: nothing is equal, so that every machine keeps the same chunks.
        keys = (scores.data.view(np.uint32).astype(np.uint64) << 32) | (~scores.indices.astype(np.uint32))
        best = []
        for start, end in zip(scores.indptr[:-1].tolist(), scores.indptr[1:].tolist(), strict=True):
            found = keys[start:end]
            if end - start > number:
                found = np.partition(found, end - start - number)[-number:]
            best.append(np.sort(found)[::-1])
        chunks = ~np.concatenate(best).astype(np.uint32) if best else np.empty(0, np.uint32)
        return np.repeat(np.arange(len(best)), list(map(len, best))), chunks.astype(np.int64)


def _heaviest(weights: csr_array, number: int) -> csr_array:
    """Return the transpose, of shape (words, chunks), with the ``number`` heaviest chunks of each word."""
    rows = np.repeat(np.arange(weights.shape[0], dtype=np.int32), np.diff(weights.indptr))
    order = np.lexsort((rows, -weights.data, weights.indices))
    words = weights.indices[order]
    kept = order[rank_in_group(words) < number]
    pairs = (weights.indices[kept], rows[kept])
    return csr_array((weights.data[kept], pairs), (weights.shape[1], weights.shape[0]))


class PathIndex:
    """Chunks by every beginning of their header path."""

    def __init__(self, paths: Sequence[tuple[str, ...]]) -> None:
        numbers: dict[tuple[str, ...], int] = {}
        self.levels = np.full((len(paths), _PREFIXES), _NONE, np.int32)  # number of the beginning of each length
        for row, path in enumerate(paths):
            for depth in range(min(len(path), _PREFIXES)):
                self.levels[row, depth] = numbers.setdefault(path[: depth + 1], len(numbers))
        self.depths = np.array([min(len(path), _PREFIXES) for path in paths], np.int32)
        self._buckets = [Buckets(self.levels[:, depth]) for depth in range(_PREFIXES)]

    def overlap(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the share of the longer header path that both paths begin with, float32."""
        mine = self.levels[left]
        shared = ((mine == self.levels[right]) & (mine != _NONE)).sum(axis=1)
        return (shared / np.maximum(np.maximum(self.depths[left], self.depths[right]), 1)).astype(np.float32)

    def near(self, chunks: np.ndarray, number: int, random: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
        """Draw, for every length of shared path, ``number`` chunks for each chunk; pairs of (place, chunk)."""
        return [
            buckets.inside(self.levels[chunks, depth], number, random) for depth, buckets in enumerate(self._buckets)
        ]


class Buckets:
    """Rows grouped by a label; draws from one group, or from all the others, at the cost of the draw alone."""

    def __init__(self, labels: np.ndarray) -> None:
        self._order = np.argsort(labels, kind="stable")
        groups = int(labels.max(initial=_NONE)) + 1
        self._starts = np.searchsorted(labels[self._order], np.arange(groups + 1))

    def inside(self, labels: np.ndarray, number: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw ``number`` rows of each label, with repeats; a negative label gives none. Pairs of (place, row)."""
        places = np.repeat(np.flatnonzero(labels >= 0), number)
        start = self._starts[labels[places]]
        size = self._starts[labels[places] + 1] - start
        return places, self._order[start + (random.random(len(places)) * size).astype(np.int64)]

    def outside(self, labels: np.ndarray, number: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw ``number`` rows of other labels for each label, with repeats. Pairs of (place, row)."""
        start, end = self._starts[labels], self._starts[labels + 1]
        left = len(self._order) - (end - start)
        places = np.repeat(np.flatnonzero(left > 0), number)
        drawn = (random.random(len(places)) * left[places]).astype(np.int64)
        drawn += np.where(drawn >= start[places], end[places] - start[places], 0)
        return places, self._order[drawn]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs of anchor and chunk with all that tiers are told by; arrays of one length, sorted by anchor, chunk."""

    anchor: np.ndarray  # place of the anchor in its batch, int64
    chunk: np.ndarray  # place of the chunk in its split, int64
    rank: np.ndarray  # place among the lexical hits of the anchor, from 1; 0: not among them
    path: np.ndarray  # overlap of the header paths of positive and chunk
    lexical: np.ndarray  # overlap of their words
    blend: np.ndarray  # of both overlaps; these three float32
    other_category: np.ndarray  # bool: not of the positive's, as the two that follow
    other_domain: np.ndarray
    other_file: np.ndarray
    same_topic: np.ndarray  # bool: category and top heading of the positive


def rank_in_group(groups: np.ndarray) -> np.ndarray:
    """Return the place of each element within its run of equal values: 0, 1, …; int64 of shape (elements,)."""
    if not len(groups):
        return np.empty(0, np.int64)
    first = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    return np.arange(len(groups)) - np.repeat(first, np.diff(np.r_[first, len(groups)]))

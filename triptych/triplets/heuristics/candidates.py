"""Candidates for negatives from inverted lists and path prefixes.

No step compares all pairs: the cost per anchor does not grow with the corpus.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from triptych.corpus.texts import long_words
from triptych.retrieval.lexical import bm25_weights

_PREFIXES = 16  # levels of a header path that are looked at
_NONE = -1


class Words:
    """The distinct words of each text, for similarities of pairs of texts.

    A word has three letters or more, casefolded; identifiers are split into their words, Chinese and its like into
    pairs of characters.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._vocabulary: dict[str, int] = {}
        self._use(self._count(texts, grow=True))

    def _use(self, counts: csr_array) -> None:
        """Keep which words each text has; the counts are overwritten, since they take as much memory again."""
        counts.data[:] = 1
        self.words = counts
        self.sizes = np.diff(counts.indptr)

    def overlap(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the overlap coefficient (Szymkiewicz and Simpson) of pairs of texts; float32 of shape (pairs,)."""
        smaller = np.minimum(self.sizes[left], self.sizes[right])
        return (self._shared(left, right) / np.maximum(smaller, 1)).astype(np.float32)

    def jaccard(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the Jaccard similarity of the words of pairs of texts; float32 of shape (pairs,)."""
        shared = self._shared(left, right)
        return (shared / np.maximum(self.sizes[left] + self.sizes[right] - shared, 1)).astype(np.float32)

    def _shared(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return self.words[left].multiply(self.words[right]).sum(axis=1)

    def _count(self, texts: Iterable[str], grow: bool) -> csr_array:
        """Return the count of each word in each text, float32 of shape (texts, words)."""
        columns, ends = array("i"), array("q", [0])  # as numbers: an array for each of a million texts takes as much
        ids = self._vocabulary
        for text in texts:
            words = long_words(text.casefold())
            columns.extend(
                [ids.setdefault(w, len(ids)) for w in words] if grow else [ids[w] for w in words if w in ids]
            )
            ends.append(len(columns))
        indices = np.frombuffer(columns, np.int32) if columns else np.empty(0, np.int32)
        shape = (len(ends) - 1, max(len(self._vocabulary), 1))
        counts = csr_array((np.ones(len(indices), np.float32), indices, np.frombuffer(ends, np.int64)), shape)
        counts.sum_duplicates()
        return counts


class WordIndex(Words):
    """Words with inverted lists, truncated to the ``postings`` chunks with the highest BM25 weight of each word.

    Truncation keeps the cost of a look-up constant in any corpus; it loses chunks in which a frequent word has a low
    weight.
    """

    def __init__(self, texts: Iterable[str], postings: int) -> None:
        self._vocabulary = {}
        counts = self._count(texts, grow=True)
        self._inverted_lists = _truncated_lists(bm25_weights(counts), postings)
        self._use(counts)

    def hits(self, texts: Sequence[str], number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the ``number`` best chunks of each text by BM25, best first.

        Return two int64 arrays: index into ``texts``, chunk.
        """
        queries = self._count(texts, grow=False)
        queries.data[:] = 1
        scores = (queries @ self._inverted_lists).tocsr()
        # Score and row packed into one integer: no ties, so every machine keeps the same chunks.
        keys = (scores.data.view(np.uint32).astype(np.uint64) << 32) | (~scores.indices.astype(np.uint32))
        best = []
        for start, end in zip(scores.indptr[:-1].tolist(), scores.indptr[1:].tolist(), strict=True):
            hits = keys[start:end]
            if end - start > number:
                hits = np.partition(hits, end - start - number)[-number:]
            best.append(np.sort(hits)[::-1])
        chunks = ~np.concatenate(best).astype(np.uint32) if best else np.empty(0, np.uint32)
        return np.repeat(np.arange(len(best)), list(map(len, best))), chunks.astype(np.int64)


def _truncated_lists(weights: csr_array, number: int) -> csr_array:
    """Return the transpose, of shape (words, chunks), with the ``number`` highest weights of each word.

    Of equal weights those of the first chunks are kept.
    """
    by_word = weights.tocsc()  # word after word, the chunks of each ascending
    sizes = np.diff(by_word.indptr)
    kept = np.ones(by_word.nnz, bool)
    for word in np.flatnonzero(sizes > number).tolist():
        own = slice(by_word.indptr[word], by_word.indptr[word + 1])
        values = by_word.data[own]
        lowest = np.partition(values, len(values) - number)[len(values) - number]
        above, equal = values > lowest, values == lowest
        kept[own] = above | (equal & (np.cumsum(equal) <= number - np.count_nonzero(above)))
    indptr = np.concatenate([[0], np.cumsum(np.minimum(sizes, number))])
    return csr_array((by_word.data[kept], by_word.indices[kept], indptr), (weights.shape[1], weights.shape[0]))


class PathIndex:
    """Chunks by every prefix of their header path."""

    def __init__(self, paths: Sequence[tuple[str, ...]]) -> None:
        prefix_ids: dict[tuple[str, ...], int] = {}
        self.levels = np.full((len(paths), _PREFIXES), _NONE, np.int32)  # id of the prefix of each length
        for row, path in enumerate(paths):
            for depth in range(min(len(path), _PREFIXES)):
                self.levels[row, depth] = prefix_ids.setdefault(path[: depth + 1], len(prefix_ids))
        self.depths = np.array([min(len(path), _PREFIXES) for path in paths], np.int32)
        self._buckets = [Buckets(self.levels[:, depth]) for depth in range(_PREFIXES)]

    def overlap(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the length of the common prefix of two header paths as a share of the longer path, float32."""
        levels = self.levels[left]
        shared = ((levels == self.levels[right]) & (levels != _NONE)).sum(axis=1)
        return (shared / np.maximum(np.maximum(self.depths[left], self.depths[right]), 1)).astype(np.float32)

    def near(self, chunks: np.ndarray, number: int, random: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
        """Sample ``number`` chunks with the same prefix, for each chunk and prefix length.

        Return one pair of int64 arrays for each length: index into ``chunks``, sampled chunk.
        """
        return [
            buckets.inside(self.levels[chunks, depth], number, random) for depth, buckets in enumerate(self._buckets)
        ]


class Buckets:
    """Rows grouped by label; sampling inside a group or outside it costs the same in a group of any size."""

    def __init__(self, labels: np.ndarray) -> None:
        self._order = np.argsort(labels, kind="stable")
        groups = int(labels.max(initial=_NONE)) + 1
        self._starts = np.searchsorted(labels[self._order], np.arange(groups + 1))

    def inside(self, labels: np.ndarray, number: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Sample ``number`` rows of each label, with replacement; none for a negative label.

        Return two int64 arrays: index into ``labels``, sampled row.
        """
        indices = np.repeat(np.flatnonzero(labels >= 0), number)
        start = self._starts[labels[indices]]
        size = self._starts[labels[indices] + 1] - start
        return indices, self._order[start + (random.random(len(indices)) * size).astype(np.int64)]

    def outside(self, labels: np.ndarray, number: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Sample ``number`` rows of other labels for each label, with replacement.

        Return two int64 arrays: index into ``labels``, sampled row.
        """
        start, end = self._starts[labels], self._starts[labels + 1]
        size = len(self._order) - (end - start)
        indices = np.repeat(np.flatnonzero(size > 0), number)
        positions = (random.random(len(indices)) * size[indices]).astype(np.int64)
        positions += np.where(positions >= start[indices], end[indices] - start[indices], 0)  # skip the own group
        return indices, self._order[positions]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs of anchor and chunk with the features that tier rules use; arrays of one length.

    Sorted by anchor, then chunk.
    """

    anchor: np.ndarray  # int64: index of the anchor in its batch
    chunk: np.ndarray  # int64: index of the chunk in its split
    rank: np.ndarray  # int64: rank among the anchor's lexical hits, from 1; 0 if not among them
    path: np.ndarray  # float32: overlap of the header paths of positive and chunk
    lexical: np.ndarray  # float32: overlap of their words
    blend: np.ndarray  # float32: weighted mean of both overlaps
    other_category: np.ndarray  # bool: not the category of the positive
    other_domain: np.ndarray  # bool: not its domain
    other_file: np.ndarray  # bool: not its file
    same_topic: np.ndarray  # bool: category and top heading of the positive


def rank_in_group(groups: np.ndarray) -> np.ndarray:
    """Return the position of each element within its run of equal values; int64 of shape (elements,).

    >>> rank_in_group(np.array([4, 4, 4, 1, 2, 2])).tolist()
    [0, 1, 2, 0, 0, 1]
    """
    if not len(groups):
        return np.empty(0, np.int64)
    first = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    return np.arange(len(groups)) - np.repeat(first, np.diff(np.r_[first, len(groups)]))

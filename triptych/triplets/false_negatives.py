"""The filter against false negatives, shared by heuristic pools, mined candidates and in-batch negatives."""

from collections.abc import Hashable, Iterable, Iterator

import numpy as np

from triptych.corpus.chunking import PART
from triptych.corpus.records import Chunk, Link
from triptych.corpus.texts import normalized
from triptych.ids import ChunkRows

RULES = ("same_text", "near_duplicate", "same_section", "equal_title", "linked")


class Relations:
    """Knows which chunks may never be each other's negatives.

    Chunks are related if they have the same text (except for case, white space and outer punctuation), belong to one
    near-duplicate cluster or one section of a document, have equal titles, or, with ``exclude_linked``, if one links
    to the other. Chunks are given by row of the corpus.
    """

    def __init__(self, chunks: list[Chunk], links: list[Link], exclude_linked: bool = True) -> None:
        row = {chunk.chunk_id: index for index, chunk in enumerate(chunks)}
        self._groups = (
            codes(normalized(chunk.content) or index for index, chunk in enumerate(chunks)),
            np.array([chunk.cluster_id for chunk in chunks], dtype=np.int32),
            codes(_section(chunk) for chunk in chunks),
            codes(normalized(chunk.title) or index for index, chunk in enumerate(chunks)),
        )
        pairs = np.array(
            [(row[link.from_chunk_id], row[link.to_chunk_id]) for link in links if exclude_linked], dtype=np.int64
        ).reshape(-1, 2)
        self._size = len(chunks)
        keys = np.concatenate([self._keys(pairs[:, 0], pairs[:, 1]), self._keys(pairs[:, 1], pairs[:, 0])])
        self._linked = np.append(np.unique(keys), np.iinfo(np.int64).max)  # sentinel: every search has a result

    def related(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return whether pairs of chunks are related, with NumPy's broadcasting.

        ``left`` and ``right`` are integer arrays of chunk rows; the result is bool of their broadcast shape.
        """
        related = left == right
        for by_rule in self._by_rule(left, right):
            related |= by_rule
        return related

    def rule(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the first rule by which chunks are related, as index in ``RULES``, or -1; int8.

        Shapes are those of `related`. A chunk and itself have the same text.
        """
        rule = np.where(left == right, np.int8(0), np.int8(-1))
        for number, by_rule in enumerate(self._by_rule(left, right)):
            rule[by_rule & (rule < 0)] = number
        return rule

    def _by_rule(self, left: np.ndarray, right: np.ndarray) -> Iterator[np.ndarray]:
        for group in self._groups:
            yield group[left] == group[right]
        keys = self._keys(left, right)
        yield self._linked[np.searchsorted(self._linked, keys)] == keys

    def _keys(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.asarray(left, dtype=np.int64) * self._size + right


class PositivesByAnchor:
    """All positives of each anchor text: a chunk that answers the same text elsewhere is not a negative.

    Anchors are text ids, or any integers that are equal where the texts are.
    """

    def __init__(self, anchors: np.ndarray, positives: ChunkRows) -> None:
        pairs = np.unique(np.stack([anchors, positives], axis=1).astype(np.int64), axis=0)
        self._anchors, self._positives = pairs[:, 0], pairs[:, 1]

    def other_positives(self, anchors: np.ndarray, positives: np.ndarray) -> tuple[np.ndarray, ChunkRows]:
        """Return the positives of each anchor other than the given one.

        ``positives`` are chunk rows, one for each anchor. Return two int64 arrays: index into ``anchors``, ascending,
        and chunk row.
        """
        indices, matches = _matches(self._anchors, anchors)
        chunks = self._positives[matches]
        other = chunks != positives[indices]
        return indices[other], ChunkRows(chunks[other])

    def false_negatives(
        self,
        relations: Relations,
        anchors: np.ndarray,
        positives: np.ndarray,
        owners: np.ndarray,
        candidates: np.ndarray,
    ) -> np.ndarray:
        """Return which candidates are another positive of their anchor, or related to one; bool of shape (candidates,).

        ``positives`` and ``candidates`` are chunk rows; ``owners[i]`` is the index into ``anchors`` of the anchor of
        ``candidates[i]``, ascending.
        """
        indices, others = self.other_positives(anchors, positives)
        pair, matches = _matches(owners, indices)
        result = np.zeros(len(owners), bool)
        result[matches[relations.related(others[pair], candidates[matches])]] = True
        return result


def _matches(ascending: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs (index into ``values``, index into ``ascending``) of equal elements, int64."""
    first = np.searchsorted(ascending, values, side="left")
    sizes = np.searchsorted(ascending, values, side="right") - first
    starts = np.cumsum(sizes) - sizes
    return np.repeat(np.arange(len(values)), sizes), np.repeat(first - starts, sizes) + np.arange(sizes.sum())


def _section(chunk: Chunk) -> Hashable:
    """Return a key for a chunk's section: without headings the source record, so that a file is not one section."""
    return (chunk.filename, chunk.header_path) if chunk.header_path else chunk.chunk_id.split(PART)[0]


def codes(values: Iterable[Hashable]) -> np.ndarray:
    """Return the number of each value, distinct values numbered in order of appearance; int32.

    >>> codes(["b", "a", "b"]).tolist()
    [0, 1, 0]
    """
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int32)

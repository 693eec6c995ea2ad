"""The one filter against false negatives: for pools, for mined candidates, and inside a batch."""

from collections.abc import Hashable, Iterable, Iterator

import numpy as np

from triptych.corpus.chunking import PART
from triptych.corpus.records import Chunk, Link
from triptych.corpus.texts import normalized

RULES = ("same_text", "near_duplicate", "same_section", "equal_title", "linked")


class Relations:
    """Knows which chunks may never be each other's negatives.

    Related are chunks with the same text (case, white space and outer punctuation apart), of one near-duplicate
    cluster, of one document section, with equal titles, and, if ``exclude_linked``, chunks of which one links to the
    other. Chunks are named by their row in the corpus.
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
        self._linked = np.append(np.unique(keys), np.iinfo(np.int64).max)  # a last one that no key reaches

    def related(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return, with NumPy's broadcasting, whether the chunks in rows ``left`` and ``right`` are related.

        ``left`` and ``right`` are integer arrays of chunk rows; the result is bool of their broadcast shape.
        """
        related = left == right
        for one in self._by_rule(left, right):
            related |= one
        return related

    def rule(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the first rule by which chunks are related, as its place in ``RULES``, or -1; int8.

        Shapes are those of `related`. A chunk and itself have the same text.
        """
        found = np.where(left == right, np.int8(0), np.int8(-1))
        for number, one in enumerate(self._by_rule(left, right)):
            found[one & (found < 0)] = number
        return found

    def _by_rule(self, left: np.ndarray, right: np.ndarray) -> Iterator[np.ndarray]:
        for group in self._groups:
            yield group[left] == group[right]
        keys = self._keys(left, right)
        yield self._linked[np.searchsorted(self._linked, keys)] == keys

    def _keys(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.asarray(left, dtype=np.int64) * self._size + right


class PositivesByAnchor:
    """All positives of each anchor: where the same words have several answers, none is a negative beside another."""

    def __init__(self, anchors: np.ndarray, positives: np.ndarray) -> None:
        pairs = np.unique(np.stack([anchors, positives], axis=1).astype(np.int64), axis=0)
        self._anchors, self._positives = pairs[:, 0], pairs[:, 1]

    def others(self, anchors: np.ndarray, positives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the answers of each anchor but its own positive: (place in ``anchors``, chunk row), int64, by place.

        ``anchors`` and ``positives`` are integer arrays of one length: what names an anchor, and a chunk row.
        """
        places, found = _between(self._anchors, anchors)
        chunks = self._positives[found]
        other = chunks != positives[places]
        return places[other], chunks[other]

    def reach(
        self, relations: Relations, anchors: np.ndarray, positives: np.ndarray, owners: np.ndarray, chunks: np.ndarray
    ) -> np.ndarray:
        """Return which candidates are another answer of their anchor, or related to one; bool of shape (candidates,).

        Candidate ``chunks[i]`` (a chunk row) is one of the anchor at place ``owners[i]``, which ascend.
        """
        places, others = self.others(anchors, positives)
        pair, found = _between(owners, places)
        reached = np.zeros(len(owners), bool)
        reached[found[relations.related(others[pair], chunks[found])]] = True
        return reached


def _between(ascending: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return every place at which each value stands: (place in ``values``, place in ``ascending``), int64."""
    first = np.searchsorted(ascending, values, side="left")
    sizes = np.searchsorted(ascending, values, side="right") - first
    starts = np.cumsum(sizes) - sizes
    return np.repeat(np.arange(len(values)), sizes), np.repeat(first - starts, sizes) + np.arange(sizes.sum())


def _section(chunk: Chunk) -> Hashable:
    """Return what stands for a chunk's section; without headings a record is one, lest a whole file be."""
    return (chunk.filename, chunk.header_path) if chunk.header_path else chunk.chunk_id.split(PART)[0]


def codes(values: Iterable[Hashable]) -> np.ndarray:
    """Return distinct values numbered in order of appearance; int32."""
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(value, len(seen)) for value in values], dtype=np.int32)

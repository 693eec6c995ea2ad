"""Near-duplicate clusters: MinHash LSH proposes pairs, exact Jaccard similarity decides."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from tempfile import TemporaryFile

import numpy as np
from rensa import RMinHash
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from triptych.corpus.duplicates.shingles import ShingleSets, shingle_sets
from triptych.corpus.texts import normalized
from triptych.engine.in_order import in_order
from triptych.params.sections import NearDuplicates

_MIX = np.uint64(0x9E3779B97F4A7C15)
_NEIGHBORS = 50  # texts of its bucket with which a text is compared; in a larger bucket the most similar ones
_SORT_DEPTH = 32  # permutations after the band that order the texts of a large bucket by similarity


@dataclass(frozen=True, slots=True)
class NearDuplicateClusters:
    """Cluster numbers of shape (texts,), int32, in the order of first members."""

    text: np.ndarray  # one number per text, ignoring case, white space and punctuation at both ends
    cluster: np.ndarray  # one number per near-duplicate cluster
    partly_compared: int  # distinct texts of large buckets, which were compared with the most similar texts only


def cluster(batches: Iterable[list[str]], params: NearDuplicates) -> NearDuplicateClusters:
    """Cluster texts that come in batches; the texts themselves are not kept in memory.

    Equal texts are merged first. Candidate pairs share a band of their MinHash signatures (Broder 1997; Leskovec et
    al., *Mining of Massive Datasets*, ch. 3). A pair is merged if the exact Jaccard similarity of its shingles
    reaches the threshold, so that hash collisions never merge texts that differ in the decisive word.

    In a bucket of up to 51 texts, all pairs that are not merged yet are compared. In a larger bucket that would take
    quadratic time: its texts are sorted by the permutations after the band, which puts similar texts next to each
    other, and each is compared with the next 50. Copies are still found, the time is linear, and the result does
    not depend on the order of the texts.
    """
    numbers: dict[bytes, int] = {}  # of distinct texts, by digest
    text_numbers: list[np.ndarray] = []
    signatures: list[np.ndarray] = []
    sizes: list[np.ndarray] = []

    def new_texts() -> Iterator[list[str]]:
        for batch in batches:
            digests = [sha256(normalized(text).encode()).digest() for text in batch]
            known = len(numbers)
            batch_numbers = np.array([numbers.setdefault(digest, len(numbers)) for digest in digests], dtype=np.int32)
            text_numbers.append(batch_numbers)
            distinct, first = np.unique(batch_numbers, return_index=True)
            yield [batch[index] for index in first[distinct >= known]]

    # The shingles of a million texts take gigabytes, and only those of candidate pairs are read again.
    with TemporaryFile() as spool:
        for sets, of_batch in in_order(partial(_sets_and_signatures, params), new_texts()):
            spool.write(sets.hashes.data)
            sizes.append(sets.sizes())
            signatures.append(of_batch)
        spool.flush()
        offsets = np.concatenate([[0], *sizes]).cumsum()
        hashes = np.memmap(spool, dtype=np.int64, mode="r") if offsets[-1] else np.empty(0, np.int64)
        tie_breaker = np.frombuffer(b"".join(digest[:8] for digest in numbers), dtype=np.uint64)
        numbers.clear()
        shingles = ShingleSets(hashes, offsets)
        labels, partly = _cluster_labels(np.concatenate(signatures), shingles, tie_breaker, params.threshold)
    texts = np.concatenate(text_numbers)
    return NearDuplicateClusters(texts, renumber(labels[texts]), partly)


def renumber(labels: np.ndarray) -> np.ndarray:
    """Return groups numbered 0, 1, … in the order in which they first appear: int32.

    >>> renumber(np.array([7, 3, 7, 5])).tolist()
    [0, 1, 0, 2]
    """
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int32)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first), dtype=np.int32)
    return rank[inverse]


def _sets_and_signatures(params: NearDuplicates, texts: list[str]) -> tuple[ShingleSets, np.ndarray]:
    sets = shingle_sets(texts, params.shingle_words)
    return sets, _signatures(sets, params.permutations)


def _signatures(sets: ShingleSets, permutations: int) -> np.ndarray:
    """Return MinHash signatures, uint32 of shape (texts, permutations)."""
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        sets.hashes.view(np.uint64), sets.offsets.view(np.uint64), permutations, 42
    )
    return np.array(matrix.to_rows(), dtype=np.uint32).reshape(len(sets), permutations)


def _cluster_labels(
    signatures: np.ndarray, sets: ShingleSets, tie_breaker: np.ndarray, threshold: float
) -> tuple[np.ndarray, int]:
    """Return a label for each text, equal within a cluster, and the number of texts that were partly compared."""
    labels = np.arange(len(sets))
    large_buckets: list[np.ndarray] = []
    width = _band_width(signatures.shape[1], threshold)
    for start in range(0, signatures.shape[1] - width + 1, width):
        order, ends, large = _buckets(signatures, start, width, labels, tie_breaker)
        positions = np.arange(len(order))
        for step in range(1, _NEIGHBORS + 1):
            positions = positions[positions + step < ends[positions]]
            if not len(positions):
                break
            left, right = order[positions], order[positions + step]
            separate = labels[left] != labels[right]
            left, right = left[separate], right[separate]
            near = sets.jaccard(left, right) >= threshold
            labels = _merged(labels, left[near], right[near])
        large_buckets += large
    partly = [bucket for bucket in large_buckets if (labels[bucket] != labels[bucket[0]]).any()]
    return labels, len(np.unique(np.concatenate([np.empty(0, np.int64), *partly])))


def _buckets(
    signatures: np.ndarray, start: int, width: int, labels: np.ndarray, tie_breaker: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return the texts that share a band, bucket by bucket; for each the end of its bucket; and the large buckets.

    Buckets of one text, or whose texts are already in one cluster, are left out.
    """
    keys = np.zeros(len(signatures), dtype=np.uint64)
    for column in signatures[:, start : start + width].T:
        keys = (keys + column) * _MIX
        keys ^= keys >> np.uint64(29)
    order = np.argsort(keys, kind="stable")
    firsts = np.flatnonzero(np.concatenate([[True], keys[order][1:] != keys[order][:-1]])[: len(order)])
    sizes = np.diff([*firsts, len(order)])
    ordered = labels[order]
    mixed = np.minimum.reduceat(ordered, firsts) < np.maximum.reduceat(ordered, firsts) if len(firsts) else sizes > 1
    order, sizes = order[np.repeat(mixed, sizes)], sizes[mixed]
    ends = np.cumsum(sizes)
    large = []
    for end, size in zip(ends[sizes > _NEIGHBORS + 1].tolist(), sizes[sizes > _NEIGHBORS + 1].tolist(), strict=True):
        rows = order[end - size : end]
        following = np.roll(signatures[rows], -start - width, axis=1)[:, :_SORT_DEPTH]
        order[end - size : end] = rows[np.lexsort((tie_breaker[rows], *following.T[::-1]))]
        large.append(order[end - size : end])
    return order, np.repeat(ends, sizes), large


def _merged(labels: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the labels after merging the clusters of each pair."""
    if not len(left):
        return labels
    touched, nodes = np.unique(labels[np.concatenate([left, right])], return_inverse=True)
    ends = nodes.reshape(2, -1)
    graph = coo_array((np.ones(len(left), dtype=np.int8), tuple(ends)), shape=(len(touched), len(touched)))
    _, component = connected_components(graph, directed=False)
    first = np.unique(component, return_index=True)[1]
    renamed = np.arange(len(labels))
    renamed[touched] = touched[first[component]]
    return renamed[labels]


def _band_width(permutations: int, threshold: float) -> int:
    """Return the widest band that finds 99 % of the pairs at the threshold: 1 - (1 - t^w)^(n/w) >= 0.99."""
    for width in range(permutations, 0, -1):
        if 1 - (1 - threshold**width) ** (permutations // width) >= 0.99:
            return width
    return 1

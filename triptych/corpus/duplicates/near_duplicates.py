"""Near-duplicate clusters: MinHash LSH proposes pairs, exact Jaccard similarity decides."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from tempfile import TemporaryFile

import numpy as np
from rensa import RMinHash
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from triptych.corpus.duplicates.shingles import ShingleSets, shingle_sets
from triptych.corpus.texts import normalized
from triptych.params.sections import NearDuplicates

_MIX = np.uint64(0x9E3779B97F4A7C15)
_NEIGHBORS = 50  # texts of a bucket that a text is compared with; in a bucket of more, those most like it
_DEPTH = 32  # permutations after the band by which "most like it" is told


@dataclass(frozen=True, slots=True)
class NearDuplicateClusters:
    """Numbers of shape (texts,), int32, by first member, of equal texts and of near-duplicates."""

    text: np.ndarray  # equal but for case, white space and punctuation at both ends
    cluster: np.ndarray
    partly_compared: int  # distinct texts with so many look-alikes that they were compared with the closest only


def cluster(batches: Iterable[list[str]], params: NearDuplicates) -> NearDuplicateClusters:
    """Cluster texts that come in batches; only numbers are kept of them.

    Equal texts are one from the start. Candidate pairs share a band of their MinHash signatures (Broder 1997;
    Leskovec et al., *Mining of Massive Datasets*, ch. 3); a pair is joined when the exact Jaccard similarity of
    its shingles reaches the threshold, so that texts which differ in the decisive word are not merged by hash luck.

    In a bucket of up to 51 texts all pairs are compared that are not joined already. A larger one, of a family of
    look-alikes, would cost the square of its size: its texts are sorted by the permutations after the band, which
    brings the most similar together, and each is compared with the 50 that follow. So copies are found in any
    family, the cost is linear, and neither depends on the order of the texts.
    """
    number: dict[bytes, int] = {}  # of distinct texts, by digest
    text: list[np.ndarray] = []
    signatures: list[np.ndarray] = []
    sizes: list[np.ndarray] = []
    # The shingles of a million texts are gigabytes, which are read once and again only where texts are alike.
    with TemporaryFile() as spool:
        for batch in batches:
            digests = [sha256(normalized(one).encode()).digest() for one in batch]
            known = len(number)
            text.append(np.array([number.setdefault(digest, len(number)) for digest in digests], dtype=np.int32))
            new, places = np.unique(text[-1], return_index=True)
            sets = shingle_sets([batch[place] for place in places[new >= known]], params.shingle_words)
            spool.write(sets.hashes.data)
            sizes.append(sets.sizes())
            signatures.append(_signatures(sets, params.permutations))
        spool.flush()
        offsets = np.concatenate([[0], *sizes]).cumsum()
        hashes = np.memmap(spool, dtype=np.int64, mode="r") if offsets[-1] else np.empty(0, np.int64)
        tie = np.frombuffer(b"".join(digest[:8] for digest in number), dtype=np.uint64)
        del number
        labels, partly = _joined(np.concatenate(signatures), ShingleSets(hashes, offsets), tie, params.threshold)
    texts = np.concatenate(text)
    return NearDuplicateClusters(texts, renumber(labels[texts]), partly)


def renumber(labels: np.ndarray) -> np.ndarray:
    """Return groups numbered 0, 1, … in the order in which they first appear; int32."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int32)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first), dtype=np.int32)
    return rank[inverse]


def _signatures(sets: ShingleSets, permutations: int) -> np.ndarray:
    """Return MinHash signatures, uint32 of shape (texts, permutations)."""
    made = RMinHash.digest_matrix_from_flat_token_hashes(
        sets.hashes.view(np.uint64), sets.offsets.view(np.uint64), permutations, 42
    )
    return np.array(made.to_rows(), dtype=np.uint32).reshape(len(sets), permutations)


def _joined(signatures: np.ndarray, sets: ShingleSets, tie: np.ndarray, threshold: float) -> tuple[np.ndarray, int]:
    """Return a label for each text, equal in a cluster, and the number of texts that were compared in part."""
    labels = np.arange(len(sets))
    families: list[np.ndarray] = []
    width = _band_width(signatures.shape[1], threshold)
    for start in range(0, signatures.shape[1] - width + 1, width):
        order, ends, large = _buckets(signatures, start, width, labels, tie)
        place = np.arange(len(order))
        for step in range(1, _NEIGHBORS + 1):
            place = place[place + step < ends[place]]
            if not len(place):
                break
            left, right = order[place], order[place + step]
            apart = labels[left] != labels[right]
            left, right = left[apart], right[apart]
            near = sets.jaccard(left, right) >= threshold
            labels = _merged(labels, left[near], right[near])
        families += large
    partly = [family for family in families if (labels[family] != labels[family[0]]).any()]
    return labels, len(np.unique(np.concatenate([np.empty(0, np.int64), *partly])))


def _buckets(
    signatures: np.ndarray, start: int, width: int, labels: np.ndarray, tie: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return the texts that share a band, bucket after bucket; where the bucket of each ends; and the large buckets.

    Buckets of one text, or whose texts are joined already, are left out.
    """
    keys = np.zeros(len(signatures), dtype=np.uint64)
    for column in signatures[:, start : start + width].T:
        keys = (keys + column) * _MIX
        keys ^= keys >> np.uint64(29)
    order = np.argsort(keys, kind="stable")
    firsts = np.flatnonzero(np.concatenate([[True], keys[order][1:] != keys[order][:-1]])[: len(order)])
    sizes = np.diff([*firsts, len(order)])
    found = labels[order]
    mixed = np.minimum.reduceat(found, firsts) < np.maximum.reduceat(found, firsts) if len(firsts) else sizes > 1
    order, sizes = order[np.repeat(mixed, sizes)], sizes[mixed]
    ends = np.cumsum(sizes)
    large = []
    for end, size in zip(ends[sizes > _NEIGHBORS + 1].tolist(), sizes[sizes > _NEIGHBORS + 1].tolist(), strict=True):
        rows = order[end - size : end]
        following = np.roll(signatures[rows], -start - width, axis=1)[:, :_DEPTH]
        order[end - size : end] = rows[np.lexsort((tie[rows], *following.T[::-1]))]
        large.append(order[end - size : end])
    return order, np.repeat(ends, sizes), large


def _merged(labels: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the labels after the clusters of each pair became one."""
    if not len(left):
        return labels
    touched, places = np.unique(labels[np.concatenate([left, right])], return_inverse=True)
    ends = places.reshape(2, -1)
    graph = coo_array((np.ones(len(left), dtype=np.int8), tuple(ends)), shape=(len(touched), len(touched)))
    _, component = connected_components(graph, directed=False)
    first = np.unique(component, return_index=True)[1]
    renamed = np.arange(len(labels))
    renamed[touched] = touched[first[component]]
    return renamed[labels]


def _band_width(permutations: int, threshold: float) -> int:
    """Choose the widest band that still finds 99 % of the pairs at the threshold: 1 - (1 - t^w)^(n/w)."""
    for width in range(permutations, 0, -1):
        if 1 - (1 - threshold**width) ** (permutations // width) >= 0.99:
            return width
    return 1

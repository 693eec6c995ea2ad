"""Near-duplicate clusters: MinHash LSH proposes pairs, exact Jaccard similarity decides."""

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations

import numpy as np
from rensa import RMinHash
from scipy.cluster.hierarchy import DisjointSet

from triptych.params import NearDuplicates

_WORD = re.compile(r"\w+")


def shingles(text: str, words: int) -> frozenset[str]:
    """Return the set of word n-grams of a text, case folded; a shorter text is one shingle."""
    tokens = _WORD.findall(text.casefold())
    if len(tokens) <= words:
        return frozenset([" ".join(tokens)])
    return frozenset(" ".join(tokens[start : start + words]) for start in range(len(tokens) - words + 1))


def cluster(texts: list[str], params: NearDuplicates) -> np.ndarray:
    """Return a cluster number for each text, int32 of shape (texts,), numbered by first member.

    Candidate pairs share a band of their MinHash signatures (Broder 1997; Leskovec et al., *Mining of Massive
    Datasets*, ch. 3); a pair is joined when the exact Jaccard similarity of its shingles reaches the threshold,
    so that texts which differ in the decisive word are not merged by hash luck.
    """
    sets = [shingles(text, params.shingle_words) for text in texts]
    # Sorted: the signature does not depend on order, but the bytes handed over should not depend on the hash seed.
    signatures = np.array(
        [digest for digest in RMinHash.digests_from_token_sets([sorted(one) for one in sets], params.permutations, 42)],
        dtype=np.uint32,
    ).reshape(len(texts), params.permutations)
    joined = DisjointSet(range(len(texts)))
    for bucket in _buckets(signatures, params.threshold):
        for left, right in combinations(bucket, 2):
            if joined.connected(left, right):
                continue  # copies of one text are compared once, not pair by pair
            shared = len(sets[left] & sets[right])
            if shared >= params.threshold * (len(sets[left]) + len(sets[right]) - shared):
                joined.merge(left, right)
    return renumber(np.array([joined[row] for row in range(len(texts))], dtype=np.int64))


def renumber(labels: np.ndarray) -> np.ndarray:
    """Return groups numbered 0, 1, … in the order in which they first appear; int32."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int32)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first), dtype=np.int32)
    return rank[inverse]


def _buckets(signatures: np.ndarray, threshold: float) -> Iterator[list[int]]:
    """Yield the texts that share a band of the signature, for every band, where there are several."""
    permutations = signatures.shape[1]
    width = _band_width(permutations, threshold)
    for start in range(0, permutations - width + 1, width):
        buckets: dict[bytes, list[int]] = defaultdict(list)
        for row, band in enumerate(np.ascontiguousarray(signatures[:, start : start + width])):
            buckets[band.tobytes()].append(row)
        yield from (members for members in buckets.values() if len(members) > 1)


def _band_width(permutations: int, threshold: float) -> int:
    """Choose the widest band that still finds 99 % of the pairs at the threshold: 1 - (1 - t^w)^(n/w)."""
    for width in range(permutations, 0, -1):
        if 1 - (1 - threshold**width) ** (permutations // width) >= 0.99:
            return width
    return 1

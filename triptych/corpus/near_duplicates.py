"""Near-duplicate clusters: MinHash LSH proposes pairs, exact Jaccard similarity decides."""

import re
from collections import defaultdict
from itertools import pairwise

import numpy as np
from rensa import RMinHash
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

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
    so that texts which differ in the decisive word are not merged by hash luck. Cost is linear in the texts but
    for the pairs within a band's bucket, of which only neighbors are compared.
    """
    sets = [shingles(text, params.shingle_words) for text in texts]
    # Sorted: the signature does not depend on order, but the bytes handed over should not depend on the hash seed.
    signatures = np.array(
        [digest for digest in RMinHash.digests_from_token_sets([sorted(one) for one in sets], params.permutations, 42)],
        dtype=np.uint32,
    ).reshape(len(texts), params.permutations)
    rows, columns = [], []
    for left, right in sorted(_candidates(signatures, params.threshold)):
        shared = len(sets[left] & sets[right])
        if shared >= params.threshold * (len(sets[left]) + len(sets[right]) - shared):
            rows.append(left)
            columns.append(right)
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(len(texts), len(texts)))
    return renumber(connected_components(graph, directed=False)[1])


def renumber(labels: np.ndarray) -> np.ndarray:
    """Return groups numbered 0, 1, … in the order in which they first appear; int32."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int32)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first), dtype=np.int32)
    return rank[inverse]


def _candidates(signatures: np.ndarray, threshold: float) -> set[tuple[int, int]]:
    """Pair each text with the next one in its bucket, for every band of the signature."""
    permutations = signatures.shape[1]
    width = _band_width(permutations, threshold)
    pairs: set[tuple[int, int]] = set()
    for start in range(0, permutations - width + 1, width):
        buckets: dict[bytes, list[int]] = defaultdict(list)
        for row, band in enumerate(np.ascontiguousarray(signatures[:, start : start + width])):
            buckets[band.tobytes()].append(row)
        for members in buckets.values():
            pairs.update(pairwise(members))
    return pairs


def _band_width(permutations: int, threshold: float) -> int:
    """Choose the widest band that still finds 99 % of the pairs at the threshold: 1 - (1 - t^w)^(n/w)."""
    for width in range(permutations, 0, -1):
        if 1 - (1 - threshold**width) ** (permutations // width) >= 0.99:
            return width
    return 1

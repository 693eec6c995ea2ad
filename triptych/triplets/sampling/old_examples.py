"""Old examples beside new ones: how many of those that an embedder has learned from before are learned from again."""

import numpy as np

from triptych.triplets.examples import Examples


def limit_old(examples: Examples, known: np.ndarray, share: float, seed: int) -> Examples:
    """Return all examples about new chunks, and old ones up to a share of the result, drawn by seed.

    ``known`` says of each chunk of the corpus whether it is old, bool of shape (chunks,). Where no example is new, all
    are returned. The order stays.
    """
    old = known[examples.positive_chunk]
    rows, new = np.flatnonzero(old), int((~old).sum())
    if not new or share >= 1.0:
        return examples
    most = round(new * share / (1.0 - share))
    drawn = np.random.default_rng(seed).permutation(rows)[:most]
    return examples.select(np.sort(np.concatenate([np.flatnonzero(~old), drawn])))

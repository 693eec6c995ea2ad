"""Length statistics of tokenized texts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

_BIN, _BINS = 16, 64  # tokens


def statistics(rows: Sequence[Sequence[int]], anchors: Sequence[int], max_length: int) -> dict[str, Any]:
    """Return the average, 90th and 95th percentile length of anchors and of all texts, and the share truncated.

    Lengths are in tokens before truncation, special tokens included; ``anchors`` holds the text ids of the
    anchors, one for each example. ``lengths`` is their histogram in steps of 16 tokens, all over 1024 in the last.
    """
    lengths = np.array([len(row) for row in rows])
    figures: dict[str, Any] = {"share_truncated": float((lengths > max_length).mean())}
    for name, chosen in (
        ("anchor_length", lengths[np.asarray(anchors, dtype=np.int64)]),
        ("length", lengths),
    ):
        figures[f"avg_{name}"] = float(chosen.mean())
        figures[f"p90_{name}"] = int(np.percentile(chosen, 90, method="higher"))
        figures[f"p95_{name}"] = int(np.percentile(chosen, 95, method="higher"))
    bins = np.minimum((lengths - 1) // _BIN, _BINS - 1)  # the last holds all that are longer
    figures["lengths"] = [
        {"up_to": (number + 1) * _BIN, "texts": texts} for number, texts in enumerate(np.bincount(bins).tolist())
    ]
    return figures

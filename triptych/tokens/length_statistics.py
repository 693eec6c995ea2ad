"""Length statistics of tokenized texts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from triptych.tokens.token_rows import TokenRows, row_lengths

_BIN, _BINS = 16, 64  # tokens


def statistics(
    rows: TokenRows | Sequence[Sequence[int]], anchors: Sequence[int] | np.ndarray, max_length: int
) -> dict[str, Any]:
    """Return the mean, 90th and 95th percentile of the lengths of anchors and of all texts, and the share truncated.

    Lengths are in tokens before truncation, including special tokens; ``anchors`` holds the text id of each example's
    anchor. Where there are no anchors, their lengths are None. ``lengths`` is the histogram of all texts in bins of 16
    tokens; the last includes all above 1024.
    """
    lengths = row_lengths(rows)
    result: dict[str, Any] = {"share_truncated": float((lengths > max_length).mean())}
    for name, chosen in (
        ("anchor_length", lengths[np.asarray(anchors, dtype=np.int64)]),
        ("length", lengths),
    ):
        result[f"avg_{name}"] = float(chosen.mean()) if len(chosen) else None
        for percent in (90, 95):
            value = int(np.percentile(chosen, percent, method="higher")) if len(chosen) else None
            result[f"p{percent}_{name}"] = value
    bins = np.minimum((lengths - 1) // _BIN, _BINS - 1)  # the last includes all longer texts
    result["lengths"] = [
        {"up_to": (index + 1) * _BIN, "texts": count} for index, count in enumerate(np.bincount(bins).tolist())
    ]
    return result

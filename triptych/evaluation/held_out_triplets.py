"""Triplet measures beside the verdict: health, not proof.

They ask whether an anchor is nearer to its positive than to negatives that were chosen for it, not where the positive
stands among all chunks. A model can win nearly every triplet and rank worse than before, so no verdict rests on them;
a fall says that something went wrong in training.
"""

from typing import Any

BASELINE = "base"
_COMPARED = ("triplet_accuracy", "margin")


def against_base(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add to each row (system, category, tier, measures) how far accuracy and margin are from the base model's."""
    base = {(row["category"], row["tier"]): row for row in rows if row["system"] == BASELINE}
    return [
        row | {f"{name}_against_base": row[name] - base[row["category"], row["tier"]][name] for name in _COMPARED}
        for row in rows
    ]

"""Metrics of held-out triplets: a health check of training, not proof.

They compare a positive with negatives that were sampled for its anchor, not with all chunks. A model can win nearly
every triplet and retrieve worse than before, so no verdict uses them; a drop indicates that training failed.
"""

from typing import Any

BASELINE = "base"
_COMPARED = ("triplet_accuracy", "margin")


def against_base(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add to each row (system, category, tier, metrics) the differences of accuracy and margin to the base model's."""
    base = {(row["category"], row["tier"]): row for row in rows if row["system"] == BASELINE}
    return [
        row | {f"{name}_against_base": row[name] - base[row["category"], row["tier"]][name] for name in _COMPARED}
        for row in rows
    ]

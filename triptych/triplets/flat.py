"""The flat view ``anchor,positive,negative,difficulty,category`` of a round: one triplet for each example."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from triptych.artifacts import write_table
from triptych.params import Triplets
from triptych.triplets.examples import Example, write_examples
from triptych.triplets.sampling import Triplet, sample, tier_shares
from triptych.triplets.tiers import TIERS


def write_round(
    folder: Path, examples: list[Example], texts: list[str], passages: list[int], params: Triplets
) -> dict[str, Any]:
    """Write a round's examples and their flat view, and return its figures: the mix wanted and got, per category."""
    triplets = sample(examples, params.views, params.mix, len(examples), params.seed)
    write_examples(folder / "examples.parquet", examples)
    write_table(folder / "triplets.parquet", _flat(triplets, texts, passages))
    return {
        "examples": len(examples),
        "examples_by_view": dict(sorted(Counter(one.view for one in examples).items())),
        "examples_by_category": dict(sorted(Counter(one.category for one in examples).items())),
        "triplets": len(triplets),
        "triplets_missing": len(examples) - len(triplets),
        "triplets_by_view": dict(sorted(Counter(one.example.view for one in triplets).items())),
        "mix_wanted": params.mix.model_dump(),
        "mix": tier_shares(triplets),
        "strategies": dict(sorted(Counter(n.strategy for one in examples for n in one.negatives).items())),
        "pool_size": {
            tier: sum(n.tier == tier for one in examples for n in one.negatives) / max(len(examples), 1)
            for tier in TIERS
        },
    }


def _flat(triplets: list[Triplet], texts: list[str], passages: list[int]) -> pa.Table:
    return pa.table(
        {
            "anchor": [texts[one.example.anchor] for one in triplets],
            "positive": [texts[one.example.positive] for one in triplets],
            "negative": [texts[passages[one.negative.chunk]] for one in triplets],
            "difficulty": [one.negative.tier for one in triplets],
            "category": [one.example.category for one in triplets],
        }
    )

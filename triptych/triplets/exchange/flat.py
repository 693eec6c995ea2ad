"""Triplets as a flat table of texts, for other trainers: one sampled epoch, and metrics of its mix."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from triptych.artifacts import ROW_GROUP, writing_table
from triptych.ids import TextIds
from triptych.params.triplets import Triplets
from triptych.triplets.examples import Examples, write_examples
from triptych.triplets.negatives import STRATEGIES, TIERS
from triptych.triplets.sampling.epoch_sampler import LARGEST_EPOCH, sample, tier_shares
from triptych.triplets.sampling.tier_sampler import SampledTriplets
from triptych.triplets.views import VIEWS

FLAT = ("anchor", "positive", "negative", "difficulty", "category")
IDS = ("positive_id", "negative_id")  # after these five columns, for importing the table again
_SCHEMA = pa.schema([(name, pa.string()) for name in FLAT + IDS])


def write_round(
    folder: Path,
    examples: Examples,
    texts: list[str],
    passage_ids: TextIds,
    chunk_ids: list[str],
    params: Triplets,
    profile: str,
) -> tuple[SampledTriplets, dict[str, Any]]:
    """Write the examples of a round and its first epoch as a flat table; return that epoch and metrics of both.

    An epoch has as many triplets as there are examples, at most `LARGEST_EPOCH`. ``passage_ids`` holds the text id of
    each chunk.
    """
    triplets = sample(examples, params, profile, 0, params.seed, min(len(examples), LARGEST_EPOCH))
    write_examples(folder / "examples.parquet", examples)
    with writing_table(folder / "triplets.parquet", _SCHEMA) as write:
        for start in range(0, max(len(triplets.example), 1), ROW_GROUP):
            part = slice(start, start + ROW_GROUP)
            write(_flat(examples, triplets.example[part], triplets.negative[part], texts, passage_ids, chunk_ids))
    return triplets, triplet_metrics(examples, triplets) | {
        "mix_wanted": getattr(params.profiles, profile).model_dump()
    }


def triplet_metrics(examples: Examples, triplets: SampledTriplets) -> dict[str, Any]:
    """Return counts of examples and triplets, the mix, strategies, pool sizes, and overlaps by tier."""
    pool = examples.pool
    in_tier = {tier: pool.tier == number for number, tier in enumerate(TIERS)}
    has_overlap = pool.strategy < STRATEGIES.index("mined")  # mined and imported negatives have none
    return {
        "examples": len(examples),
        "examples_by_view": _counts(examples.view, VIEWS),
        "examples_by_category": _counts(examples.category, examples.categories),
        "triplets": len(triplets.example),
        "triplets_by_view": _counts(examples.view[triplets.example], VIEWS),
        "triplets_by_category": _counts(examples.category[triplets.example], examples.categories),
        "mix": tier_shares(examples, triplets),
        "shortfall": triplets.shortfall,
        "strategies": _counts(pool.strategy, STRATEGIES),
        "pool_size": {tier: float(mask.sum()) / max(len(examples), 1) for tier, mask in in_tier.items()},
        "overlap": {
            tier: {"path": float(pool.path[mask].mean()), "lexical": float(pool.lexical[mask].mean())}
            for tier, mask in ((tier, mask & has_overlap) for tier, mask in in_tier.items())
            if mask.any()
        },
    }


def _counts(codes: np.ndarray, names: Sequence[str]) -> dict[str, int]:
    """Count by name, without a string for each of what may be tens of millions."""
    numbers = np.bincount(codes, minlength=len(names)).tolist()
    return dict(sorted((name, number) for name, number in zip(names, numbers, strict=True) if number))


def _flat(
    examples: Examples,
    rows: np.ndarray,
    negatives: np.ndarray,
    texts: list[str],
    passage_ids: TextIds,
    chunk_ids: list[str],
) -> pa.Table:
    pool = examples.pool
    negative_chunks = pool.chunk[negatives]
    columns = (
        [texts[text_id] for text_id in examples.anchor[rows].tolist()],
        [texts[text_id] for text_id in examples.positive[rows].tolist()],
        [texts[text_id] for text_id in passage_ids[negative_chunks].tolist()],
        [TIERS[tier] for tier in pool.tier[negatives].tolist()],
        [examples.categories[category] for category in examples.category[rows].tolist()],
        [chunk_ids[chunk] for chunk in examples.positive_chunk[rows].tolist()],
        [chunk_ids[chunk] for chunk in negative_chunks.tolist()],
    )
    return pa.table([pa.array(column, pa.string()) for column in columns], schema=_SCHEMA)

"""The flat view of triplets that other trainers eat: a draw of one epoch as texts, and what became of the mix."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from triptych.artifacts import write_table
from triptych.params.triplets import Triplets
from triptych.triplets.examples import Examples, write_examples
from triptych.triplets.negatives import STRATEGIES, TIERS
from triptych.triplets.sampling.epoch_sampler import sample, tier_shares
from triptych.triplets.sampling.tier_sampler import Draw
from triptych.triplets.views import VIEWS

FLAT = ("anchor", "positive", "negative", "difficulty", "category")
IDS = ("positive_id", "negative_id")  # behind the five, for whoever reads them back


def write_round(
    folder: Path,
    examples: Examples,
    texts: list[str],
    passages: list[int],
    chunk_ids: list[str],
    params: Triplets,
    profile: str,
) -> tuple[Draw, dict[str, Any]]:
    """Write the examples of a round and the flat view of its first epoch; return that epoch and figures of both."""
    draw = sample(examples, params, profile, 0, params.seed)
    write_examples(folder / "examples.parquet", examples)
    write_table(folder / "triplets.parquet", _flat(examples, draw, texts, passages, chunk_ids))
    return draw, figures(examples, draw) | {"mix_wanted": getattr(params.profiles, profile).model_dump()}


def figures(examples: Examples, draw: Draw) -> dict[str, Any]:
    """Return counts of examples and triplets, the mix, strategies, pool sizes, and overlaps by tier."""
    pool = examples.pool
    of_tier = {tier: pool.tier == number for number, tier in enumerate(TIERS)}
    measured = pool.strategy < STRATEGIES.index("mined")  # mined and imported negatives have no overlaps
    return {
        "examples": len(examples),
        "examples_by_view": _counts(np.array(VIEWS)[examples.view]),
        "examples_by_category": _counts(np.array(examples.categories)[examples.category]),
        "triplets": len(draw.example),
        "triplets_by_view": _counts(np.array(VIEWS)[examples.view[draw.example]]),
        "triplets_by_category": _counts(np.array(examples.categories)[examples.category[draw.example]]),
        "mix": tier_shares(examples, draw),
        "shortfall": draw.short,
        "strategies": _counts(np.array(STRATEGIES)[pool.strategy]),
        "pool_size": {tier: float(chosen.sum()) / max(len(examples), 1) for tier, chosen in of_tier.items()},
        "overlap": {
            tier: {"path": float(pool.path[chosen].mean()), "lexical": float(pool.lexical[chosen].mean())}
            for tier, chosen in ((tier, chosen & measured) for tier, chosen in of_tier.items())
            if chosen.any()
        },
    }


def _counts(names: np.ndarray) -> dict[str, int]:
    return dict(sorted(Counter(names.tolist()).items()))


def _flat(examples: Examples, draw: Draw, texts: list[str], passages: list[int], chunk_ids: list[str]) -> pa.Table:
    pool = examples.pool
    positives, negatives = examples.positive_chunk[draw.example].tolist(), pool.chunk[draw.negative].tolist()
    columns = (
        [texts[one] for one in examples.anchor[draw.example].tolist()],
        [texts[one] for one in examples.positive[draw.example].tolist()],
        [texts[passages[one]] for one in negatives],
        [TIERS[one] for one in pool.tier[draw.negative].tolist()],
        [examples.categories[one] for one in examples.category[draw.example].tolist()],
        [chunk_ids[one] for one in positives],
        [chunk_ids[one] for one in negatives],
    )
    return pa.table({name: pa.array(column, pa.string()) for name, column in zip(FLAT + IDS, columns, strict=True)})

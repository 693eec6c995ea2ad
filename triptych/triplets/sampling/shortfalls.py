"""Warnings where the triplets of a category fall short of what was asked for: the cause, and what to change."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from triptych.params.triplets import Triplets
from triptych.triplets.examples import Examples
from triptych.triplets.negatives import STRATEGIES, TIERS
from triptych.triplets.sampling.epoch_sampler import LARGEST_EPOCH
from triptych.triplets.sampling.tier_sampler import SampledTriplets

_MIN_TRIPLETS_PER_CHUNK = 0.25
_MISSING_FROM = 0.01  # warn where more than this share of a category's triplets is missing
_EMPTY_FROM = 0.25  # warn where at least this share of a category's anchors has an empty tier
_CROSS_CATEGORY_FROM = 0.01  # warn where the share of hard negatives of another category is lower by more than this
_CROSS_CATEGORY = [number for number, name in enumerate(STRATEGIES) if name.endswith("cross_category")]
_MORE_CANDIDATES = {
    "embedder": {
        "easy": "bring another category or more files",
        "medium": "widen triplets.tiers.medium.path or .lexical",
        "hard": "lower triplets.tiers.hard.lexical_min or path_min",
    },
    "reranker": {
        "easy": "bring more chunks under one top heading",
        "medium": "lower triplets.tiers.medium.lexical",
        "hard": "raise triplets.candidates.lexical",
    },
}


def shortfall_warnings(
    examples: Examples,
    triplets: SampledTriplets,
    related: np.ndarray,
    considered: np.ndarray,
    chunks: Counter[str],
    params: Triplets,
    profile: str,
) -> list[str]:
    """Return a sentence for each shortfall; none if nothing is missing.

    ``considered`` and ``related`` count the candidates of each example and those of them that were left out as related
    to a positive; ``chunks`` counts the train chunks of each category.
    """
    distinct = np.unique(np.stack([triplets.example, triplets.negative]), axis=1)[0]
    sizes = Counter(examples.categories[number] for number in examples.category[distinct].tolist())
    sampled = min(1.0, LARGEST_EPOCH / max(len(examples), 1))
    warnings: list[str] = []
    for number, category in enumerate(examples.categories):
        rows = np.flatnonzero(examples.category == number)
        warnings += _empty_tiers(examples, rows, category, profile)
        if considered[rows].sum() and related[rows].sum() == considered[rows].sum():
            warnings.append(
                f"{category}: every candidate is related to its positive (near-duplicate, same section, equal title or"
                " linked), so there are no negatives; raise split.near_duplicates.threshold or bring other texts"
            )
        warnings += _missing_triplets(triplets, category, sizes[category])
    for category, chunk_count in sorted(chunks.items()):
        minimum = max(params.min_triplets_per_category, round(_MIN_TRIPLETS_PER_CHUNK * chunk_count * sampled))
        if sizes[category] < minimum:
            warnings.append(
                f"{category}: {sizes[category]} distinct triplets of {chunk_count} chunks, fewer than {minimum}; raise"
                " triplets.anchors_per_chunk, give heading, lead or sentence a share of triplets.views, or bring more"
                " text"
            )
    share = cross_category_share(examples)
    if len(chunks) > 1 and share is not None and share < params.cross_category_hard - _CROSS_CATEGORY_FROM:
        warnings.append(
            f"{profile}: {share:.1%} of the hard negatives are from another category, fewer than"
            f" triplets.cross_category_hard ({params.cross_category_hard:.0%}): too few chunks of other categories are"
            f" that similar; {_MORE_CANDIDATES[profile]['hard']}, or accept it"
        )
    return warnings


def cross_category_share(examples: Examples) -> float | None:
    """Return the share of the hard negatives in the pools that are from another category than the anchor's positive.

    Imported negatives, which no rule chose, do not count. None if there are no hard negatives.
    """
    pool = examples.pool
    hard = (pool.tier == TIERS.index("hard")) & (pool.strategy != STRATEGIES.index("imported"))
    return float(np.isin(pool.strategy[hard], _CROSS_CATEGORY).mean()) if hard.any() else None


def _empty_tiers(examples: Examples, rows: np.ndarray, category: str, profile: str) -> Iterator[str]:
    """Name the tiers for which many anchors of a category have no candidate."""
    pool = examples.pool
    for tier, name in enumerate(TIERS):
        has_tier = np.bincount(pool.anchors[pool.tier == tier], minlength=len(examples))[rows] > 0
        empty = 1 - float(has_tier.mean()) if len(rows) else 0.0
        if empty >= _EMPTY_FROM:
            yield (
                f"{category}: {empty:.0%} of the anchors have no {name} negative for the {profile};"
                f" {_MORE_CANDIDATES[profile][name]}"
            )


def _missing_triplets(triplets: SampledTriplets, category: str, size: int) -> Iterator[str]:
    shortfall = triplets.shortfall.get(category, {"missing": 0})
    capped = any(cause.endswith("_capped") for cause in shortfall)
    if shortfall["missing"] > _MISSING_FROM * size:
        cause = "caps" if capped else "tiers without candidates"
        remedy = "raise triplets.cap_per_negative or cap_per_anchor" if capped else "see the tiers named above"
        yield f"{category}: {shortfall['missing']} triplets fewer than wanted so that the mix holds ({cause}); {remedy}"

"""What fell short of the promises, category by category: the cause, and what the user can do about it."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from triptych.params.triplets import Triplets
from triptych.triplets.examples import Examples
from triptych.triplets.negatives import TIERS
from triptych.triplets.sampling.tier_sampler import Draw

_SHARE_OF_CHUNKS = 0.25  # of a category's chunks, as many triplets it should have at least
_FEW = 0.01  # of the triplets may be missing without a word
_MANY = 0.25  # anchors without a full tier are worth a word from this share on
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
    draw: Draw,
    related: np.ndarray,
    looked: np.ndarray,
    chunks: Counter[str],
    params: Triplets,
    profile: str,
) -> list[str]:
    """Return sentences about what is missing; none if every promise is kept.

    ``related`` and ``looked`` count each example's candidates; ``chunks`` the train chunks of each category.
    """
    distinct = np.unique(np.stack([draw.example, draw.negative]), axis=1)[0]
    got = Counter(examples.categories[number] for number in examples.category[distinct].tolist())
    said: list[str] = []
    for number, category in enumerate(examples.categories):
        rows = np.flatnonzero(examples.category == number)
        said += _short_tiers(examples, rows, category, profile)
        if looked[rows].sum() and related[rows].sum() == looked[rows].sum():
            said.append(
                f"{category}: every candidate is related to its positive (near-duplicate, same section, equal title or"
                " linked), so there are no negatives; raise split.near_duplicates.threshold or bring other texts"
            )
        said += _caps(draw, category, got[category])
    for category, number in sorted(chunks.items()):
        floor = max(params.min_triplets_per_category, round(_SHARE_OF_CHUNKS * number))
        if got[category] < floor:
            said.append(
                f"{category}: {got[category]} distinct triplets of {number} chunks, fewer than {floor}; raise"
                " triplets.anchors_per_chunk, give heading, lead or sentence a share of triplets.views, or bring more"
                " text"
            )
    return said


def _short_tiers(examples: Examples, rows: np.ndarray, category: str, profile: str) -> Iterator[str]:
    """Name the tiers that many anchors of a category have no candidate for."""
    pool = examples.pool
    for tier, name in enumerate(TIERS):
        with_tier = np.bincount(pool.anchors[pool.tier == tier], minlength=len(examples))[rows] > 0
        empty = 1 - float(with_tier.mean()) if len(rows) else 0.0
        if empty >= _MANY:
            yield (
                f"{category}: {empty:.0%} of the anchors have no {name} negative for the {profile};"
                f" {_MORE_CANDIDATES[profile][name]}"
            )


def _caps(draw: Draw, category: str, got: int) -> Iterator[str]:
    short = draw.short.get(category, {"missing": 0})
    capped = any(cause.endswith("_capped") for cause in short)
    if short["missing"] > _FEW * got:
        cause = "caps" if capped else "tiers without candidates"
        remedy = "raise triplets.cap_per_negative or cap_per_anchor" if capped else "see the tiers named above"
        yield f"{category}: {short['missing']} triplets fewer than wanted so that the mix holds ({cause}); {remedy}"

"""How hard the negatives are for a model, tier by tier: easy, semi-hard, hard, and suspected false negatives."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from triptych.triplets.examples import Examples
from triptych.triplets.negatives import STRATEGIES, TIERS

ALL = "all"
_WARN_FROM = 0.15  # share of suspected false negatives in a tier from which advice is given
_TOO_EASY = 0.05  # share of active triplets below which a tier teaches nothing


@dataclass(frozen=True, slots=True)
class Similarities:
    """Cosine similarities under one model."""

    positive: np.ndarray  # float32, shape (examples,): anchor and positive
    negative: np.ndarray  # float32, shape (negatives,): anchor and each negative of its pool


def rate(examples: Examples, found: Similarities, margin: float, suspect: float) -> list[dict[str, Any]]:
    """Return a row for each category and tier, with all of each together: shares of all negatives in the pools.

    With s⁺ and s⁻ the similarities of positive and negative: easy, s⁻ < s⁺ - margin; semi-hard, within the margin;
    hard, s⁻ ≥ s⁺ (Schroff et al. 2015, FaceNet); suspected false negative, s⁻ ≥ ``suspect`` · s⁺ (after Moreira et
    al. 2024, NV-Retriever). Active are semi-hard and hard together: those that move a triplet loss.
    """
    anchors, tiers = examples.pool.anchors, examples.pool.tier
    positive, negative = found.positive[anchors], found.negative
    category = examples.category[anchors]
    rows = []
    for name in [ALL, *examples.categories]:
        for tier in [ALL, *TIERS]:
            chosen = np.ones(len(anchors), bool) if name == ALL else category == examples.categories.index(name)
            if tier != ALL:
                chosen &= tiers == TIERS.index(tier)
            if chosen.any():
                rows.append(
                    {"category": name, "tier": tier} | _shares(positive[chosen], negative[chosen], margin, suspect)
                )
    return rows


def _shares(positive: np.ndarray, negative: np.ndarray, margin: float, suspect: float) -> dict[str, float]:
    easy, hard = negative < positive - margin, negative >= positive
    limit = positive - (1 - suspect) * np.abs(positive)  # below the positive, whatever its sign
    return {
        "negatives": len(negative),
        "easy": float(easy.mean()),
        "semi_hard": float((~easy & ~hard).mean()),
        "hard": float(hard.mean()),
        "active": float((~easy).mean()),
        "suspected_false": float((negative >= limit).mean()),
        "mean_negative_similarity": float(negative.mean()),
        "mean_positive_similarity": float(positive.mean()),
    }


_FEWER_FALSE_NEGATIVES = {
    "embedder": {
        "easy": "give other_domain a larger share of triplets.tiers.easy.strategies",
        "medium": "lower the upper ends of triplets.tiers.medium.path and .lexical",
        "hard": "lower triplets.tiers.hard.lexical_max, or leave it to mine (mine.relative_margin)",
    },
    "reranker": dict.fromkeys(TIERS, "lower triplets.tiers.hard.lexical_max"),
}


def judgment(rows: list[dict[str, Any]], profile: str) -> list[str]:
    """Return what a person can act on: a sentence for each tier, all categories together."""
    said = []
    for row in rows:
        if row["category"] != ALL or row["tier"] == ALL:
            continue
        tier = row["tier"]
        sentence = f"{tier} tier: {row['suspected_false']:.0%} suspected false negatives, {row['active']:.0%} active"
        if row["suspected_false"] >= _WARN_FROM:
            sentence += f"; {_FEWER_FALSE_NEGATIVES[profile][tier]}"
        elif tier == "hard" and row["active"] < _TOO_EASY:
            sentence += "; these teach little: raise triplets.tiers.hard.lexical_min, or mine more rounds"
        said.append(sentence)
    return said


def readable(
    examples: Examples, found: Similarities, texts: list[str], passages: list[int], number: int, seed: int
) -> list[dict[str, Any]]:
    """Return ``number`` triplets of each tier, chosen by seed, as a person reads them."""
    pool, anchors = examples.pool, examples.pool.anchors
    random = np.random.default_rng(seed)
    rows = []
    for tier, name in enumerate(TIERS):
        places = np.flatnonzero(pool.tier == tier)
        for place in np.sort(random.choice(places, min(number, len(places)), replace=False)).tolist():
            example = examples[int(anchors[place])]
            rows.append(
                {
                    "tier": name,
                    "strategy": STRATEGIES[pool.strategy[place]],
                    "view": example.view,
                    "category": example.category,
                    "anchor": texts[example.anchor],
                    "positive": texts[example.positive],
                    "negative": texts[passages[pool.chunk[place]]],
                    "path": float(pool.path[place]),
                    "lexical": float(pool.lexical[place]),
                    "positive_similarity": float(found.positive[anchors[place]]),
                    "negative_similarity": float(found.negative[place]),
                }
            )
    return rows

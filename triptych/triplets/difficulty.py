"""How hard the negatives are for a model, by tier: easy, semi-hard, hard, and suspected false negatives."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from triptych.corpus.records import ALL
from triptych.ids import TextIds
from triptych.triplets.examples import Examples
from triptych.triplets.negatives import STRATEGIES, TIERS, score_limit
from triptych.triplets.views import VIEWS

_WARN_FROM = 0.15  # advise from this share of suspected false negatives in a tier
_TOO_EASY = 0.05  # below this share of active triplets, a tier adds little to the loss


@dataclass(frozen=True, slots=True)
class Similarities:
    """Cosine similarities under one model."""

    positive: np.ndarray  # float32, shape (examples,): anchor and positive
    negative: np.ndarray  # float32, shape (negatives,): anchor and each negative of its pool


def tier_difficulty(
    examples: Examples, similarities: Similarities, margin: float, suspect: float
) -> list[dict[str, Any]]:
    """Return a row for each category and tier, and for all of each together: shares of the negatives in the pools.

    With s⁺ and s⁻ the similarities of positive and negative: easy, s⁻ < s⁺ - margin; semi-hard, within the margin;
    hard, s⁻ ≥ s⁺ (Schroff et al. 2015, FaceNet); suspected false negative, s⁻ ≥ ``suspect`` · s⁺ (after Moreira et
    al. 2024, NV-Retriever). Active are semi-hard and hard together: those with a triplet loss above zero.
    """
    anchors, tiers = examples.pool.anchors, examples.pool.tier
    positive, negative = similarities.positive[anchors], similarities.negative
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


def rate_triplet(positive: float, negative: float, margin: float, suspect: float) -> tuple[str, str]:
    """Return how hard one triplet is, easy, semi-hard or hard as in `tier_difficulty`, and a sentence that says why.

    ``positive`` and ``negative`` are the cosine similarities of anchor and positive, and of anchor and negative.
    """
    one, other = np.float32(positive), np.float32(negative)
    easy, hard = _easy_and_hard(np.array([one]), np.array([other]), margin)
    distance = abs(positive - negative)
    if easy[0]:
        rating = "easy"
        why = f"the negative is {distance:.2f} less similar than the positive, more than the margin of {margin:g}"
    elif hard[0]:
        rating, why = "hard", f"the model finds the negative as similar as the positive or more, by {distance:.2f}"
    else:
        rating = "semi-hard"
        why = f"the negative is only {distance:.2f} less similar than the positive, within the margin of {margin:g}"
    if other >= score_limit(np.array([one]), suspect)[0]:
        why += "; so similar that it may be a right answer: read it"
    elif easy[0]:
        why += "; it teaches this model little"
    return rating, why


def _easy_and_hard(positive: np.ndarray, negative: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    return negative < positive - margin, negative >= positive


def _shares(positive: np.ndarray, negative: np.ndarray, margin: float, suspect: float) -> dict[str, float]:
    easy, hard = _easy_and_hard(positive, negative, margin)
    return {
        "negatives": len(negative),
        "easy": float(easy.mean()),
        "semi_hard": float((~easy & ~hard).mean()),
        "hard": float(hard.mean()),
        "active": float((~easy).mean()),
        "suspected_false": float((negative >= score_limit(positive, suspect)).mean()),
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


def tier_sentences(rows: list[dict[str, Any]], profile: str) -> list[str]:
    """Return a sentence for each tier over all categories, with advice where it is needed."""
    sentences = []
    for row in rows:
        if row["category"] != ALL or row["tier"] == ALL:
            continue
        tier = row["tier"]
        sentence = f"{tier} tier: {row['suspected_false']:.0%} suspected false negatives, {row['active']:.0%} active"
        if row["suspected_false"] >= _WARN_FROM:
            sentence += f"; {_FEWER_FALSE_NEGATIVES[profile][tier]}"
        elif tier == "hard" and row["active"] < _TOO_EASY:
            sentence += "; these teach little: raise triplets.tiers.hard.lexical_min, or mine more rounds"
        sentences.append(sentence)
    return sentences


def sample_with_texts(
    examples: Examples, similarities: Similarities, texts: list[str], passage_ids: TextIds, number: int, seed: int
) -> list[dict[str, Any]]:
    """Return ``number`` triplets of each tier, sampled by seed, with their texts and scores.

    ``passage_ids`` holds the text id of each chunk.
    """
    pool, anchors = examples.pool, examples.pool.anchors
    random = np.random.default_rng(seed)
    rows = []
    for tier, name in enumerate(TIERS):
        of_tier = np.flatnonzero(pool.tier == tier)
        for negative in np.sort(random.choice(of_tier, min(number, len(of_tier)), replace=False)).tolist():
            example = anchors[negative]
            rows.append(
                {
                    "tier": name,
                    "strategy": STRATEGIES[pool.strategy[negative]],
                    "view": VIEWS[examples.view[example]],
                    "category": examples.categories[examples.category[example]],
                    "anchor": texts[examples.anchor[example]],
                    "positive": texts[examples.positive[example]],
                    "negative": texts[passage_ids[pool.chunk[negative]]],
                    "path": float(pool.path[negative]),
                    "lexical": float(pool.lexical[negative]),
                    "positive_similarity": float(similarities.positive[example]),
                    "negative_similarity": float(similarities.negative[negative]),
                }
            )
    return rows

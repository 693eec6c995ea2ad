"""What a round of mining found, took and threw away, per category, and the margin that its scores suggest."""

from typing import Any

import numpy as np

from triptych.triplets.examples import Examples
from triptych.triplets.false_negatives import RULES
from triptych.triplets.negatives import STRATEGIES, TIERS, Pool

REASONS = (*RULES, "other_answer", "above_relative_margin", "skipped_top", "not_needed", "same_words", "guide")
ALL = "all"
_STEP = 0.01
_BINS = 200  # closeness 0 to 2; what lies beyond counts with the last
_WARN_FROM = 0.25  # share of a category's anchors without a mined negative from which it is said
_KNOWN = [REASONS.index(one) for one in ("same_text", "near_duplicate", "other_answer")]  # positives, if unlabeled ones
_HARD = TIERS.index("hard")
_MINED = (STRATEGIES.index("mined"), STRATEGIES.index("mined_cross_category"))


def closeness(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Return score / positive, generalized to any sign as 1 + (score - positive) / |positive|, as the margin cuts."""
    return 1 + (scores - positive) / np.maximum(np.abs(positive), 1e-6)


class MiningMetrics:
    """Counts over the blocks of a round: by category, as histograms where a distribution is wanted."""

    def __init__(self, categories: tuple[str, ...], margin: float) -> None:
        self._categories, self._margin = categories, margin
        number = len(categories)
        self._reasons = np.zeros((number, len(REASONS)), np.int64)
        self._histograms = {
            name: np.zeros((number, _BINS), np.int64) for name in ("candidates", "known", "unrelated", "left", "hard")
        }
        names = ("examples", "hard_negatives", "kept", "short", "fallback", "empty", "pool_above_relative_margin")
        self._counts = {name: np.zeros(number, np.int64) for name in names}

    def candidates(
        self, block: Examples, chunks: np.ndarray, scores: np.ndarray, positive: np.ndarray, reasons: np.ndarray
    ) -> None:
        """Count what was found for a block, and the reasons against it; the positive itself is no candidate."""
        found = np.isfinite(scores) & (chunks != block.positive_chunk[:, None])
        category = np.broadcast_to(block.category[:, None], chunks.shape)[found].astype(np.int64)
        close, reason = closeness(scores, positive[:, None])[found], reasons[found]
        against = reason >= 0
        keys = category[against] * len(REASONS) + reason[against]
        self._reasons += np.bincount(keys, minlength=self._reasons.size).reshape(self._reasons.shape)
        known, unrelated = np.isin(reason, _KNOWN), ~against | (reason > REASONS.index("other_answer"))
        for name, chosen in (("candidates", found[found]), ("known", known), ("unrelated", unrelated)):
            self._add(name, category[chosen], close[chosen])

    def pools(
        self, block: Examples, pool: Pool, scores: np.ndarray, positive: np.ndarray, pooled: np.ndarray, size: int
    ) -> None:
        """Count what a block's pools have become, against what they were (``block.pool``, of scores ``pooled``)."""
        category = block.category.astype(np.int64)
        number = int(max(pool.chunk.max(initial=0), block.pool.chunk.max(initial=0))) + 1
        close = closeness(scores, positive[pool.anchors])
        hard, was_hard = pool.tier == _HARD, block.pool.tier == _HARD
        before = block.pool.anchors[was_hard] * number + block.pool.chunk[was_hard]
        kept = np.isin(pool.anchors[hard] * number + pool.chunk[hard], before)
        of_anchor = np.bincount(pool.anchors[hard], minlength=len(block))
        mined = np.bincount(pool.anchors[hard & np.isin(pool.strategy, _MINED)], minlength=len(block))
        cleared = pooled >= positive[block.pool.anchors] - (1 - self._margin) * np.abs(positive[block.pool.anchors])
        for name, who in (
            ("examples", category),
            ("hard_negatives", category[pool.anchors[hard]]),
            ("kept", category[pool.anchors[hard][kept]]),
            ("short", category[of_anchor < size]),
            ("fallback", category[(mined == 0) & (of_anchor > 0)]),
            ("empty", category[np.diff(pool.offsets) == 0]),
            ("pool_above_relative_margin", category[block.pool.anchors[cleared]]),
        ):
            self._counts[name] += np.bincount(who, minlength=len(self._categories))
        self._add("left", category[pool.anchors], close)
        self._add("hard", category[pool.anchors[hard]], close[hard])

    def of_round(self) -> dict[str, Any]:
        """Return the figures of each category and of all together."""
        every = {name: [number] for number, name in enumerate(self._categories)}
        return {name: self._of(rows) for name, rows in ({ALL: list(range(len(self._categories)))} | every).items()}

    def _of(self, rows: list[int]) -> dict[str, Any]:
        count = {name: int(values[rows].sum()) for name, values in self._counts.items()}
        histogram = {name: values[rows].sum(axis=0) for name, values in self._histograms.items()}
        rejected = dict(zip(REASONS, self._reasons[rows].sum(axis=0).tolist(), strict=True))
        suggested = suggested_margin(histogram["known"], histogram["unrelated"])
        above = 0 if suggested is None else int(histogram["left"][round(suggested / _STEP) :].sum())
        return {
            "examples": count["examples"],
            "candidates": int(histogram["candidates"].sum()),
            "rejected": rejected | {"pool_above_relative_margin": count["pool_above_relative_margin"]},
            "hard_negatives": count["hard_negatives"],
            "churn": 1 - count["kept"] / max(count["hard_negatives"], 1),
            "examples_short": count["short"],
            "examples_fallback": count["fallback"],
            "examples_empty": count["empty"],
            "hardness": mean(histogram["hard"]),
            "closeness": {f"p{q}": quantile(histogram["candidates"], q / 100) for q in (10, 50, 90, 99)},
            "closeness_known": {f"p{q}": quantile(histogram["known"], q / 100) for q in (10, 50, 90)},
            "suggested_margin": suggested,
            "suspected_false_left": None if suggested is None else above / max(int(histogram["left"].sum()), 1),
        }

    def _add(self, name: str, category: np.ndarray, close: np.ndarray) -> None:
        places = np.clip(np.floor(close / _STEP), 0, _BINS - 1).astype(np.int64)
        counts = np.bincount(category * _BINS + places, minlength=self._histograms[name].size)
        self._histograms[name] += counts.reshape(-1, _BINS)


def suggested_margin(known: np.ndarray, unrelated: np.ndarray) -> float | None:
    """Return the closeness at which a cut by score alone best parts known positives from unrelated candidates.

    Both are histograms. Known are candidates that say the same as the positive or answer the same words; that unlabeled
    positives lie where they do is what the suggestion rests on. Best is Youden's J, the share of the known above the
    cut less that of the unrelated (Youden 1950); of equals the lowest. None where there is nothing of either kind.
    """
    if not known.sum() or not unrelated.sum():
        return None
    under_known, under_unrelated = (np.r_[0, np.cumsum(one)] / one.sum() for one in (known, unrelated))
    return float(round(np.argmax(under_unrelated - under_known) * _STEP, 2))


def quantile(histogram: np.ndarray, share: float) -> float | None:
    """Return the middle of the bin at which a share of the counts is reached."""
    total = histogram.sum()
    if not total:
        return None
    return float((np.searchsorted(np.cumsum(histogram), share * total) + 0.5) * _STEP)


def mean(histogram: np.ndarray) -> float | None:
    """Return the mean of a histogram."""
    total = histogram.sum()
    return float(((np.arange(_BINS) + 0.5) * _STEP * histogram).sum() / total) if total else None


def advice(figures: dict[str, Any]) -> list[str]:
    """Return what a person can act on: a sentence for each category in which mining found little."""
    said = []
    for name, found in figures.items():
        if name == ALL or not found["examples"]:
            continue
        alone = found["examples_fallback"] + found["examples_empty"]
        if alone >= _WARN_FROM * found["examples"]:
            why = max(set(REASONS) - {"not_needed"}, key=lambda reason: (found["rejected"][reason], reason))
            said.append(
                f"category {name}: nothing mined for {alone} of {found['examples']} anchors (most often {why}); they"
                " keep the hard negatives of the round before; raise mine.depth or mine.relative_margin"
            )
    return said

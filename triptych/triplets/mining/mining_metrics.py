"""Metrics of a mining round by category: candidates found, taken and rejected, and the margin the scores suggest."""

from typing import Any

import numpy as np

from triptych.corpus.records import ALL
from triptych.ids import ChunkRows
from triptych.triplets.examples import Examples
from triptych.triplets.false_negatives import RULES
from triptych.triplets.negatives import STRATEGIES, TIERS, Pool, score_limit

REASONS = (*RULES, "other_answer", "above_relative_margin", "skipped_top", "not_needed", "same_words", "guide")
_STEP = 0.01
_BINS = 200  # closeness 0 to 2; the last bin includes all above
_WARN_FROM = 0.25  # warn from this share of a category's anchors without a mined negative
_KNOWN = [REASONS.index(reason) for reason in ("same_text", "near_duplicate", "other_answer")]  # unlabeled positives
_HARD = TIERS.index("hard")
_MINED = (STRATEGIES.index("mined"), STRATEGIES.index("mined_cross_category"))


def closeness(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Return score / positive, generalized to any sign as 1 + (score - positive) / |positive|; see `score_limit`.

    >>> closeness(np.array([0.4, -0.6]), np.array([0.5, -0.5])).round(2).tolist()
    [0.8, 0.8]
    """
    return 1 + (scores - positive) / np.maximum(np.abs(positive), 1e-6)


class MiningMetrics:
    """Counts and histograms by category, accumulated over the blocks of a round."""

    def __init__(self, categories: tuple[str, ...], margin: float) -> None:
        self._categories, self._margin = categories, margin
        number = len(categories)
        self._reasons = np.zeros((number, len(REASONS)), np.int64)
        self._histograms = {
            name: np.zeros((number, _BINS), np.int64) for name in ("candidates", "known", "unrelated", "left", "hard")
        }
        names = ("examples", "hard_negatives", "kept", "short", "fallback", "empty", "pool_above_relative_margin")
        self._counts = {name: np.zeros(number, np.int64) for name in names}

    def add_candidates(
        self, block: Examples, chunks: ChunkRows, scores: np.ndarray, positive_scores: np.ndarray, reasons: np.ndarray
    ) -> None:
        """Count the candidates of a block and the reasons for rejection; the positive itself is not a candidate."""
        is_candidate = np.isfinite(scores) & (chunks != block.positive_chunk[:, None])
        category = np.broadcast_to(block.category[:, None], chunks.shape)[is_candidate].astype(np.int64)
        close, reason = closeness(scores, positive_scores[:, None])[is_candidate], reasons[is_candidate]
        rejected = reason >= 0
        keys = category[rejected] * len(REASONS) + reason[rejected]
        self._reasons += np.bincount(keys, minlength=self._reasons.size).reshape(self._reasons.shape)
        known, unrelated = np.isin(reason, _KNOWN), ~rejected | (reason > REASONS.index("other_answer"))
        for name, chosen in (("candidates", np.ones(len(reason), bool)), ("known", known), ("unrelated", unrelated)):
            self._add(name, category[chosen], close[chosen])

    def add_pools(
        self,
        block: Examples,
        pool: Pool,
        scores: np.ndarray,
        positive_scores: np.ndarray,
        old_scores: np.ndarray,
        size: int,
    ) -> None:
        """Count the new pools of a block against the old ones (``block.pool``, with ``old_scores``)."""
        category = block.category.astype(np.int64)
        number = int(max(pool.chunk.max(initial=0), block.pool.chunk.max(initial=0))) + 1
        close = closeness(scores, positive_scores[pool.anchors])
        hard, was_hard = pool.tier == _HARD, block.pool.tier == _HARD
        before = block.pool.anchors[was_hard] * number + block.pool.chunk[was_hard]
        kept = np.isin(pool.anchors[hard] * number + pool.chunk[hard], before)
        hard_counts = np.bincount(pool.anchors[hard], minlength=len(block))
        mined_counts = np.bincount(pool.anchors[hard & np.isin(pool.strategy, _MINED)], minlength=len(block))
        above = old_scores >= score_limit(positive_scores[block.pool.anchors], self._margin)
        for name, of_category in (
            ("examples", category),
            ("hard_negatives", category[pool.anchors[hard]]),
            ("kept", category[pool.anchors[hard][kept]]),
            ("short", category[hard_counts < size]),
            ("fallback", category[(mined_counts == 0) & (hard_counts > 0)]),
            ("empty", category[np.diff(pool.offsets) == 0]),
            ("pool_above_relative_margin", category[block.pool.anchors[above]]),
        ):
            self._counts[name] += np.bincount(of_category, minlength=len(self._categories))
        self._add("left", category[pool.anchors], close)
        self._add("hard", category[pool.anchors[hard]], close[hard])

    def of_round(self) -> dict[str, Any]:
        """Return the metrics of each category and of all together."""
        groups = {ALL: list(range(len(self._categories)))}
        groups |= {name: [number] for number, name in enumerate(self._categories)}
        return {name: self._of(rows) for name, rows in groups.items()}

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
            "churn": 1 - count["kept"] / count["hard_negatives"] if count["hard_negatives"] else 0.0,
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
        bins = np.clip(np.floor(close / _STEP), 0, _BINS - 1).astype(np.int64)
        counts = np.bincount(category * _BINS + bins, minlength=self._histograms[name].size)
        self._histograms[name] += counts.reshape(-1, _BINS)


def suggested_margin(known: np.ndarray, unrelated: np.ndarray) -> float | None:
    """Return the closeness that best separates known positives from unrelated candidates.

    Both are histograms. Known are candidates with the text of the positive or another answer to the anchor; the
    suggestion assumes that unlabeled positives have the same distribution. Best is the maximum of Youden's J, the share
    of the known at or above the cut minus that of the unrelated (Youden 1950); the lowest of equals. None if one
    histogram is empty.
    """
    if not known.sum() or not unrelated.sum():
        return None
    known_below, unrelated_below = (np.r_[0, np.cumsum(counts)] / counts.sum() for counts in (known, unrelated))
    return float(round(np.argmax(unrelated_below - known_below) * _STEP, 2))


def quantile(histogram: np.ndarray, share: float) -> float | None:
    """Return the middle of the bin in which the quantile lies, or None for an empty histogram."""
    total = histogram.sum()
    if not total:
        return None
    return float((np.searchsorted(np.cumsum(histogram), share * total) + 0.5) * _STEP)


def mean(histogram: np.ndarray) -> float | None:
    """Return the mean of a histogram, or None if it is empty."""
    total = histogram.sum()
    return float(((np.arange(_BINS) + 0.5) * _STEP * histogram).sum() / total) if total else None


def advice(metrics: dict[str, Any]) -> list[str]:
    """Return a sentence with a remedy for each category in which mining found little."""
    sentences = []
    for name, of_category in metrics.items():
        if name == ALL or not of_category["examples"]:
            continue
        without = of_category["examples_fallback"] + of_category["examples_empty"]
        if without >= _WARN_FROM * of_category["examples"]:
            rejected = of_category["rejected"]
            reason = max(set(REASONS) - {"not_needed"}, key=lambda reason: (rejected[reason], reason))
            sentences.append(
                f"category {name}: nothing mined for {without} of {of_category['examples']} anchors (most often"
                f" {reason}); {of_category['examples_fallback']} keep hard negatives of the round before,"
                f" {of_category['examples_empty']} have no negative; raise mine.depth or mine.relative_margin"
            )
    return sentences

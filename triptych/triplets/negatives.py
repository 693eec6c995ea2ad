"""Pools of negatives as columns: a few bytes per negative, so that the pools of a million chunks fit in memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from triptych.ids import ChunkRow, ChunkRows

TIERS = ("easy", "medium", "hard")
# Key of all tiers or categories together; the same word as in evaluation, which mining must not depend on.
STRATEGIES = (
    # easy, cross-topic
    "other_domain",
    "other_file",
    "other_path",
    "low_lexical",
    "random",
    # medium, neighbors
    "same_file",
    "sibling_section",
    "moderate_lexical",
    # hard, confusing overlap
    "overlap",
    "cross_category",
    # the reranker's tiers
    "same_topic",
    "near_duplicate",
    "looks_right",
    "looks_right_cross_category",
    # mined with a model, or imported
    "mined",
    "mined_cross_category",
    "imported",
)


@dataclass(frozen=True, slots=True)
class Negative:
    """A chunk that does not answer the anchor, with its tier, the strategy that found it, and its scores."""

    chunk: ChunkRow
    tier: str
    strategy: str
    score: float  # ranking score: overlap in [0, 1] for heuristic tiers, cosine similarity for mined ones
    path: float = 0.0  # overlap of its header path and the positive's
    lexical: float = 0.0  # overlap coefficient of its words and the positive's


@dataclass(frozen=True, slots=True)
class Pool:
    """The negatives of all anchors as columns; those of anchor ``i`` are ``offsets[i]`` to ``offsets[i + 1]``."""

    offsets: np.ndarray  # int64, shape (anchors + 1,)
    chunk: ChunkRows  # int32, shape (negatives,), as all columns below
    tier: np.ndarray  # int8: index in TIERS
    strategy: np.ndarray  # int8: index in STRATEGIES
    score: np.ndarray  # float32
    path: np.ndarray  # float32
    lexical: np.ndarray  # float32

    def __len__(self) -> int:
        """Return the number of anchors."""
        return len(self.offsets) - 1

    def __getitem__(self, anchor: int) -> tuple[Negative, ...]:
        """Return the negatives of one anchor."""
        rows = slice(self.offsets[anchor], self.offsets[anchor + 1])
        columns = (getattr(self, column.name)[rows].tolist() for column in fields(Negative))
        return tuple(
            Negative(chunk, TIERS[tier], STRATEGIES[strategy], *scores)
            for chunk, tier, strategy, *scores in zip(*columns, strict=True)
        )

    @property
    def anchors(self) -> np.ndarray:
        """Return the index of each negative's anchor, int64 of shape (negatives,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @classmethod
    def of(cls, rows: Iterable[Sequence[Negative]]) -> Self:
        """Build the columns from each anchor's negatives."""
        pools = list(rows)
        flat = [negative for pool in pools for negative in pool]
        scores = ([getattr(negative, name) for negative in flat] for name in ("score", "path", "lexical"))
        return cls(
            np.cumsum([0, *map(len, pools)], dtype=np.int64),
            ChunkRows(np.array([negative.chunk for negative in flat], np.int32)),
            np.array([TIERS.index(negative.tier) for negative in flat], np.int8),
            np.array([STRATEGIES.index(negative.strategy) for negative in flat], np.int8),
            *(np.array(column, np.float32) for column in scores),
        )

    @classmethod
    def join(cls, pools: Sequence[Self]) -> Self:
        """Concatenate pools."""
        starts = np.cumsum([0, *(pool.offsets[-1] for pool in pools)])
        offsets = [pool.offsets[:-1] + start for pool, start in zip(pools, starts, strict=False)]
        columns: dict[str, Any] = {name: np.concatenate([getattr(pool, name) for pool in pools]) for name in COLUMNS}
        return cls(np.concatenate([*offsets, starts[-1:]]).astype(np.int64), **columns)

    def preferring(self, imported: Sequence[Sequence[Negative]], size: int) -> Self:
        """Put imported negatives before those of the last anchors' pools, which fill their tiers up to ``size``."""
        if not imported:
            return self
        first = len(self) - len(imported)
        pools = []
        for number, preferred in enumerate(imported):
            known = {negative.chunk for negative in preferred}
            filled = list(preferred)
            for negative in self[first + number]:
                in_tier = sum(other.tier == negative.tier for other in filled)
                if negative.chunk not in known and in_tier < size:
                    filled.append(negative)
            pools.append(filled)
        return self.join([self._head(first), self.of(pools)])

    def _head(self, anchors: int) -> Self:
        end = int(self.offsets[anchors])
        return type(self)(self.offsets[: anchors + 1], *(getattr(self, name)[:end] for name in COLUMNS))


COLUMNS = tuple(column.name for column in fields(Pool))[1:]  # those with one value per negative


def fractional_quota(anchors: np.ndarray, quota: float) -> np.ndarray:
    """Round a fractional ``quota`` per anchor to whole numbers such that their mean over all anchors is the quota.

    ``anchors`` are indices among all anchors; int64 of the same shape.

    >>> fractional_quota(np.arange(5), 0.4).tolist()
    [0, 0, 1, 0, 1]
    """
    return (np.floor((anchors + 1) * quota + 1e-9) - np.floor(anchors * quota + 1e-9)).astype(np.int64)


def score_limit(positive: np.ndarray, margin: float) -> np.ndarray:
    """Return the score at which a candidate counts as a possible false negative, given the positive's score.

    ``margin`` times the score if that is positive (Moreira et al. 2024, NV-Retriever, "TopK-PercPos"), and as far below
    it if it is negative.

    >>> score_limit(np.array([0.5, -0.5]), 0.9).round(2).tolist()
    [0.45, -0.55]
    """
    return positive - (1 - margin) * np.abs(positive)

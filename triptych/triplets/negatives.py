"""Pools of negatives as columns: a few bytes a negative, so that a million chunks fit into memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

TIERS = ("easy", "medium", "hard")
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
    # found by a model, or made elsewhere
    "mined",
    "mined_cross_category",
    "imported",
)


@dataclass(frozen=True, slots=True)
class Negative:
    """A chunk that does not answer the anchor: how hard it is, how it was found, how close it is."""

    chunk: int  # row of the chunk in the corpus
    tier: str
    strategy: str
    score: float  # what it was ranked by: overlap in [0, 1] for heuristic tiers, cosine similarity for mined ones
    path: float = 0.0  # share of the header path it has in common with the positive
    lexical: float = 0.0  # overlap coefficient of its words and the positive's


@dataclass(frozen=True, slots=True)
class Pool:
    """The negatives of all anchors, one anchor's after another's: ``offsets`` says where each begins."""

    offsets: np.ndarray  # int64, shape (anchors + 1,)
    chunk: np.ndarray  # int32, shape (negatives,), as all that follow
    tier: np.ndarray  # int8: place in TIERS
    strategy: np.ndarray  # int8: place in STRATEGIES
    score: np.ndarray  # float32
    path: np.ndarray  # float32
    lexical: np.ndarray  # float32

    def __len__(self) -> int:
        """Return the number of anchors."""
        return len(self.offsets) - 1

    def __getitem__(self, anchor: int) -> tuple[Negative, ...]:
        """Return the negatives of one anchor."""
        rows = slice(self.offsets[anchor], self.offsets[anchor + 1])
        columns = (getattr(self, one.name)[rows].tolist() for one in fields(Negative))
        return tuple(
            Negative(chunk, TIERS[tier], STRATEGIES[strategy], *scores)
            for chunk, tier, strategy, *scores in zip(*columns, strict=True)
        )

    @property
    def anchors(self) -> np.ndarray:
        """Return the anchor of each negative, int64 of shape (negatives,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @classmethod
    def of(cls, rows: Iterable[Sequence[Negative]]) -> Self:
        """Make columns of each anchor's negatives."""
        pools = list(rows)
        flat = [negative for pool in pools for negative in pool]
        offsets = np.cumsum([0, *map(len, pools)], dtype=np.int64)
        tiers = [TIERS.index(one.tier) for one in flat]
        strategies = [STRATEGIES.index(one.strategy) for one in flat]
        return cls(
            offsets,
            np.array([one.chunk for one in flat], np.int32),
            np.array(tiers, np.int8),
            np.array(strategies, np.int8),
            *(np.array([getattr(one, name) for one in flat], np.float32) for name in ("score", "path", "lexical")),
        )

    @classmethod
    def join(cls, pools: Sequence[Self]) -> Self:
        """Put pools one after another."""
        starts = np.cumsum([0, *(pool.offsets[-1] for pool in pools)])
        offsets = [pool.offsets[:-1] + start for pool, start in zip(pools, starts, strict=False)]
        return cls(
            np.concatenate([*offsets, starts[-1:]]).astype(np.int64),
            *(np.concatenate([getattr(pool, name) for pool in pools]) for name in COLUMNS),
        )

    def preferring(self, given: Sequence[Sequence[Negative]], size: int) -> Self:
        """Put given negatives before those of the last anchors' pools, which fill their tiers up to ``size``."""
        if not given:
            return self
        first = len(self) - len(given)
        pools = []
        for number, own in enumerate(given):
            named = {one.chunk for one in own}
            filled = list(own)
            for one in self[first + number]:
                if one.chunk not in named and sum(other.tier == one.tier for other in filled) < size:
                    filled.append(one)
            pools.append(filled)
        return self.join([self._head(first), self.of(pools)])

    def _head(self, anchors: int) -> Self:
        end = int(self.offsets[anchors])
        return type(self)(self.offsets[: anchors + 1], *(getattr(self, name)[:end] for name in COLUMNS))


COLUMNS = tuple(one.name for one in fields(Pool))[1:]  # one entry for each negative

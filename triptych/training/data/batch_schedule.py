"""The rows that a run trains on, in order, one batch at a time."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock
from typing import Self

import numpy as np

from triptych.errors import UserError
from triptych.ids import TextIds
from triptych.params.sections import Train
from triptych.params.training import Phase
from triptych.training.data.batch import Columns
from triptych.triplets.examples import Examples
from triptych.triplets.negatives import TIERS
from triptych.triplets.sampling.epoch_sampler import AnchorSampler, EpochSampler, shares_by_category

_EXAMPLE = "example"


@dataclass(frozen=True, slots=True)
class FixedSchedule:
    """Batches whose rows are known before training starts."""

    batches: list[Columns]
    batch_size: int

    @classmethod
    def from_columns(cls, columns: Columns, batch_size: int) -> Self:
        """Cut columns of rows into batches of one size; rows at the end that do not fill one are left out."""
        number = min(map(len, columns.values())) // batch_size
        parts = (slice(one * batch_size, (one + 1) * batch_size) for one in range(number))
        return cls([{name: column[part] for name, column in columns.items()} for part in parts], batch_size)

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.batches)

    def known(self) -> int:
        """Return how many batches, from the first on, have rows that are known now."""
        return len(self)

    def rows(self, batch: int) -> Columns:
        """Return the rows of a batch as columns; batches are counted from the beginning of the run."""
        return self.batches[batch]


class DrawnSchedule:
    """Rows drawn segment by segment, with the weights that categories have by then.

    A segment is ``train.steps_per_draw`` steps, and ends where a phase of the round ends. From an `EpochSampler` its
    rows are triplets, with a mix of tiers for each segment, ``train.stored_negatives`` rows for each anchor; from an
    `AnchorSampler` they have no negative. Rows depend only on the arguments and on ``category_factors``: what the
    weights of categories are multiplied by in each part of the run. Parts are divided by `decide_at`; batches after a
    decision that is not made yet cannot be drawn. Nor can those from a batch of `mine_at` on, before `use_pools` was
    called for it.
    """

    def __init__(
        self,
        examples: Examples,
        sampler: EpochSampler | AnchorSampler,
        passage_ids: TextIds,
        train: Train,
        batches: int,
        seed: int,
        negatives: TextIds | None = None,
        phases: Sequence[Phase] = (),
    ) -> None:
        """Prepare a run of ``batches``; ``passage_ids`` has the text id of each chunk.

        ``negatives`` has the text id of each negative in the pools where that is not its chunk's, but a window of it.
        ``phases`` divide the run in equal parts, each with one tier of negatives or the mix, without curriculum. Raise
        `UserError` if no pool has a negative of such a tier.
        """
        self.batch_size, self.category_factors = train.batch_size, list[dict[str, float]]([{}])
        self._sampler, self._passage_ids = sampler, passage_ids
        self._batches, self._seed, self._curriculum = batches, seed, train.curriculum
        self._pools: list[tuple[Examples, TextIds | None]] = [(examples, negatives)]  # of each part, by `mine_at`
        self._mine_at: list[int] = []
        self._pools_in_use = 0
        self._rows_per_anchor = train.stored_negatives if isinstance(sampler, EpochSampler) else 1
        self._phases = phases
        self._starts = _segment_starts(batches, train, max(len(phases), 1))
        self._decisions: list[int] = []
        self._segments: list[Columns] = []  # with ``example``, the index of each row's example
        self._lock = Lock()  # batches are collated by threads
        for tier in set(phases) - {"mix"}:
            if TIERS.index(tier) not in examples.pool.tier:
                raise UserError(f"rounds.train: phases: no anchor has a negative of tier {tier}; leave it out")

    def __len__(self) -> int:
        """Return the number of batches."""
        return self._batches

    def decide_at(self, batches: list[int]) -> None:
        """Keep batches from each of these on unknown until `category_factors` has one more entry."""
        self._decisions = batches

    def known(self) -> int:
        """Return how many batches, from the first on, have rows that are known now."""
        decided = [*self._decisions, self._batches][len(self.category_factors) - 1]
        return min(decided, [*self._mine_at, self._batches][len(self._pools) - 1])

    def mine_at(self, batches: list[int]) -> None:
        """Keep batches from each of these on, first ones of segments, unknown until `use_pools` is called for it."""
        self._mine_at = batches

    def use_pools(self, examples: Examples, negatives: TextIds | None) -> None:
        """Take negatives from the pools of ``examples`` from the next batch of `mine_at` on.

        They have the same anchors. ``negatives`` are as in the constructor.
        """
        self._pools.append((examples, negatives))

    @property
    def examples(self) -> Examples:
        """Return the examples with the pools that were set last."""
        return self._pools[-1][0]

    def weights(self, batch: int) -> dict[str, float]:
        """Return the weights of the tiers in the segment of a batch; empty if rows have no negatives."""
        if isinstance(self._sampler, AnchorSampler):
            return {}
        first, end = self._bounds(bisect_right(self._starts, batch) - 1)
        middle = (first + end) / 2 / self._batches
        if not self._phases:
            return shift_mix(self._sampler.mix, self._curriculum * (1 - 2 * middle))
        phase = self._phases[int(middle * len(self._phases))]
        return dict(self._sampler.mix) if phase == "mix" else {tier: float(tier == phase) for tier in TIERS}

    def rows(self, batch: int) -> Columns:
        """Return the rows of a batch as columns; batches are counted from the beginning of the run.

        Segments up to this batch are drawn if they are not yet.
        """
        segment = bisect_right(self._starts, batch) - 1
        index = batch - self._starts[segment]
        with self._lock:
            while len(self._segments) <= segment:
                self._segments.append(self._draw(len(self._segments)))
        size = self.batch_size * self._rows_per_anchor
        part = slice(index * size, (index + 1) * size)
        return {name: column[part] for name, column in self._segments[segment].items() if name != _EXAMPLE}

    @property
    def segment_ends(self) -> list[int]:
        """The number of batches before the end of each segment, ascending."""
        return [*self._starts[1:], self._batches]

    def mix(self) -> dict[str, dict[str, float]]:
        """Return category → tier → share of the triplets drawn so far; empty if rows have no negatives."""
        if isinstance(self._sampler, AnchorSampler):
            return {}
        examples = self.examples
        pairs = ((examples.category[one[_EXAMPLE]], one["tier"]) for one in self._segments)
        return shares_by_category(examples.categories, pairs)

    def _bounds(self, segment: int) -> tuple[int, int]:
        return self._starts[segment], self.segment_ends[segment]

    def _draw(self, segment: int) -> Columns:
        first, end = self._bounds(segment)
        number = (end - first) * self.batch_size
        factors = self.category_factors[bisect_right(self._decisions, first)]
        part = bisect_right(self._mine_at, first)
        examples, negative_ids = self._pools[part]
        order = np.random.default_rng([self._seed, segment]).permutation(number)
        if isinstance(self._sampler, AnchorSampler):
            by_category = self._sampler.draw(number, factors).values()
            return _columns(examples, np.array([row for rows in by_category for row in rows])[order])
        if part > self._pools_in_use:
            self._sampler.use_pools(examples)
            self._pools_in_use = part
        weights = self.weights(first)
        draw = self._sampler.draw_exactly(number, weights, factors)
        further = self._sampler.further_negatives(draw, self._rows_per_anchor - 1, weights)
        negative = np.column_stack([draw.negative, further])[order].ravel()
        chunk = examples.pool.chunk[negative]
        return _columns(examples, np.repeat(draw.example[order], self._rows_per_anchor)) | {
            "negative": self._passage_ids[chunk] if negative_ids is None else negative_ids[negative],
            "negative_chunk": chunk,
            "tier": examples.pool.tier[negative],
        }


def _columns(examples: Examples, rows: np.ndarray) -> Columns:
    return {
        _EXAMPLE: rows,
        "anchor": examples.anchor[rows],
        "positive": examples.positive[rows],
        "positive_chunk": examples.positive_chunk[rows],
    }


def _segment_starts(batches: int, train: Train, phases: int) -> list[int]:
    """Return the first batch of each segment; phases are equally long, to the step."""
    steps = -(-batches // train.gradient_accumulation_steps)
    of_phases = pairwise(round(steps * phase / phases) for phase in range(phases + 1))
    starts = [step for first, end in of_phases for step in range(first, end, train.steps_per_draw)]
    return [step * train.gradient_accumulation_steps for step in starts]


def shift_mix(mix: dict[str, float], shift: float) -> dict[str, float]:
    """Return the mix with more of its easiest tier and less of its hardest; the other way if ``shift`` is negative.

    At 1 the smaller of the two shares is moved completely. Over a run whose shift goes evenly from some value to its
    opposite, the mean is the mix.

    >>> shift_mix({"easy": 0.25, "medium": 0.5, "hard": 0.25}, 0.5)
    {'easy': 0.375, 'medium': 0.5, 'hard': 0.125}
    """
    present = [tier for tier in TIERS if mix[tier] > 0]
    easiest, hardest = present[0], present[-1]
    moved = shift * min(mix[easiest], mix[hardest]) * (easiest != hardest)
    return mix | {easiest: mix[easiest] + moved} | {hardest: mix[hardest] - moved} if moved else dict(mix)

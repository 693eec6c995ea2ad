"""What a run trains on, in order: rows of ids, a batch at a time."""

from bisect import bisect_right
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from triptych.params.sections import Train
from triptych.triplets.examples import Examples
from triptych.triplets.negatives import TIERS
from triptych.triplets.sampling.epoch_sampler import AnchorSampler, EpochSampler, tier_shares
from triptych.triplets.sampling.tier_sampler import SampledTriplets


@dataclass(frozen=True, slots=True)
class FixedSchedule:
    """Columns of rows in the order of training, dealt in batches of one size; a rest that fills none is left out."""

    columns: dict[str, list[Any]]
    batch_size: int

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.columns["anchor"]) // self.batch_size

    def known(self) -> int:
        """Return of how many batches, from the first on, the rows are known now."""
        return len(self)

    def rows(self, batch: int) -> list[dict[str, Any]]:
        """Return the rows of a batch, counted from the beginning of the run."""
        here = range(batch * self.batch_size, (batch + 1) * self.batch_size)
        return [{name: column[row] for name, column in self.columns.items()} for row in here]


class DrawnSchedule:
    """Rows drawn stretch by stretch, with the weights that categories have by then.

    From an `EpochSampler` they are triplets, each stretch in its own mix of tiers; from `AnchorSampler` they have no
    negative. A function of its arguments and of ``raised``, what the weights of categories are multiplied by in each
    part of the run; parts are divided by `decide_at`, and what follows a decision that is not made yet cannot be drawn.
    """

    def __init__(
        self,
        examples: Examples,
        drawing: EpochSampler | AnchorSampler,
        passages: np.ndarray,
        train: Train,
        batches: int,
        seed: int,
    ) -> None:
        self.batch_size, self.raised = train.batch_size, list[dict[str, float]]([{}])
        self._examples, self._drawing, self._passages = examples, drawing, passages
        self._batches, self._seed, self._curriculum = batches, seed, train.curriculum
        self._stretch = train.resample_every * train.gradient_accumulation_steps
        self._decisions: list[int] = []
        self._drawn: list[SampledTriplets] = []
        self._lock = Lock()  # the batches are made by a thread of their own

    def __len__(self) -> int:
        """Return the number of batches."""
        return self._batches

    def decide_at(self, batches: list[int]) -> None:
        """Keep batches from these on unknown until the weights of categories are decided: `raised` has one more."""
        self._decisions = batches

    def known(self) -> int:
        """Return of how many batches the rows are known."""
        return [*self._decisions, self._batches][len(self.raised) - 1]

    def weights(self, batch: int) -> dict[str, float]:
        """Return the weights of the tiers in the stretch of a batch; none where there are no triplets."""
        if isinstance(self._drawing, AnchorSampler):
            return {}
        first = batch // self._stretch * self._stretch
        middle = (first + min(first + self._stretch, self._batches)) / 2
        return tilted(self._drawing.mix, self._curriculum * (1 - 2 * middle / self._batches))

    def rows(self, batch: int) -> list[dict[str, Any]]:
        """Return the rows of a batch, counted from the beginning of the run; draw what is not drawn yet."""
        stretch, place = divmod(batch, self._stretch)
        with self._lock:
            while len(self._drawn) <= stretch:
                self._drawn.append(self._draw(len(self._drawn)))
        draw = self._drawn[stretch]
        here = slice(place * self.batch_size, (place + 1) * self.batch_size)
        example, one = draw.example[here], self._examples
        columns = {
            "anchor": one.anchor[example],
            "positive": one.positive[example],
            "positive_chunk": one.positive_chunk[example],
        }
        if len(draw.negative):
            negative = draw.negative[here]
            chunk = one.pool.chunk[negative]
            columns |= {
                "negative": self._passages[chunk],
                "negative_chunk": chunk,
                "tier": one.pool.tier[negative],
            }
        names, values = columns.keys(), (column.tolist() for column in columns.values())
        return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]

    def mix(self) -> dict[str, dict[str, float]]:
        """Return category → tier → share of the triplets so far; empty where there are none."""
        return {} if isinstance(self._drawing, AnchorSampler) else tier_shares(self._examples, *self._drawn)

    def _draw(self, stretch: int) -> SampledTriplets:
        first = stretch * self._stretch
        number = (min(first + self._stretch, self._batches) - first) * self.batch_size
        raised = self.raised[bisect_right(self._decisions, first)]
        order = np.random.default_rng([self._seed, stretch]).permutation(number)
        if isinstance(self._drawing, AnchorSampler):
            rows = self._drawing.draw(number, raised).values()
            example = np.array([row for of_category in rows for row in of_category])[order]
            return SampledTriplets(example, np.empty(0, int), {})
        draw = self._drawing.draw_exactly(number, self.weights(first), raised)
        return SampledTriplets(draw.example[order], draw.negative[order], draw.shortfall)


def tilted(mix: dict[str, float], tilt: float) -> dict[str, float]:
    """Return the mix with more of its easiest tier, at the cost of its hardest; where ``tilt`` is negative, with less.

    At 1 the lesser of the two shares is moved as a whole. Over a run whose tilt goes evenly from some value to its
    opposite, the mean is the mix.
    """
    present = [tier for tier in TIERS if mix[tier] > 0]
    easiest, hardest = present[0], present[-1]
    moved = tilt * min(mix[easiest], mix[hardest]) * (easiest != hardest)
    return mix | {easiest: mix[easiest] + moved} | {hardest: mix[hardest] - moved} if moved else dict(mix)

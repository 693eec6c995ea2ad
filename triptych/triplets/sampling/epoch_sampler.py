"""Sample triplets from the pools so that the mix of views, categories and tiers and the caps hold in every epoch."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from random import Random

import numpy as np

from triptych.errors import NothingToTrainOnError, UserError
from triptych.params.triplets import Triplets
from triptych.triplets.examples import Examples
from triptych.triplets.negatives import TIERS
from triptych.triplets.sampling.tier_sampler import RemainderCarry, SampledTriplets, TierSampler, apportion
from triptych.triplets.views import VIEWS

LARGEST_EPOCH = 500_000  # triplets of a flat table; sampling takes kilobytes for each, and training draws its own


class EpochSampler:
    """Samples a run's triplets a part at a time, in epochs of ``epoch`` triplets (default: the number of examples).

    Views get their shares (see `view_rows`), categories theirs by ``params.balance`` within a view, and the tiers of
    each category follow the profile's mix to the nearest row. Examples of a view and category, and negatives of a tier
    in a pool, are sampled without replacement, also across epochs. Caps hold within an epoch. A part is smaller than
    requested only where tiers run out of candidates or caps are met.
    """

    def __init__(self, examples: Examples, params: Triplets, profile: str, seed: int, epoch: int | None = None) -> None:
        self._epoch = len(examples) if epoch is None else epoch
        self._anchor_sampler = AnchorSampler(examples, params, seed, self._epoch)
        self._tier_sampler = TierSampler(examples, params, profile, seed)
        self._examples = len(examples)
        self._categories, self._category = examples.categories, examples.category
        self._requested = 0  # triplets of this epoch
        self._random = np.random.default_rng(seed)
        self.mix = self._tier_sampler.mix

    def draw(
        self, number: int, mix: dict[str, float] | None = None, factors: Mapping[str, float] | None = None
    ) -> SampledTriplets:
        """Sample the next ``number`` triplets; an epoch ends with the part that fills it.

        ``mix`` of tiers replaces the profile's; ``factors`` multiply the weights of categories.
        """
        if self._requested >= self._epoch:
            self._requested = 0
            self._tier_sampler.begin_epoch()
        self._requested += number
        return self._tier_sampler.sample(self._anchor_sampler.draw(number, factors), mix)

    def use_pools(self, examples: Examples) -> None:
        """Sample negatives from the pools of ``examples``, which have the same anchors, from here on."""
        self._tier_sampler.use_pools(examples)

    def draw_exactly(self, number: int, mix: dict[str, float], factors: Mapping[str, float]) -> SampledTriplets:
        """Sample exactly ``number`` triplets, over as many epochs as needed where tiers or caps give fewer.

        Raise `NothingToTrainOnError` where all examples together give no triplet.
        """
        parts: list[SampledTriplets] = []
        missing, empty = number, 0
        while missing:
            part = self.draw(number, mix, factors)
            empty = 0 if len(part.example) else empty + 1
            # By then every example was drawn, however small its category's part of a draw is, and so often that each
            # tier had its turn, however small its share (see `RemainderCarry.defer`).
            if not self._tier_sampler.has_negatives or empty > self._examples * (
                1 + 1 / min(filter(None, mix.values()))
            ):
                raise NothingToTrainOnError(
                    "no triplet can be sampled in the mix of triplets.profiles (see the warnings of stage triplets"
                    " and of mining)"
                )
            if len(part.example) < number:
                self._requested = self._epoch
            kept = np.sort(self._random.permutation(len(part.example))[:missing])
            parts.append(SampledTriplets(part.example[kept], part.negative[kept], part.shortfall))
            missing -= len(kept)
        if len(parts) == 1:
            return parts[0]
        return SampledTriplets(
            np.concatenate([part.example for part in parts]), np.concatenate([part.negative for part in parts]), {}
        )

    def further_negatives(self, sampled: SampledTriplets, number: int, mix: dict[str, float]) -> np.ndarray:
        """Sample ``number`` more negatives for each of some triplets; int64 of shape (triplets, number).

        They follow the mix and the caps too. Where these, or the pool, leave an anchor with fewer, its first negative
        is repeated in their place.
        """
        category, names = self._category[sampled.example], self._categories
        rows = {names[one]: np.flatnonzero(category == one).tolist() for one in np.unique(category).tolist()}
        examples = {name: sampled.example[of_category].tolist() for name, of_category in rows.items()}
        taken = [frozenset([negative]) for negative in sampled.negative.tolist()]
        negatives = np.repeat(sampled.negative[:, None], number, axis=1)
        for column in range(number):
            of_rows = {name: [taken[row] for row in of_category] for name, of_category in rows.items()}
            part = self._tier_sampler.sample(examples, mix, of_rows)
            order = iter([row for of_category in rows.values() for row in of_category])
            for example, negative in zip(part.example.tolist(), part.negative.tolist(), strict=True):
                row = next(row for row in order if sampled.example[row] == example)  # rows without are passed over
                negatives[row, column] = negative
                taken[row] |= {negative}
        return negatives


class AnchorSampler:
    """Samples rows of the examples by category, without negatives.

    This is all that a loss without stored negatives needs. Views and categories are as in `EpochSampler`.
    """

    def __init__(self, examples: Examples, params: Triplets, seed: int, epoch: int) -> None:
        cells = _cells(examples)
        self._view_weights = view_rows(examples, params, epoch)
        self._weights = {view: category_weights(params, by_category) for view, by_category in cells.items()}
        self._rows = {
            (view, category): _shuffled_cycles(rows, Random(f"{seed}:{view}:{category}"))
            for view, by_category in cells.items()
            for category, rows in by_category.items()
        }
        self._view_carry = RemainderCarry()
        self._category_carry = defaultdict[str, RemainderCarry](RemainderCarry)

    def draw(self, number: int, factors: Mapping[str, float] | None = None) -> dict[str, list[int]]:
        """Return the next ``number`` rows of an epoch by category; ``factors`` multiply the weights of categories."""
        rows: dict[str, list[int]] = defaultdict(list)
        for view, view_part in self._view_carry.divide(self._view_weights, number).items():
            weights = {name: weight * (factors or {}).get(name, 1.0) for name, weight in self._weights[view].items()}
            for category, part in self._category_carry[view].divide(weights, view_part).items():
                rows[category] += islice(self._rows[view, category], part)
        return dict(sorted(rows.items()))


def category_weights(params: Triplets, rows: Mapping[str, list[int]]) -> dict[str, float]:
    """Return the weight of each category of a view by ``params.balance``, given the rows of each.

    Raise `UserError` where the weights of ``params.balance`` lack a category.
    """
    sizes = {name: len(of_category) for name, of_category in sorted(rows.items())}
    if isinstance(params.balance, dict):
        missing = [name for name in sizes if name not in params.balance]
        if missing:
            raise UserError(f"triplets.balance: gives no weight to {', '.join(missing)}; name every category")
        return {name: params.balance[name] for name in sizes}
    power = {"equal": 0.0, "proportional": 1.0, "sqrt": 0.5}[params.balance]
    return {name: size**power for name, size in sizes.items()}


def sample(
    examples: Examples, params: Triplets, profile: str, epoch: int, seed: int, size: int | None = None
) -> SampledTriplets:
    """Sample one epoch; a pure function of its arguments. See `epochs`."""
    return next(islice(epochs(examples, params, profile, seed, size), epoch, None))


def epochs(
    examples: Examples, params: Triplets, profile: str, seed: int, size: int | None = None
) -> Iterator[SampledTriplets]:
    """Yield epoch after epoch of ``size`` triplets, each with other negatives. See `EpochSampler`."""
    sampler = EpochSampler(examples, params, profile, seed, size)
    while True:
        yield sampler.draw(len(examples) if size is None else size)


def anchors_for_run(examples: Examples, params: Triplets, number: int, seed: int) -> np.ndarray:
    """Sample the rows of the examples for a whole run without negatives, shuffled; int64 of shape (number,)."""
    size = epoch_of_run(number, examples)
    sampler, sampled = AnchorSampler(examples, params, seed, size), list[int]()
    for _ in range(math.ceil(number / size)):
        sampled += [row for rows in sampler.draw(size).values() for row in rows]
    return np.random.default_rng(seed).permutation(np.array(sampled, np.int64))[:number]


def epoch_of_run(number: int, examples: Examples) -> int:
    """Return the size of equal epochs that give ``number`` rows, none larger than the examples."""
    return math.ceil(number / max(math.ceil(number / max(len(examples), 1)), 1))


def view_rows(examples: Examples, params: Triplets, size: int) -> dict[str, int]:
    """Divide the rows of an epoch among the views that have examples and a share.

    A view whose share would repeat its examples more than ``repeat_anchors`` times gives the rest to the others, unless
    all of them are full: a handful of questions must not make up most of the training data.
    """
    sizes = {
        VIEWS[view]: int(number) for view, number in zip(*np.unique(examples.view, return_counts=True), strict=True)
    }
    shares = params.views.model_dump()
    open_shares = {view: shares[view] for view in VIEWS if view in sizes and shares[view] > 0}
    rows: dict[str, int] = {}
    while open_shares:
        parts = apportion(open_shares, size - sum(rows.values()))
        limits = {view: params.repeat_anchors * sizes[view] for view in open_shares}
        full = [view for view in open_shares if parts[view] > limits[view]]
        if not full or len(full) == len(open_shares):
            return {view: number for view, number in (rows | parts).items() if number}
        rows |= {view: limits[view] for view in full}
        open_shares = {view: share for view, share in open_shares.items() if view not in full}
    return rows


def _cells(examples: Examples) -> dict[str, dict[str, list[int]]]:
    """Return view → category → rows of the examples."""
    cells: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row, (view, category) in enumerate(zip(examples.view.tolist(), examples.category.tolist(), strict=True)):
        cells[VIEWS[view]][examples.categories[category]].append(row)
    return cells


def tier_shares(examples: Examples, *samples: SampledTriplets) -> dict[str, dict[str, float]]:
    """Return category → tier → share of the sampled triplets; categories without triplets are left out."""
    pairs = ((examples.category[one.example], examples.pool.tier[one.negative]) for one in samples)
    return shares_by_category(examples.categories, pairs)


def shares_by_category(
    categories: Sequence[str], triplets: Iterable[tuple[np.ndarray, np.ndarray]]
) -> dict[str, dict[str, float]]:
    """Return what `tier_shares` does, from the category and the tier of each triplet, as indices."""
    counts = np.zeros((len(categories), len(TIERS)), np.int64)
    for category, tier in triplets:
        np.add.at(counts, (category, tier), 1)
    return {
        name: {tier: float(share) for tier, share in zip(TIERS, of_category / of_category.sum(), strict=True)}
        for name, of_category in zip(categories, counts, strict=True)
        if of_category.any()
    }


def _shuffled_cycles(rows: list[int], random: Random) -> Iterator[int]:
    """Cycle through a list endlessly, shuffled again each time."""
    while True:
        yield from random.sample(rows, len(rows))

"""Draw triplets from the pools so that the promised mix holds: views, categories, tiers, and caps, in every epoch."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import islice
from random import Random

import numpy as np

from triptych.errors import UserError
from triptych.params.triplets import Triplets
from triptych.triplets.examples import Examples
from triptych.triplets.negatives import TIERS
from triptych.triplets.sampling.tier_sampler import Draw, RemainderCarry, TierSampler, apportion
from triptych.triplets.views import VIEWS


class EpochSampler:
    """Draws a run's triplets a part at a time, in epochs of ``epoch`` triplets (as many as examples, if None).

    Views get their shares (see `view_rows`), categories theirs by ``params.balance`` within a view, and the tiers of
    each category follow the profile's mix to the nearest row. Within a view and category no example comes back before
    all were drawn, and no negative of a pool's tier before all of them were, over epochs too. Caps hold in an epoch. A
    part is smaller than asked for only where tiers run out of candidates, or caps are met.
    """

    def __init__(self, examples: Examples, params: Triplets, profile: str, seed: int, epoch: int | None = None) -> None:
        self._epoch = len(examples) if epoch is None else epoch
        self._anchors = AnchorSampler(examples, params, seed, self._epoch)
        self._dealer = TierSampler(examples, params, profile, seed)
        self._asked = 0  # in this epoch
        self._random = np.random.default_rng(seed)
        self.mix = self._dealer.mix

    def draw(self, number: int, mix: dict[str, float] | None = None, raised: Mapping[str, float] | None = None) -> Draw:
        """Draw the next triplets; ``mix`` of tiers may differ from the profile's, and categories' weights be raised.

        An epoch ends with the part that fills it.
        """
        if self._asked >= self._epoch:
            self._asked = 0
            self._dealer.begin_epoch()
        self._asked += number
        return self._dealer.deal(self._anchors.draw(number, raised), mix)

    def draw_all(self, number: int, mix: dict[str, float], raised: Mapping[str, float]) -> Draw:
        """Draw exactly so many; where tiers or caps give fewer, more is drawn in as many epochs as it takes.

        Raise `UserError` where an epoch gives nothing.
        """
        parts: list[Draw] = []
        missing = number
        while missing:
            fresh = not 0 < self._asked < self._epoch
            part = self.draw(number, mix, raised)
            if not len(part.example) and fresh:
                raise UserError(
                    "training: not one triplet can be drawn in the mix of triplets.profiles; see what stage triplets"
                    " says of its tiers and caps"
                )
            if len(part.example) < number:
                self._asked = self._epoch
            chosen = np.sort(self._random.permutation(len(part.example))[:missing])
            parts.append(Draw(part.example[chosen], part.negative[chosen], part.short))
            missing -= len(chosen)
        if len(parts) == 1:
            return parts[0]
        return Draw(np.concatenate([one.example for one in parts]), np.concatenate([one.negative for one in parts]), {})


class AnchorSampler:
    """Draws rows of the examples by category, before any negative is asked for.

    This is all that a loss without stored negatives needs. Views, categories and turns are as in `EpochSampler`.
    """

    def __init__(self, examples: Examples, params: Triplets, seed: int, epoch: int) -> None:
        cells = _cells(examples)
        self._views = view_rows(examples, params, epoch)
        self._weights = {view: category_weights(params, found) for view, found in cells.items()}
        self._turns = {
            (view, category): _turns(rows, Random(f"{seed}:{view}:{category}"))
            for view, found in cells.items()
            for category, rows in found.items()
        }
        self._of_views, self._of_categories = RemainderCarry(), defaultdict[str, RemainderCarry](RemainderCarry)

    def draw(self, number: int, raised: Mapping[str, float] | None = None) -> dict[str, list[int]]:
        """Return the next rows of an epoch by category; ``raised`` multiplies the weights of categories."""
        rows: dict[str, list[int]] = defaultdict(list)
        for view, wanted in self._of_views.divide(self._views, number).items():
            weights = {name: one * (raised or {}).get(name, 1.0) for name, one in self._weights[view].items()}
            for category, part in self._of_categories[view].divide(weights, wanted).items():
                rows[category] += islice(self._turns[view, category], part)
        return dict(sorted(rows.items()))


def category_weights(params: Triplets, found: Mapping[str, list[int]]) -> dict[str, float]:
    """Return what ``params.balance`` gives each category of a view; raise `UserError` where it names one not."""
    anchors = {name: len(rows) for name, rows in sorted(found.items())}
    if isinstance(params.balance, dict):
        missing = [name for name in anchors if name not in params.balance]
        if missing:
            raise UserError(f"triplets.balance: gives no weight to {', '.join(missing)}; name every category")
        return {name: params.balance[name] for name in anchors}
    power = {"equal": 0.0, "proportional": 1.0, "sqrt": 0.5}[params.balance]
    return {name: number**power for name, number in anchors.items()}


def sample(examples: Examples, params: Triplets, profile: str, epoch: int, seed: int, size: int | None = None) -> Draw:
    """Draw one epoch; a pure function of its arguments. See `epochs`."""
    return next(islice(epochs(examples, params, profile, seed, size), epoch, None))


def epochs(examples: Examples, params: Triplets, profile: str, seed: int, size: int | None = None) -> Iterator[Draw]:
    """Yield epoch after epoch of ``size`` triplets, each with other negatives. See `EpochSampler`."""
    drawing = EpochSampler(examples, params, profile, seed, size)
    while True:
        yield drawing.draw(len(examples) if size is None else size)


def anchors_for_run(examples: Examples, params: Triplets, number: int, seed: int) -> np.ndarray:
    """Draw the rows of the examples for a whole run that needs no negatives, shuffled; int64 of shape (number,)."""
    size = epoch_of_run(number, examples)
    anchors, drawn = AnchorSampler(examples, params, seed, size), list[int]()
    for _ in range(math.ceil(number / size)):
        drawn += [row for rows in anchors.draw(size).values() for row in rows]
    return np.random.default_rng(seed).permutation(np.array(drawn, np.int64))[:number]


def epoch_of_run(number: int, examples: Examples) -> int:
    """Return the size of equal epochs that give ``number`` rows, none larger than the examples."""
    return math.ceil(number / max(math.ceil(number / max(len(examples), 1)), 1))


def view_rows(examples: Examples, params: Triplets, size: int) -> dict[str, int]:
    """Divide the rows of an epoch among the views that have examples and a share.

    A view whose share would bring its examples back more than ``repeat_anchors`` times gives the rest to the others,
    unless none of them has room: a handful of questions cannot be the larger part of what is learned.
    """
    found = {
        VIEWS[view]: int(number) for view, number in zip(*np.unique(examples.view, return_counts=True), strict=True)
    }
    shares = params.views.model_dump()
    waiting = {view: shares[view] for view in VIEWS if view in found and shares[view] > 0}
    rows: dict[str, int] = {}
    while waiting:
        parts = apportion(waiting, size - sum(rows.values()))
        full = {view: params.repeat_anchors * found[view] for view in waiting}
        over = [view for view in waiting if parts[view] > full[view]]
        if not over or len(over) == len(waiting):
            return {view: number for view, number in (rows | parts).items() if number}
        rows |= {view: full[view] for view in over}
        waiting = {view: share for view, share in waiting.items() if view not in over}
    return rows


def _cells(examples: Examples) -> dict[str, dict[str, list[int]]]:
    """Return view → category → rows of the examples."""
    cells: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row, (view, category) in enumerate(zip(examples.view.tolist(), examples.category.tolist(), strict=True)):
        cells[VIEWS[view]][examples.categories[category]].append(row)
    return cells


def tier_shares(examples: Examples, *draws: Draw) -> dict[str, dict[str, float]]:
    """Return category → tier → share, as drawn."""
    counts = np.zeros((len(examples.categories), len(TIERS)), np.int64)
    for draw in draws:
        np.add.at(counts, (examples.category[draw.example], examples.pool.tier[draw.negative]), 1)
    return {
        name: {tier: float(share) for tier, share in zip(TIERS, found / found.sum(), strict=True)}
        for name, found in zip(examples.categories, counts, strict=True)
        if found.any()
    }


def _turns(rows: list[int], random: Random) -> Iterator[int]:
    """Go round a list for ever, shuffled anew each time."""
    while True:
        yield from random.sample(rows, len(rows))

"""Draw triplets from the pools so that the promised mix holds: views, categories, tiers, and caps, in every epoch."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from random import Random

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from triptych.params_triplets import Triplets
from triptych.triplets.examples import Examples
from triptych.triplets.negatives import TIERS
from triptych.triplets.views import VIEWS

_WEIGHTS: dict[str, Callable[[int], float]] = {
    "equal": lambda anchors: 1.0,
    "proportional": float,
    "sqrt": lambda anchors: anchors**0.5,
}


@dataclass(frozen=True, slots=True)
class Draw:
    """Triplets of one epoch: rows of the examples, and for each the place of its negative in the pool."""

    example: np.ndarray  # int64, shape (triplets,)
    negative: np.ndarray  # int64, shape (triplets,)
    short: dict[str, dict[str, int]]  # category → why rows that were wanted are missing: rows without a tier, by cause


def sample(examples: Examples, params: Triplets, profile: str, epoch: int, seed: int, size: int | None = None) -> Draw:
    """Draw one epoch; a pure function of its arguments. See `epochs`."""
    return next(islice(epochs(examples, params, profile, seed, size), epoch, None))


def draw_for_run(examples: Examples, params: Triplets, profile: str, number: int, seed: int) -> Draw:
    """Draw the triplets of a whole run: ``number`` of them in epochs of equal size, none larger than the examples."""
    turns, size = _epochs_of(number, examples)
    drawn = list(islice(epochs(examples, params, profile, seed, size), turns))
    short: dict[str, Counter[str]] = defaultdict(Counter)
    for one in drawn:
        for category, why in one.short.items():
            short[category].update(why)
    return Draw(
        np.concatenate([one.example for one in drawn])[:number],
        np.concatenate([one.negative for one in drawn])[:number],
        {category: dict(why) for category, why in short.items()},
    )


def anchors_for_run(examples: Examples, params: Triplets, number: int, seed: int) -> np.ndarray:
    """Draw the rows of the examples for a whole run that needs no negatives, shuffled; int64 of shape (number,)."""
    turns, size = _epochs_of(number, examples)
    drawn = [chain(*rows.values()) for rows in islice(anchor_epochs(examples, params, seed, size), turns)]
    return np.random.default_rng(seed).permutation(np.array([*chain(*drawn)], np.int64))[:number]


def _epochs_of(number: int, examples: Examples) -> tuple[int, int]:
    """Return how many epochs of what equal size give ``number`` rows, none larger than the examples."""
    turns = max(math.ceil(number / max(len(examples), 1)), 1)
    return turns, math.ceil(number / turns)


def epochs(examples: Examples, params: Triplets, profile: str, seed: int, size: int | None = None) -> Iterator[Draw]:
    """Yield epoch after epoch of ``size`` triplets (as many as there are examples, if None), each with other negatives.

    Views get their shares (see `view_rows`), categories theirs by ``params.balance`` within a view, and the tiers of
    each category follow the profile's mix to the nearest row. Within a view and category no example comes back before
    all were drawn, and no negative of a pool's tier before all of them were, over epochs too. An epoch is smaller only
    where tiers run out of candidates, or caps are met.
    """
    dealer = _Dealer(examples, params, profile, seed)
    for rows in anchor_epochs(examples, params, seed, size):
        yield dealer.deal(rows)


def anchor_epochs(
    examples: Examples, params: Triplets, seed: int, size: int | None = None
) -> Iterator[dict[str, list[int]]]:
    """Yield epoch after epoch of ``size`` rows of the examples by category, before any negative is asked for.

    This is all that a loss without stored negatives needs. Views, categories and turns are as in `epochs`.
    """
    cells = _cells(examples)
    turns = {
        (view, category): _turns(rows, Random(f"{seed}:{view}:{category}"))
        for view, found in cells.items()
        for category, rows in found.items()
    }
    while True:
        rows: dict[str, list[int]] = defaultdict(list)
        for view, wanted in view_rows(examples, params, len(examples) if size is None else size).items():
            weights = {name: _WEIGHTS[params.balance](len(found)) for name, found in sorted(cells[view].items())}
            for category, part in apportion(weights, wanted).items():
                rows[category] += islice(turns[view, category], part)
        yield dict(sorted(rows.items()))


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


def apportion(shares: dict[str, float], number: int) -> dict[str, int]:
    """Divide ``number`` by shares into whole parts that sum to it (largest remainders, Hamilton's method)."""
    total = sum(shares.values())
    if not total:
        return {}
    exact = {key: number * share / total for key, share in shares.items()}
    parts = {key: int(value) for key, value in exact.items()}
    rest = sorted(exact, key=lambda key: (parts[key] - exact[key], key))
    for key in rest[: number - sum(parts.values())]:
        parts[key] += 1
    return parts


def tier_shares(examples: Examples, draw: Draw) -> dict[str, dict[str, float]]:
    """Return category → tier → share, as drawn."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    category, tier = examples.category[draw.example], examples.pool.tier[draw.negative]
    for one, level in zip(category.tolist(), tier.tolist(), strict=True):
        counts[examples.categories[one]][TIERS[level]] += 1
    return {name: {tier: found[tier] / found.total() for tier in TIERS} for name, found in sorted(counts.items())}


def _turns(rows: list[int], random: Random) -> Iterator[int]:
    """Go round a list for ever, shuffled anew each time."""
    while True:
        yield from random.sample(rows, len(rows))


class _Dealer:
    """Gives rows their tiers and negatives, and remembers which negatives of a pool were used."""

    def __init__(self, examples: Examples, params: Triplets, profile: str, seed: int) -> None:
        self._mix = getattr(params.profiles, profile).model_dump()
        self._params, self._examples, self._random = params, examples, Random(f"{seed}:deal")
        self._seed = seed
        pool = examples.pool
        kinds = pool.anchors * len(TIERS) + pool.tier
        self._order = np.argsort(kinds, kind="stable")  # negatives by example and tier
        self._starts = np.searchsorted(kinds[self._order], np.arange(len(TIERS) * len(examples) + 1)).tolist()
        self._positive = examples.positive_chunk.tolist()
        self._chunk = pool.chunk.tolist()
        self._used: dict[int, int] = {}  # example and tier → negatives used so far, over all epochs

    def deal(self, rows: dict[str, list[int]]) -> Draw:
        """Deal one epoch; where a cap is met, that tier is closed to the row, and tiers are assigned anew."""
        drawn: list[tuple[int, int]] = []
        short: dict[str, dict[str, int]] = {}
        of_positive: Counter[tuple[int, int]] = Counter()
        of_negative: Counter[int] = Counter()
        for category, chosen in rows.items():
            tiers_at_hand = [self._at_hand(example) for example in chosen]
            capped: Counter[str] = Counter()
            while True:
                found = self._try(chosen, tiers_at_hand, of_positive.copy(), of_negative.copy())
                if not found.stuck:
                    break
                for row, tier in found.stuck:
                    tiers_at_hand[row] = tiers_at_hand[row] - {tier}
                    capped[f"{TIERS[tier]}_capped"] += 1
            self._used |= found.used
            of_positive, of_negative = found.of_positive, found.of_negative
            drawn += found.pairs
            if len(found.pairs) < len(chosen):
                empty = Counter(f"{TIERS[t]}_empty" for e in chosen for t in {0, 1, 2} - self._at_hand(e))
                short[category] = {"missing": len(chosen) - len(found.pairs)} | dict(sorted((empty + capped).items()))
        pairs = np.array(drawn, np.int64).reshape(-1, 2)
        return Draw(pairs[:, 0], pairs[:, 1], short)

    def _at_hand(self, example: int) -> frozenset[int]:
        first = len(TIERS) * example
        return frozenset(t for t in range(len(TIERS)) if self._starts[first + t + 1] > self._starts[first + t])

    def _try(
        self,
        chosen: list[int],
        tiers_at_hand: list[frozenset[int]],
        of_positive: Counter[tuple[int, int]],
        of_negative: Counter[int],
    ) -> "_Trial":
        trial = _Trial([], [], {}, of_positive, of_negative)
        for row, tier in sorted(assign(tiers_at_hand, self._mix, self._random).items()):
            example = chosen[row]
            place = (self._positive[example], tier)
            negative = None
            if of_positive[place] < self._params.cap_per_anchor:
                negative = self._next(len(TIERS) * example + tier, trial)
            if negative is None:
                trial.stuck.append((row, tier))
                continue
            of_positive[place] += 1
            of_negative[self._chunk[negative]] += 1
            trial.pairs.append((example, negative))
        return trial

    def _next(self, key: int, trial: "_Trial") -> int | None:
        """Return the next negative of an example's tier that is not at its cap; each once before any comes back."""
        start, size = self._starts[key], self._starts[key + 1] - self._starts[key]
        used = trial.used.get(key, self._used.get(key, 0))
        for place in range(used, used + size):
            cycle, step = divmod(place, size)
            order = Random(f"{self._seed}:{key}:{cycle}").sample(range(size), size) if size > 1 else [0]
            negative = int(self._order[start + order[step]])
            if trial.of_negative[self._chunk[negative]] < self._params.cap_per_negative:
                trial.used[key] = place + 1
                return negative
        return None


@dataclass(frozen=True, slots=True)
class _Trial:
    """What came of dealing one category: triplets, rows that met a cap, and the counts with them."""

    pairs: list[tuple[int, int]]
    stuck: list[tuple[int, int]]
    used: dict[int, int]
    of_positive: Counter[tuple[int, int]]
    of_negative: Counter[int]


def assign(tiers_at_hand: list[frozenset[int]], mix: dict[str, float], random: Random) -> dict[int, int]:
    """Assign a tier to as many rows as possible such that the assigned rows follow the mix; row → place in TIERS.

    Rows with the same tiers at hand are alike, so this is a flow through at most eight kinds of rows into three
    tiers. The largest number of rows is found by bisection.
    """
    rows: dict[frozenset[int], list[int]] = defaultdict(list)
    for row in random.sample(range(len(tiers_at_hand)), len(tiers_at_hand)):
        rows[tiers_at_hand[row]].append(row)
    kinds = sorted(rows, key=sorted)
    sizes = [len(rows[kind]) for kind in kinds]
    most, least = len(tiers_at_hand), 0
    best = _flow(sizes, kinds, mix, most)
    if best is None:
        while most - least > 1:
            number = (most + least) // 2
            found = _flow(sizes, kinds, mix, number)
            best, least, most = (found, number, most) if found is not None else (best, least, number)
    assigned: dict[int, int] = {}
    for kind, counts in zip(kinds, best if best is not None else [], strict=False):
        waiting = list(rows[kind])
        for tier, number in enumerate(counts):
            assigned |= {waiting.pop(): tier for _ in range(number)}
    return assigned


def _flow(sizes: list[int], kinds: list[frozenset[int]], mix: dict[str, float], number: int) -> list[list[int]] | None:
    """Return how many rows of each kind go to each tier so that ``number`` rows follow the mix, or None.

    A tier that no row has is left out; its rows are missing from the draw, the others are not made more.
    """
    quota = apportion(mix, number)
    wanted = [quota[name] * any(tier in kind for kind in kinds) for tier, name in enumerate(TIERS)]
    source, sink = len(kinds) + len(TIERS), len(kinds) + len(TIERS) + 1
    capacity = np.zeros((sink + 1, sink + 1), dtype=np.int32)
    for index, (size, kind) in enumerate(zip(sizes, kinds, strict=True)):
        capacity[source, index] = size
        for tier in kind:
            capacity[index, len(kinds) + tier] = size
    capacity[len(kinds) : source, sink] = wanted
    result = maximum_flow(csr_array(capacity), source, sink)
    if result.flow_value < sum(wanted):
        return None
    return result.flow.toarray()[: len(kinds), len(kinds) : source].tolist()

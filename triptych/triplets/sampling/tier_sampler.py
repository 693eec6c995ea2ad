"""Give rows of an epoch tiers and negatives: the mix holds, caps hold, no negative comes back before all were used."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from triptych.params.triplets import Triplets
from triptych.triplets.examples import Examples
from triptych.triplets.negatives import TIERS


@dataclass(frozen=True, slots=True)
class Draw:
    """Triplets: rows of the examples, and for each the place of its negative in the pool."""

    example: np.ndarray  # int64, shape (triplets,)
    negative: np.ndarray  # int64, shape (triplets,)
    short: dict[str, dict[str, int]]  # category → why rows that were wanted are missing: rows without a tier, by cause


def apportion(shares: Mapping[str, float], number: int) -> dict[str, int]:
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


class RemainderCarry:
    """Divides number after number by shares; what rounding kept back is given next time, so that the sums fit too."""

    def __init__(self) -> None:
        self._owed: dict[str, float] = defaultdict(float)

    def divide(self, shares: Mapping[str, float], number: int) -> dict[str, int]:
        """Return the parts of a number."""
        parts = apportion(self.wanted(shares, number) if number else shares, number)
        self.settle(shares, parts)
        return parts

    def wanted(self, shares: Mapping[str, float], number: int) -> dict[str, float]:
        """Return the shares of ``number``, at least 1, debts included."""
        total = sum(shares.values())
        return {key: max(share + self._owed[key] * total / number, 0.0) for key, share in shares.items()}

    def settle(self, shares: Mapping[str, float], parts: dict[str, int]) -> None:
        """Note what was given; what was not to be had is no debt, only what was rounded away."""
        number, total = sum(parts.values()), sum(shares.values())
        for key, share in shares.items():
            self._owed[key] = min(max(self._owed[key] + number * share / total - parts.get(key, 0), -1.0), 1.0)


class TierSampler:
    """Gives rows their tiers and negatives, and remembers which negatives of a pool were used."""

    def __init__(self, examples: Examples, params: Triplets, profile: str, seed: int) -> None:
        self.mix: dict[str, float] = getattr(params.profiles, profile).model_dump()
        self._params, self._examples, self._random = params, examples, Random(f"{seed}:deal")
        self._seed = seed
        pool = examples.pool
        kinds = pool.anchors * len(TIERS) + pool.tier
        self._order = np.argsort(kinds, kind="stable")  # negatives by example and tier
        self._starts = np.searchsorted(kinds[self._order], np.arange(len(TIERS) * len(examples) + 1)).tolist()
        self._positive = examples.positive_chunk.tolist()
        self._chunk = pool.chunk.tolist()
        self._used: dict[int, int] = {}  # example and tier → negatives used so far, over all epochs
        self._of_tiers: dict[str, RemainderCarry] = defaultdict(RemainderCarry)
        self._orders: dict[tuple[int, int], list[int]] = {}  # of one deal, whose tries ask for them again and again
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Forget what caps count."""
        self._of_positive: Counter[tuple[int, int]] = Counter()
        self._of_negative: Counter[int] = Counter()

    def deal(self, rows: dict[str, list[int]], mix: dict[str, float] | None = None) -> Draw:
        """Deal rows of an epoch, in the profile's mix or another.

        Where a cap is met, that tier is closed to the row, and tiers are assigned anew.
        """
        drawn: list[tuple[int, int]] = []
        short: dict[str, dict[str, int]] = {}
        mix = mix or self.mix
        for category, chosen in rows.items():
            if not chosen:
                continue
            tiers_at_hand = [self._at_hand(example) for example in chosen]
            carry, capped = self._of_tiers[category], Counter[str]()
            wanted = carry.wanted(mix, len(chosen))
            order = self._random.sample(range(len(chosen)), len(chosen))  # one for all tries, so that few rows move
            while True:
                found = self._try(chosen, tiers_at_hand, order, wanted)
                if not found.stuck:
                    break
                for row, tier in found.stuck:
                    tiers_at_hand[row] = tiers_at_hand[row] - {tier}
                    capped[f"{TIERS[tier]}_capped"] += 1
            carry.settle(mix, Counter(found.tiers))
            self._used |= found.used
            self._of_positive, self._of_negative = found.of_positive, found.of_negative
            drawn += found.pairs
            if len(found.pairs) < len(chosen):
                empty = Counter(f"{TIERS[t]}_empty" for e in chosen for t in {0, 1, 2} - self._at_hand(e))
                short[category] = {"missing": len(chosen) - len(found.pairs)} | dict(sorted((empty + capped).items()))
        self._orders.clear()
        pairs = np.array(drawn, np.int64).reshape(-1, 2)
        return Draw(pairs[:, 0], pairs[:, 1], short)

    def _at_hand(self, example: int) -> frozenset[int]:
        first = len(TIERS) * example
        return frozenset(t for t in range(len(TIERS)) if self._starts[first + t + 1] > self._starts[first + t])

    def _try(
        self, chosen: list[int], tiers_at_hand: list[frozenset[int]], order: list[int], mix: dict[str, float]
    ) -> "_SamplingAttempt":
        of_positive, of_negative = self._of_positive.copy(), self._of_negative.copy()
        trial = _SamplingAttempt([], [], [], {}, of_positive, of_negative)
        for row, tier in sorted(assign(tiers_at_hand, order, mix).items()):
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
            trial.tiers.append(TIERS[tier])
        return trial

    def _next(self, key: int, trial: "_SamplingAttempt") -> int | None:
        """Return the next negative of an example's tier that is not at its cap; each once before any comes back."""
        size = self._starts[key + 1] - self._starts[key]
        used = trial.used.get(key, self._used.get(key, 0))
        counted, chunk, cap = trial.of_negative, self._chunk, self._params.cap_per_negative
        for place in range(used, used + size):
            cycle, step = divmod(place, size)
            negative = (self._orders.get((key, cycle)) or self._shuffled(key, cycle))[step]
            if counted[chunk[negative]] < cap:
                trial.used[key] = place + 1
                return negative
        return None

    def _shuffled(self, key: int, cycle: int) -> list[int]:
        negatives: list[int] = self._order[self._starts[key] : self._starts[key + 1]].tolist()
        order = Random(f"{self._seed}:{key}:{cycle}").sample(negatives, len(negatives))
        self._orders[key, cycle] = order
        return order


@dataclass(frozen=True, slots=True)
class _SamplingAttempt:
    """What came of dealing one category: triplets, rows that met a cap, and the counts with them."""

    pairs: list[tuple[int, int]]
    tiers: list[str]
    stuck: list[tuple[int, int]]
    used: dict[int, int]
    of_positive: Counter[tuple[int, int]]
    of_negative: Counter[int]


def assign(tiers_at_hand: list[frozenset[int]], order: list[int], mix: Mapping[str, float]) -> dict[int, int]:
    """Assign a tier to as many rows as possible such that the assigned rows follow the mix; row → place in TIERS.

    ``order`` of the rows decides which of them get which tier. Rows with the same tiers at hand are alike, so this is a
    flow through at most eight kinds of rows into three tiers. The largest number of rows is found by bisection.
    """
    rows: dict[frozenset[int], list[int]] = defaultdict(list)
    for row in order:
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


def _flow(
    sizes: list[int], kinds: list[frozenset[int]], mix: Mapping[str, float], number: int
) -> list[list[int]] | None:
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

"""Assign a tier and a negative to each sampled row.

The tier mix and the caps hold, and the negatives of a pool are sampled without replacement.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from random import Random

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from triptych.params.triplets import Triplets
from triptych.triplets.examples import Examples
from triptych.triplets.negatives import TIERS

# Of all examples whose pools have the same tiers the same object.
_SETS_OF_TIERS = {
    has: frozenset(tier for tier, one in enumerate(has) if one) for has in product((False, True), repeat=len(TIERS))
}


@dataclass(frozen=True, slots=True)
class SampledTriplets:
    """Triplets as rows of the examples and positions in their pool."""

    example: np.ndarray  # int64, shape (triplets,)
    negative: np.ndarray  # int64, shape (triplets,): index into the columns of ``Examples.pool``
    # Category → number of triplets missing, and how many rows had each cause (tier empty, tier at its cap).
    shortfall: dict[str, dict[str, int]]


def apportion(shares: Mapping[str, float], number: int) -> dict[str, int]:
    """Divide ``number`` by shares into whole parts that sum to it (largest remainders, Hamilton's method).

    >>> apportion({"easy": 0.3, "medium": 0.4, "hard": 0.3}, 8)
    {'easy': 3, 'medium': 3, 'hard': 2}
    """
    total = sum(shares.values())
    if not total:
        return {}
    exact = {key: number * share / total for key, share in shares.items()}
    parts = {key: int(value) for key, value in exact.items()}
    largest_remainders = sorted(exact, key=lambda key: (parts[key] - exact[key], key))
    for key in largest_remainders[: number - sum(parts.values())]:
        parts[key] += 1
    return parts


class RemainderCarry:
    """Divides a series of numbers by shares and carries rounding errors over, so that the sums follow the shares."""

    def __init__(self) -> None:
        self._remainders: dict[str, float] = defaultdict(float)

    def divide(self, shares: Mapping[str, float], number: int) -> dict[str, int]:
        """Return the parts of a number."""
        parts = apportion(self.adjusted(shares, number) if number else shares, number)
        self.settle(shares, parts)
        return parts

    def adjusted(self, shares: Mapping[str, float], number: int) -> dict[str, float]:
        """Return the shares of ``number``, at least 1, with the remainders of the divisions before."""
        total = sum(shares.values())
        return {key: max(share + self._remainders[key] * total / number, 0.0) for key, share in shares.items()}

    def settle(self, shares: Mapping[str, float], parts: dict[str, int]) -> None:
        """Record the parts that were assigned; only rounding is carried over, at most 1, not what was unavailable."""
        number, total = sum(parts.values()), sum(shares.values())
        for key, share in shares.items():
            remainder = self._remainders[key] + number * share / total - parts.get(key, 0)
            self._remainders[key] = min(max(remainder, -1.0), 1.0)

    def defer(self, shares: Mapping[str, float], available: Iterable[str]) -> None:
        """Record that none of the ``available`` parts was assigned: each gets its share of one more next time.

        Without it, small numbers of which another part takes all would never reach a part with a small share. What is
        not available has nothing carried over.
        """
        for key in shares.keys() - available:
            self._remainders[key] = min(self._remainders[key], 0.0)
        for key in available:
            self._remainders[key] = min(self._remainders[key] + shares[key] / sum(shares.values()), 1.0)


class TierSampler:
    """Assigns tiers and negatives to rows, and remembers which negatives of a pool were used."""

    def __init__(self, examples: Examples, params: Triplets, profile: str, seed: int) -> None:
        self.mix: dict[str, float] = getattr(params.profiles, profile).model_dump()
        self._params, self._random = params, Random(f"{seed}:deal")
        self._seed = seed
        self.use_pools(examples)
        self._carry_by_category: dict[str, RemainderCarry] = defaultdict(RemainderCarry)
        # Shuffled negatives by key and cycle, cached for one call of `sample`, whose attempts need them repeatedly.
        self._shuffled_by_cycle: dict[tuple[int, int], list[int]] = {}
        self.begin_epoch()

    def use_pools(self, examples: Examples) -> None:
        """Sample from the pools of ``examples`` from here on; the counts of the epoch, which are by chunk, go on."""
        pool = examples.pool
        keys = pool.anchors * len(TIERS) + pool.tier
        self._order = np.argsort(keys, kind="stable")  # negatives by example and tier
        starts = np.searchsorted(keys[self._order], np.arange(len(TIERS) * len(examples) + 1))
        # Not lists, whose numbers take seven times as much memory, nor NumPy's arrays, whose elements are slow to read.
        self._starts = array("q", starts.astype(np.int64).tobytes())
        self._positive_chunk = array("q", examples.positive_chunk.astype(np.int64).tobytes())
        self._chunk = array("i", pool.chunk.astype(np.int32).tobytes())
        self._used: dict[int, int] = {}  # key of example and tier → negatives used so far, over all epochs

    @property
    def has_negatives(self) -> bool:
        """Return whether any pool has a negative."""
        return bool(self._chunk)

    def begin_epoch(self) -> None:
        """Reset the counts that caps apply to."""
        self._positive_counts: Counter[tuple[int, int]] = Counter()
        self._negative_counts: Counter[int] = Counter()

    def sample(
        self,
        rows: dict[str, list[int]],
        mix: dict[str, float] | None = None,
        taken: dict[str, list[frozenset[int]]] | None = None,
    ) -> SampledTriplets:
        """Sample a negative for each row of the examples, given by category, in the profile's mix or another.

        ``taken`` are the negatives that each row has already: it gets none of them again. Where a row meets a cap, that
        tier is excluded for the row and the tiers of its category are assigned again.
        """
        pairs: list[tuple[int, int]] = []
        shortfall: dict[str, dict[str, int]] = {}
        mix = mix or self.mix
        for category, examples in rows.items():
            if not examples:
                continue
            available = [self._available_tiers(example) for example in examples]
            carry, causes = self._carry_by_category[category], Counter[str]()
            adjusted = carry.adjusted(mix, len(examples))
            order = self._random.sample(range(len(examples)), len(examples))  # the same in all attempts: few rows move
            while True:
                attempt = self._attempt(examples, available, order, adjusted, taken[category] if taken else None)
                if not attempt.capped:
                    break
                for row, tier in attempt.capped:
                    available[row] = available[row] - {tier}
                    causes[f"{TIERS[tier]}_capped"] += 1
            if attempt.tiers:
                carry.settle(mix, Counter(attempt.tiers))
            elif any(available):
                carry.defer(mix, {TIERS[tier] for tier in frozenset[int]().union(*available)})
            self._shuffled_by_cycle.clear()  # no other category has these examples
            self._used |= attempt.used
            self._positive_counts, self._negative_counts = attempt.positive_counts, attempt.negative_counts
            pairs += attempt.pairs
            if len(attempt.pairs) < len(examples):
                empty = Counter(f"{TIERS[t]}_empty" for e in examples for t in {0, 1, 2} - self._available_tiers(e))
                missing = len(examples) - len(attempt.pairs)
                shortfall[category] = {"missing": missing} | dict(sorted((empty + causes).items()))
        columns = np.array(pairs, np.int64).reshape(-1, 2)
        return SampledTriplets(columns[:, 0], columns[:, 1], shortfall)

    def _available_tiers(self, example: int) -> frozenset[int]:
        first = len(TIERS) * example
        return _SETS_OF_TIERS[tuple(self._starts[first + t + 1] > self._starts[first + t] for t in range(len(TIERS)))]

    def _attempt(
        self,
        examples: list[int],
        available: list[frozenset[int]],
        order: list[int],
        mix: dict[str, float],
        taken: list[frozenset[int]] | None,
    ) -> "_SamplingAttempt":
        positive_counts, negative_counts = self._positive_counts.copy(), self._negative_counts.copy()
        attempt = _SamplingAttempt([], [], [], {}, positive_counts, negative_counts)
        for row, tier in sorted(assign(available, order, mix).items()):
            example = examples[row]
            positive_and_tier = (self._positive_chunk[example], tier)
            negative = None
            if positive_counts[positive_and_tier] < self._params.cap_per_anchor:
                negative = self._next(len(TIERS) * example + tier, attempt, taken[row] if taken else frozenset())
            if negative is None:
                attempt.capped.append((row, tier))
                continue
            positive_counts[positive_and_tier] += 1
            negative_counts[self._chunk[negative]] += 1
            attempt.pairs.append((example, negative))
            attempt.tiers.append(TIERS[tier])
        return attempt

    def _next(self, key: int, attempt: "_SamplingAttempt", taken: frozenset[int]) -> int | None:
        """Return the next negative of an example's tier below its cap; all are used once before any is repeated.

        Those that are ``taken`` are passed over.
        """
        size = self._starts[key + 1] - self._starts[key]
        used = attempt.used.get(key, self._used.get(key, 0))
        counts, chunk, cap = attempt.negative_counts, self._chunk, self._params.cap_per_negative
        for index in range(used, used + size):
            cycle, position = divmod(index, size)
            negative = (self._shuffled_by_cycle.get((key, cycle)) or self._shuffled(key, cycle))[position]
            if counts[chunk[negative]] < cap and negative not in taken:
                attempt.used[key] = index + 1
                return negative
        return None

    def _shuffled(self, key: int, cycle: int) -> list[int]:
        negatives: list[int] = self._order[self._starts[key] : self._starts[key + 1]].tolist()
        shuffled = Random(f"{self._seed}:{key}:{cycle}").sample(negatives, len(negatives))
        self._shuffled_by_cycle[key, cycle] = shuffled
        return shuffled


@dataclass(frozen=True, slots=True)
class _SamplingAttempt:
    """Result of one sampling attempt for a category."""

    pairs: list[tuple[int, int]]  # example, negative
    tiers: list[str]  # of each pair
    capped: list[tuple[int, int]]  # row and tier, where a cap was met
    used: dict[int, int]  # as in `TierSampler`, for the keys that were sampled
    positive_counts: Counter[tuple[int, int]]
    negative_counts: Counter[int]


def assign(available: list[frozenset[int]], order: list[int], mix: Mapping[str, float]) -> dict[int, int]:
    """Assign a tier to as many rows as possible such that the assigned rows follow the mix; row → index in TIERS.

    ``available`` holds the tiers of each row that have candidates, ``order`` decides which rows get which tier. Rows
    with the same available tiers are interchangeable, so this is a maximum flow from at most eight kinds of rows to
    three tiers. The largest number of rows is found by bisection.
    """
    rows: dict[frozenset[int], list[int]] = defaultdict(list)
    for row in order:
        rows[available[row]].append(row)
    kinds = sorted(rows, key=sorted)
    sizes = [len(rows[kind]) for kind in kinds]
    high, low = len(available), 0
    best = _flow(sizes, kinds, mix, high)
    if best is None:
        while high - low > 1:
            number = (high + low) // 2
            flow = _flow(sizes, kinds, mix, number)
            best, low, high = (flow, number, high) if flow is not None else (best, low, number)
    assigned: dict[int, int] = {}
    for kind, counts in zip(kinds, best if best is not None else [], strict=False):
        unassigned = list(rows[kind])
        for tier, number in enumerate(counts):
            assigned |= {unassigned.pop(): tier for _ in range(number)}
    return assigned


def _flow(
    sizes: list[int], kinds: list[frozenset[int]], mix: Mapping[str, float], number: int
) -> list[list[int]] | None:
    """Return how many rows of each kind go to each tier so that ``number`` rows follow the mix, or None.

    A tier that no row has is left out: its rows are missing from the sample, and the other tiers get no more for it.
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

"""Draw triplets from the pools so that the promised mix holds: views, categories, tiers."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from triptych.params import Tiers, Views
from triptych.triplets.examples import Example
from triptych.triplets.tiers import TIERS, Negative
from triptych.triplets.views import VIEWS


@dataclass(frozen=True, slots=True)
class Triplet:
    """One row of training: an example with the negative drawn for it."""

    example: Example
    negative: Negative


def sample(examples: Sequence[Example], views: Views, mix: Tiers, number: int, seed: int) -> list[Triplet]:
    """Draw ``number`` triplets, fewer only where a tier has no candidate anywhere in a category.

    Views get their shares (those without examples give theirs to the others), categories equal parts within a
    view, and the tiers of each category follow the mix to the nearest row. Within a view and category no example
    comes back before all were drawn, and no negative of a pool's tier before all of them were.
    """
    cells: dict[str, dict[str, list[Example]]] = {view: defaultdict(list) for view in VIEWS}
    for example in examples:
        cells[example.view][example.category].append(example)
    present = {view: getattr(views, view) for view in VIEWS if cells[view] and getattr(views, view) > 0}
    rows: dict[str, list[Example]] = defaultdict(list)
    for view, wanted in apportion(present, number).items():
        equal = dict.fromkeys(sorted(cells[view]), 1.0)
        for category, part in apportion(equal, wanted).items():
            random = Random(f"{seed}:{view}:{category}")
            rows[category] += _cycle(cells[view][category], part, random)
    drawn: list[Triplet] = []
    for category, chosen in sorted(rows.items()):
        drawn += _with_negatives(chosen, mix, Random(f"{seed}:{category}"))
    return drawn


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


def tier_shares(triplets: Sequence[Triplet]) -> dict[str, dict[str, float]]:
    """Return category → tier → share, as drawn."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for one in triplets:
        counts[one.example.category][one.negative.tier] += 1
    return {
        category: {tier: found[tier] / found.total() for tier in TIERS} for category, found in sorted(counts.items())
    }


def _cycle(examples: list[Example], number: int, random: Random) -> list[Example]:
    """Go round a list, shuffled anew each time, until ``number`` are drawn."""
    drawn: list[Example] = []
    while len(drawn) < number:
        drawn += random.sample(examples, len(examples))[: number - len(drawn)]
    return drawn


def _with_negatives(chosen: list[Example], mix: Tiers, random: Random) -> list[Triplet]:
    """Give each drawn example a tier and a negative of it; where tiers are missing, as many as the mix allows."""
    pools = {id(example): _by_tier(example) for example in chosen}
    queues: dict[tuple[int, str], list[Negative]] = defaultdict(list)
    triplets = []
    for row, tier in sorted(_tiers([frozenset(pools[id(one)]) for one in chosen], mix, random).items()):
        example = chosen[row]
        queue = queues[id(example), tier]
        if not queue:
            pool = pools[id(example)][tier]
            queue += random.sample(pool, len(pool))
        triplets.append(Triplet(example, queue.pop()))
    return triplets


def _tiers(available: list[frozenset[str]], mix: Tiers, random: Random) -> dict[int, str]:
    """Assign a tier to as many rows as possible such that the assigned rows follow the mix; row → tier.

    Rows with the same tiers at hand are alike, so this is a flow through at most eight kinds of rows into three
    tiers. The largest number of rows is found by bisection.
    """
    rows: dict[frozenset[str], list[int]] = defaultdict(list)
    for row in random.sample(range(len(available)), len(available)):
        rows[available[row]].append(row)
    kinds = sorted(rows, key=sorted)
    most, least = len(available), 0
    best = _flow([len(rows[kind]) for kind in kinds], kinds, mix, most)
    if best is None:
        while most - least > 1:
            number = (most + least) // 2
            found = _flow([len(rows[kind]) for kind in kinds], kinds, mix, number)
            best, least, most = (found, number, most) if found is not None else (best, least, number)
    assigned: dict[int, str] = {}
    for kind, counts in zip(kinds, best if best is not None else [], strict=False):
        waiting = list(rows[kind])
        for tier, number in zip(TIERS, counts, strict=True):
            assigned |= {waiting.pop(): tier for _ in range(number)}
    return assigned


def _flow(sizes: list[int], kinds: list[frozenset[str]], mix: Tiers, number: int) -> list[list[int]] | None:
    """Return how many rows of each kind go to each tier so that ``number`` rows follow the mix, or None.

    A tier that no row has is left out; its rows are missing from the draw, the others are not made more.
    """
    quota = apportion({tier: getattr(mix, tier) for tier in TIERS}, number)
    quota = {tier: wanted * any(tier in kind for kind in kinds) for tier, wanted in quota.items()}
    source, sink = len(kinds) + len(TIERS), len(kinds) + len(TIERS) + 1
    capacity = np.zeros((sink + 1, sink + 1), dtype=np.int32)
    for index, (size, kind) in enumerate(zip(sizes, kinds, strict=True)):
        capacity[source, index] = size
        for place, tier in enumerate(TIERS):
            capacity[index, len(kinds) + place] = size if tier in kind else 0
    for place, tier in enumerate(TIERS):
        capacity[len(kinds) + place, sink] = quota[tier]
    result = maximum_flow(csr_array(capacity), source, sink)
    if result.flow_value < sum(quota.values()):
        return None
    return result.flow.toarray()[: len(kinds), len(kinds) : len(kinds) + len(TIERS)].tolist()


def _by_tier(example: Example) -> dict[str, list[Negative]]:
    found: dict[str, list[Negative]] = defaultdict(list)
    for negative in example.negatives:
        found[negative.tier].append(negative)
    return dict(found)

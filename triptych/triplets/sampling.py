"""Draw triplets from the pools so that the promised mix holds: views, categories, tiers."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

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
    """Give each drawn example a tier and a negative of it.

    Rows that have fewest tiers choose first, each the tier that is furthest from its quota; so the mix is met
    whenever the pools allow it, and never by renaming a tier.
    """
    pools = {id(example): _by_tier(example) for example in chosen}
    left = apportion({tier: getattr(mix, tier) for tier in TIERS}, len(chosen))
    order = random.sample(range(len(chosen)), len(chosen))
    order.sort(key=lambda row: len(pools[id(chosen[row])]))
    tiers: dict[int, str] = {}
    for row in order:
        options = [tier for tier in pools[id(chosen[row])] if left[tier] > 0]
        if options:
            weights = [left[tier] for tier in options]
            tiers[row] = random.choices(options, weights)[0]
            left[tiers[row]] -= 1
    used: dict[tuple[int, str], list[Negative]] = defaultdict(list)
    triplets = []
    for row, tier in sorted(tiers.items()):
        example = chosen[row]
        queue = used[(id(example), tier)]
        if not queue:
            pool = pools[id(example)][tier]
            queue += random.sample(pool, len(pool))
        triplets.append(Triplet(example, queue.pop()))
    return triplets


def _by_tier(example: Example) -> dict[str, list[Negative]]:
    found: dict[str, list[Negative]] = defaultdict(list)
    for negative in example.negatives:
        found[negative.tier].append(negative)
    return dict(found)

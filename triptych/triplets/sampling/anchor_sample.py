"""A sample of anchors: a large corpus gives millions, of which the steps of a training draw some thousands."""

from collections import defaultdict
from collections.abc import Sequence
from random import Random

from triptych.triplets.views import Anchor


def sample_anchors(anchors: list[Anchor], categories: Sequence[str], most: int, seed: int) -> list[Anchor]:
    """Return at most ``most`` anchors, drawn by seed, in their order.

    Each view in each category gets the same number, or all that it has; what those leave goes to the others.
    ``categories`` has the category of each chunk, by row of the corpus.
    """
    if len(anchors) <= most:
        return anchors
    cells = defaultdict[tuple[str, str], list[int]](list)
    for row, anchor in enumerate(anchors):
        cells[anchor.view, categories[anchor.positive]].append(row)
    drawn = list[int]()
    smallest_first = sorted(cells, key=lambda cell: (len(cells[cell]), cell))
    for number, cell in enumerate(smallest_first):
        part = (most - len(drawn)) // (len(cells) - number)
        rows = cells[cell]
        drawn += rows if len(rows) <= part else Random(f"{seed}:anchors:{cell}").sample(rows, part)
    return [anchors[row] for row in sorted(drawn)]

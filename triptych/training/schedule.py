"""What a run trains on, in order: rows of ids, a batch at a time, known before the first step."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from triptych.params import Train
from triptych.triplets.examples import Examples
from triptych.triplets.sampling import Draw

COLUMNS = ("anchor", "positive", "negative", "positive_chunk", "negative_chunk")


@dataclass(frozen=True, slots=True)
class Schedule:
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


def easy_first(examples: Examples, draw: Draw, passages: list[int], train: Train) -> dict[str, list[int]]:
    """Order drawn triplets for training; return columns of ids, row by row as they will be seen.

    With ``curriculum: easy_first`` easy rows come first and hard ones last; ``curriculum_overlap`` blurs the order
    (0 keeps tiers apart, large values shuffle). The mix over the whole run is that of the triplets.
    """
    tier, noise = examples.pool.tier[draw.negative], np.random.default_rng(train.seed).random(len(draw.negative))
    blurred = train.curriculum == "easy_first"
    order = np.argsort(tier / 2 + train.curriculum_overlap * noise if blurred else noise, kind="stable")
    example, chunk = draw.example[order], examples.pool.chunk[draw.negative[order]]
    columns = {
        "anchor": examples.anchor[example],
        "positive": examples.positive[example],
        "negative": np.array(passages)[chunk],
        "positive_chunk": examples.positive_chunk[example],
        "negative_chunk": chunk,
    }
    return {name: column.tolist() for name, column in columns.items()}

"""Whether the vectors or the scores of a batch are sound: numbers, and not all alike."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

_COSINE = 0.9  # of random pairs; more is a collapse, unless the model began near it
_DEVIATION = 0.05
_FLAT = 0.05  # of the first batch's deviation; less is a collapse of scores
_PATIENCE = 5  # batches in a row


@dataclass(frozen=True, slots=True)
class BatchHealth:
    """What is looked at after each batch."""

    loss: float
    finite: bool  # loss, vectors and gradient
    cosine: float | None  # mean over the pairs of different texts; None of scores
    deviation: float  # root mean square distance of a vector, or score, from their mean: 0 where all are alike


def examine(vectors: Tensor, loss: Tensor, gradients: Iterable[Tensor]) -> BatchHealth:
    """Look at unit vectors (texts, d) or scores (pairs, 1), the loss they gave, and gradients.

    All is one transfer from the device.
    """
    total, number = vectors.sum(dim=0), len(vectors)
    squares = vectors.square().sum()
    cosine = (total @ total - squares) / max(1, number * (number - 1))
    deviation = (squares / number - (total / number).square().sum()).clamp(min=0.0).sqrt()
    norm = get_total_norm(list(gradients))
    finite = torch.isfinite(vectors).all() & torch.isfinite(loss) & torch.isfinite(norm.to(loss.device))
    seen = torch.stack([loss.double(), finite.double(), cosine.double(), deviation.double()]).tolist()
    return BatchHealth(seen[0], bool(seen[1]), seen[2] if vectors.shape[1] > 1 else None, seen[3])


def statistics(vectors: Tensor) -> dict[str, Any]:
    """Return mean, std, min and max of the finite values of vectors (texts, d), and what was not finite."""
    finite = vectors[torch.isfinite(vectors)].double()
    if len(finite):
        figures = [finite.mean(), finite.std(unbiased=False), finite.min(), finite.max()]
    else:
        figures = [vectors.new_tensor(float("nan"))] * 4
    return {
        **dict(zip(("mean", "std", "min", "max"), map(float, figures), strict=True)),
        "any_nan": bool(torch.isnan(vectors).any()),
        "any_inf": bool(torch.isinf(vectors).any()),
        "texts": len(vectors),
        "texts_not_finite": int((~torch.isfinite(vectors).all(dim=1)).sum()),
    }


class CollapseDetector:
    """Watches for a model that begins to give all texts one vector, or all pairs one score.

    A batch is beyond the limit where random pairs have a mean cosine over 0.9. Some base models are narrow from the
    beginning and none the worse for it: for them the limit lies at four fifths of the way from the first batch's mean
    cosine to 1. Scores are beyond it where their deviation is a twentieth of the first batch's. Several batches beyond
    the limit in a row are a collapse.
    """

    def __init__(self) -> None:
        self.beyond = 0  # batches in a row
        self.start: float | None = None  # mean cosine, or deviation of scores, of the first batch ...
        self.last: float | None = None  # ... and of the last

    @property
    def limit(self) -> float:
        """Return the mean cosine over which a batch is beyond the limit."""
        return max(_COSINE, 1 - (1 - (self.start or 0.0)) / 5)

    @property
    def reached(self) -> bool:
        """Return whether the model has collapsed."""
        return self.beyond >= _PATIENCE

    def see(self, health: BatchHealth) -> None:
        """Take in one more batch."""
        self.last = health.deviation if health.cosine is None else health.cosine
        if self.start is None:
            self.start = self.last
        if health.cosine is None:
            alike = health.deviation < _FLAT * self.start
        else:
            alike = health.cosine > self.limit or health.deviation < _DEVIATION
        self.beyond = self.beyond + 1 if alike else 0

    def told(self, health: BatchHealth) -> str:
        """Return half a sentence on what is alike."""
        if health.cosine is None:
            return f"all pairs get one score: deviation {health.deviation:.2g}, at first {self.start:.2g}"
        return (
            f"all texts get one vector: mean cosine {health.cosine:.3f} (limit {self.limit:.3f}), deviation"
            f" {health.deviation:.3f}"
        )

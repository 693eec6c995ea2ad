"""Health of a batch: whether its vectors or scores are finite, and whether they are all alike (collapse)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

_COSINE = 0.9  # of random pairs; more is a collapse, unless the base model is near it already
_DEVIATION = 0.05
_FLAT = 0.05  # share of the first batch's deviation; less is a collapse of scores
_PATIENCE = 5  # batches in a row


@dataclass(frozen=True, slots=True)
class BatchHealth:
    """What is checked after each batch."""

    loss: float
    finite: bool  # loss, vectors and gradient have no NaN and no Inf
    cosine: float | None  # mean over the pairs of different texts; None for scores
    deviation: float  # root mean square distance of a vector, or score, from their mean: 0 if all are alike


def check_batch(vectors: Tensor, loss: Tensor, gradients: Iterable[Tensor]) -> BatchHealth:
    """Check unit vectors (texts, d) or scores (pairs, 1), their loss and gradients; one transfer from the device."""
    total, number = vectors.sum(dim=0), len(vectors)
    squares = vectors.square().sum()
    cosine = (total @ total - squares) / max(1, number * (number - 1))
    deviation = (squares / number - (total / number).square().sum()).clamp(min=0.0).sqrt()
    norm = get_total_norm(list(gradients))
    finite = torch.isfinite(vectors).all() & torch.isfinite(loss) & torch.isfinite(norm.to(loss.device))
    values = torch.stack([loss.double(), finite.double(), cosine.double(), deviation.double()]).tolist()
    return BatchHealth(values[0], bool(values[1]), values[2] if vectors.shape[1] > 1 else None, values[3])


def statistics(vectors: Tensor) -> dict[str, Any]:
    """Return mean, std, min and max of the finite values of vectors (texts, d), and how many texts are not finite."""
    finite = vectors[torch.isfinite(vectors)].double()
    if len(finite):
        values = [finite.mean(), finite.std(unbiased=False), finite.min(), finite.max()]
    else:
        values = [vectors.new_tensor(float("nan"))] * 4
    return {
        **dict(zip(("mean", "std", "min", "max"), map(float, values), strict=True)),
        "any_nan": bool(torch.isnan(vectors).any()),
        "any_inf": bool(torch.isinf(vectors).any()),
        "texts": len(vectors),
        "texts_not_finite": int((~torch.isfinite(vectors).all(dim=1)).sum()),
    }


class CollapseDetector:
    """Detects a model that starts to give all texts one vector, or all pairs one score.

    A batch is beyond the limit if random pairs have a mean cosine above 0.9. Some good base models have high cosines
    from the start: for them the limit is four fifths of the way from the first batch's mean cosine to 1. Scores are
    beyond it if their deviation is below a twentieth of the first batch's. Several batches in a row beyond the limit
    are a collapse.
    """

    def __init__(self) -> None:
        self.beyond = 0  # batches in a row beyond the limit
        self.start: float | None = None  # mean cosine, or deviation of scores, of the first batch
        self.last: float | None = None  # the same of the last batch

    @property
    def limit(self) -> float:
        """Return the mean cosine above which a batch is beyond the limit."""
        return max(_COSINE, 1 - (1 - (self.start or 0.0)) / 5)

    @property
    def collapsed(self) -> bool:
        """Return whether the model has collapsed."""
        return self.beyond >= _PATIENCE

    def update(self, health: BatchHealth) -> None:
        """Count one more batch."""
        self.last = health.deviation if health.cosine is None else health.cosine
        if self.start is None:
            self.start = self.last
        if health.cosine is None:
            alike = health.deviation < _FLAT * self.start
        else:
            alike = health.cosine > self.limit or health.deviation < _DEVIATION
        self.beyond = self.beyond + 1 if alike else 0

    def describe(self, health: BatchHealth) -> str:
        """Return a clause on what is alike, with its values."""
        if health.cosine is None:
            return f"all pairs get one score: deviation {health.deviation:.2g}, at first {self.start:.2g}"
        return (
            f"all texts get one vector: mean cosine {health.cosine:.3f} (limit {self.limit:.3f}), deviation"
            f" {health.deviation:.3f}"
        )

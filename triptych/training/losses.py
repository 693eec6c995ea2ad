"""Losses over the unit vectors of a batch's distinct texts, in float32 whatever precision the model computes in."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, normalize

from triptych.training.data.batch import Rows
from triptych.triplets.negatives import TIERS


class ContrastiveLoss(nn.Module):
    """A loss of a batch's vectors, which `triptych.training.fast.grad_cache` computes, each text's once.

    A row is active, it still has something to teach, if its loss is above ``active_above``; `activity` counts them.
    With ``sizes`` the loss is the mean over the whole vectors and the vectors cut to each size.
    """

    active_above = 0.0
    sizes: Sequence[int] = ()

    def __init__(self) -> None:
        super().__init__()
        self._counts: Tensor | None = None  # int64, shape (2, tiers): rows, and active rows, since the last `activity`

    def forward(self, vectors: Tensor, rows: Rows) -> Tensor:
        """Return the scalar loss of unit vectors (texts, d); ``rows`` are those of the batch."""
        # Outside autocast: at a temperature of 0.05, half precision rounds away the differences between candidates.
        with torch.autocast(vectors.device.type, enabled=False):
            passages = rows["frozen"] if "frozen" in rows else vectors[rows["passages"]]
            queries = vectors[rows["queries"]]
            losses = self.row_losses(queries, passages, rows)
            cut = [self.row_losses(_first(size, queries), _first(size, passages), rows) for size in self.sizes]
        if "tier" in rows:
            of_tier = rows["tier"][:, None] == torch.arange(len(TIERS), device=losses.device)
            active = (losses.detach() > self.active_above)[:, None]
            counts = torch.stack([of_tier.sum(dim=0), (of_tier & active).sum(dim=0)])
            self._counts = counts if self._counts is None else self._counts + counts
        return torch.stack([losses, *cut]).mean() if cut else losses.mean()

    def row_losses(self, queries: Tensor, passages: Tensor, rows: Rows) -> Tensor:
        """Return the loss of each row, shape (B,), from unit vectors (Q, d) and (P, d)."""
        raise NotImplementedError

    def activity(self) -> dict[str, tuple[int, int]]:
        """Return tier → (rows, active rows) since the last call; tiers without rows are absent."""
        if self._counts is None:
            return {}
        rows, active = self._counts.tolist()
        self._counts = None
        return {tier: (all_, part) for tier, all_, part in zip(TIERS, rows, active, strict=True) if all_}

    def get_config_dict(self) -> dict[str, Any]:
        """Return nothing: the library's model card is not used."""
        return {}


def _first(size: int, vectors: Tensor) -> Tensor:
    """Return the first dimensions of vectors, as unit vectors."""
    return normalize(vectors[:, :size], dim=-1)


class TripletLoss(ContrastiveLoss):
    """Cosine triplet loss: max(0, margin - cos(a, p) + cos(a, n)) (Schroff et al. 2015, with cosine distance).

    A row is active while its margin is not reached.
    """

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def row_losses(self, queries: Tensor, passages: Tensor, rows: Rows) -> Tensor:
        """Return the loss of each triplet, shape (B,)."""
        anchors = queries[rows["anchor"]]
        positive = (anchors * passages[rows["positive"]]).sum(dim=-1)
        negative = (anchors * passages[rows["negative"]]).sum(dim=-1)
        return torch.relu(self.margin - positive + negative)


class SoftmaxLoss(ContrastiveLoss):
    """Cross-entropy of the positive among all passages of the batch (InfoNCE, van den Oord et al. 2018).

    Passages related to an anchor's positive are left out of its denominator: they are not negatives. With
    ``mask_above``, so are passages (stored negatives too) whose cosine exceeds the positive's by more than that: they
    are likely false negatives (Qwen3-Embedding, Zhang et al. 2025, with 0.1). A row is active while its positive has
    less than 0.9 of the probability.
    """

    active_above = -math.log(0.9)

    def __init__(self, temperature: float, mask_above: float | None = None) -> None:
        super().__init__()
        self.temperature, self.mask_above = temperature, mask_above

    def row_losses(self, queries: Tensor, passages: Tensor, rows: Rows) -> Tensor:
        """Return the loss of each row, shape (B,)."""
        scores = queries[rows["anchor"]] @ passages.T
        positive = rows["positive"][:, None]
        is_positive = torch.zeros_like(rows["related"]).scatter_(1, positive, True)
        masked = rows["related"]
        if self.mask_above is not None:
            masked = masked | (scores > scores.gather(1, positive) + self.mask_above)
        scores = (scores / self.temperature).masked_fill(masked & ~is_positive, float("-inf"))
        return cross_entropy(scores, rows["positive"], reduction="none")


class DistillLoss(ContrastiveLoss):
    """KL divergence of the student from the teacher over a row's passages (Hinton et al. 2015).

    The student's cosines are divided by the standard deviation of the base model's (``scale``), so that they are on
    the scale of the teacher's z-scores.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def row_losses(self, queries: Tensor, passages: Tensor, rows: Rows) -> Tensor:
        """Return the loss of each row, shape (B,)."""
        given = rows["teacher"] > float("-inf")
        lowest = torch.finfo(queries.dtype).min  # not -inf, whose difference to itself is NaN
        scores = queries[rows["anchor"]] @ passages.T / rows["scale"][:, None] / self.temperature
        student = log_softmax(scores.masked_fill(~given, lowest), dim=-1)
        teacher = log_softmax((rows["teacher"] / self.temperature).masked_fill(~given, lowest), dim=-1)
        return ((teacher - student) * teacher.exp()).masked_fill(~given, 0.0).sum(dim=-1)

"""Losses over unit vectors of the distinct texts of a batch, in float32 whatever the model computes in."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax

from triptych.triplets.negatives import TIERS

Rows = dict[str, Tensor]


class ContrastiveLoss(nn.Module):
    """A loss of a batch's vectors; `triptych.training.fast.grad_cache` makes them, each text's once.

    A row whose loss is above ``active_above`` still teaches something; `activity` tells how many do.
    """

    active_above = 0.0

    def __init__(self) -> None:
        super().__init__()
        self._seen: Tensor | None = None  # int64, shape (2, tiers): rows so far, and those of them that were active

    def forward(self, vectors: Tensor, rows: Rows) -> Tensor:
        """Return the scalar loss of unit vectors (texts, d); `triptych.training.data.collator` makes ``rows``."""
        # Outside autocast: with a temperature of 0.05 half precision loses what tells candidates apart.
        with torch.autocast(vectors.device.type, enabled=False):
            losses = self.of_vectors(vectors[rows["queries"]], vectors[rows["passages"]], rows)
        if "tier" in rows:
            of_tier = rows["tier"][:, None] == torch.arange(len(TIERS), device=losses.device)
            active = (losses.detach() > self.active_above)[:, None]
            seen = torch.stack([of_tier.sum(dim=0), (of_tier & active).sum(dim=0)])
            self._seen = seen if self._seen is None else self._seen + seen
        return losses.mean()

    def of_vectors(self, queries: Tensor, passages: Tensor, rows: Rows) -> Tensor:
        """Return the loss of each row, shape (B,), from unit vectors (Q, d) and (P, d)."""
        raise NotImplementedError

    def activity(self) -> dict[str, tuple[int, int]]:
        """Return tier → rows since this was last asked, and how many were active; tiers without rows are absent."""
        if self._seen is None:
            return {}
        rows, active = self._seen.tolist()
        self._seen = None
        return {tier: (all_, part) for tier, all_, part in zip(TIERS, rows, active, strict=True) if all_}

    def get_config_dict(self) -> dict[str, Any]:
        """Return what the model card shows."""
        return {}


class TripletLoss(ContrastiveLoss):
    """Cosine triplet loss: max(0, margin - cos(a, p) + cos(a, n)) (Schroff et al. 2015, with cosine distance).

    A row is active while its margin is not kept.
    """

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def of_vectors(self, queries: Tensor, passages: Tensor, rows: Rows) -> Tensor:
        """Return the loss of each triplet, shape (B,)."""
        anchors = queries[rows["anchor"]]
        positive = (anchors * passages[rows["positive"]]).sum(dim=-1)
        negative = (anchors * passages[rows["negative"]]).sum(dim=-1)
        return torch.relu(self.margin - positive + negative)


class SoftmaxLoss(ContrastiveLoss):
    """Cross-entropy of the positive among all passages of the batch (InfoNCE, van den Oord et al. 2018).

    Passages related to an anchor's positive are taken out of its denominator: they are no negatives. So are, stored
    negatives too, those whose cosine passes the positive's by more than ``mask_above``, if that is given: likely false
    negatives (Qwen3-Embedding, Zhang et al. 2025, with 0.1). A row is active while more than a tenth of the probability
    lies elsewhere than on its positive.
    """

    active_above = -math.log(0.9)

    def __init__(self, temperature: float, mask_above: float | None = None) -> None:
        super().__init__()
        self.temperature, self.mask_above = temperature, mask_above

    def of_vectors(self, queries: Tensor, passages: Tensor, rows: Rows) -> Tensor:
        """Return the loss of each row, shape (B,)."""
        scores = queries[rows["anchor"]] @ passages.T
        place = rows["positive"][:, None]
        own = torch.zeros_like(rows["related"]).scatter_(1, place, True)
        masked = rows["related"]
        if self.mask_above is not None:
            masked = masked | (scores > scores.gather(1, place) + self.mask_above)
        scores = (scores / self.temperature).masked_fill(masked & ~own, float("-inf"))
        return cross_entropy(scores, rows["positive"], reduction="none")


class DistillLoss(ContrastiveLoss):
    """KL divergence of the student from the teacher over a row's passages (Hinton et al. 2015).

    ``rows`` holds places of the anchors (B,), the teacher's z-scores (B, P), -inf where a passage is not the row's, and
    the deviation of the base model's cosines (B,), by which the student's are brought to the same scale.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def of_vectors(self, queries: Tensor, passages: Tensor, rows: Rows) -> Tensor:
        """Return the loss of each row, shape (B,)."""
        taught = rows["teacher"] > float("-inf")
        lowest = torch.finfo(queries.dtype).min  # not -inf, whose difference to itself is NaN
        scores = queries[rows["anchor"]] @ passages.T / rows["scale"][:, None] / self.temperature
        student = log_softmax(scores.masked_fill(~taught, lowest), dim=-1)
        teacher = log_softmax((rows["teacher"] / self.temperature).masked_fill(~taught, lowest), dim=-1)
        return ((teacher - student) * teacher.exp()).masked_fill(~taught, 0.0).sum(dim=-1)

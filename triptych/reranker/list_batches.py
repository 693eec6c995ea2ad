"""The reranker's training data: lists of pairs, their collator, and the losses of their scores."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from triptych.ids import TextIds
from triptych.params.sections import TrainReranker
from triptych.tokens.pair_store import PairStore
from triptych.training.data.batch_schedule import FixedSchedule
from triptych.training.data.collator import Batch, like_length
from triptych.training.data.training_data import TrainingData
from triptych.training.losses import ContrastiveLoss, Rows
from triptych.triplets.examples import Examples
from triptych.triplets.sampling.reranker_lists import RerankerLists


@dataclass(frozen=True, slots=True)
class ListCollator:
    """Makes batches of lists: each pair once, in a few groups of like length; ``pairs`` (B, 1 + N) says where.

    The first pair of a list is that of anchor and positive.
    """

    store: PairStore
    passages: np.ndarray  # text id of each chunk
    fixed: bool

    def __call__(self, rows: list[dict[str, Any]]) -> Batch:
        """Return the batch of some rows: an anchor and a positive by text, negatives by chunk."""
        second = np.array([[row["positive"], *self.passages[row["negatives"]]] for row in rows])
        first = np.broadcast_to(np.array([row["anchor"] for row in rows])[:, None], second.shape)
        pairs, place = np.unique(np.stack([first.ravel(), second.ravel()], axis=1), axis=0, return_inverse=True)
        groups = [np.arange(len(pairs))] if self.fixed else like_length(self.store.lengths(pairs))
        stands = np.empty(len(pairs), np.int64)
        stands[np.concatenate(groups)] = np.arange(len(pairs))
        made = [self.store.pad(pairs[group], self.fixed) for group in groups]
        features = [{name: torch.from_numpy(one) for name, one in group.items()} for group in made]
        return {"features": features, "rows": {"pairs": torch.from_numpy(stands[place.reshape(second.shape)])}}


class ListLoss(ContrastiveLoss):
    """A loss of lists of scores, each of a positive and its negatives."""

    def forward(self, vectors: Tensor, rows: Rows) -> Tensor:
        """Return the scalar loss of scores (pairs, 1), computed in float32 in any precision of the model."""
        with torch.autocast(vectors.device.type, enabled=False):
            return self.of_scores(vectors[:, 0][rows["pairs"]])

    def of_scores(self, scores: Tensor) -> Tensor:
        """Return the loss of scores (B, 1 + N), the positive's first."""
        raise NotImplementedError


class ListwiseLoss(ListLoss):
    """Cross-entropy of the positive in its list (ListNet with one relevant text: Cao et al. 2007)."""

    def of_scores(self, scores: Tensor) -> Tensor:
        """Return the mean over the lists."""
        return cross_entropy(scores, scores.new_zeros(len(scores), dtype=torch.long))


class PointwiseLoss(ListLoss):
    """Binary cross-entropy of each pair; a positive counts ``positive_weight`` times."""

    def __init__(self, positive_weight: float) -> None:
        super().__init__()
        self.positive_weight = positive_weight

    def of_scores(self, scores: Tensor) -> Tensor:
        """Return the mean over the pairs."""
        labels = torch.zeros_like(scores)
        labels[:, 0] = 1.0
        return binary_cross_entropy_with_logits(scores, labels, pos_weight=scores.new_tensor(self.positive_weight))


def list_loss(params: TrainReranker) -> ListLoss:
    """Return the loss of ``params``; without ``positive_weight`` a positive counts as much as all its negatives."""
    if params.loss == "listwise":
        return ListwiseLoss()
    return PointwiseLoss(float(params.negatives if params.positive_weight is None else params.positive_weight))


def list_training_data(
    examples: Examples, lists: RerankerLists, passage_ids: TextIds, store: PairStore, params: TrainReranker, fixed: bool
) -> TrainingData:
    """Return the lists in the order of training, in batches of ``params.batch_size``.

    ``passage_ids`` has the text id of every chunk of the corpus; ``fixed`` pads all pairs to ``max_length``.
    """
    columns = {
        "anchor": examples.anchor[lists.example].tolist(),
        "positive": examples.positive[lists.example].tolist(),
        "positive_chunk": examples.positive_chunk[lists.example].tolist(),
        "negatives": lists.negatives.tolist(),
    }
    schedule = FixedSchedule(columns, params.batch_size)
    return TrainingData(schedule, ListCollator(store, passage_ids, fixed), params.loss, params.steps)

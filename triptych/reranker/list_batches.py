"""The reranker's training data: lists of pairs, their collator, and the losses of their scores."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from triptych.encoding.encode_windows import Closest
from triptych.ids import TextIds
from triptych.params.sections import TrainReranker
from triptych.tokens.pair_store import PairStore
from triptych.training.data.batch import Batch, Columns, Rows
from triptych.training.data.batch_schedule import FixedSchedule
from triptych.training.data.collator import like_length, positions_in_groups
from triptych.training.data.training_data import TrainingData
from triptych.training.losses import ContrastiveLoss
from triptych.triplets.examples import Examples
from triptych.triplets.sampling.reranker_lists import RerankerLists


@dataclass(frozen=True, slots=True)
class ListCollator:
    """Collates lists: each distinct pair once, padded in a few groups of similar length."""

    store: PairStore
    fixed: bool

    def __call__(self, columns: Columns) -> Batch:
        """Return the batch of rows with an ``anchor``, a ``positive`` and ``negatives``, all given as text ids."""
        passages = np.concatenate([columns["positive"][:, None], columns["negatives"]], axis=1)
        anchors = np.broadcast_to(columns["anchor"][:, None], passages.shape)
        pairs, inverse = np.unique(np.stack([anchors.ravel(), passages.ravel()], axis=1), axis=0, return_inverse=True)
        groups = [np.arange(len(pairs))] if self.fixed else like_length(self.store.lengths(pairs))
        features = [
            {name: torch.from_numpy(one) for name, one in self.store.pad(pairs[group], self.fixed).items()}
            for group in groups
        ]
        positions = positions_in_groups(groups)[torch.from_numpy(inverse.reshape(passages.shape))]
        return Batch(features=features, rows=Rows(pairs=positions))


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
    examples: Examples,
    lists: RerankerLists,
    passage_ids: TextIds,
    store: PairStore,
    params: TrainReranker,
    fixed: bool,
    closest: Closest | None = None,
) -> TrainingData:
    """Return the lists in the order of training, in batches of ``params.batch_size``.

    ``passage_ids`` has the text id of every chunk of the corpus; ``fixed`` pads all pairs to ``max_length``. Of a
    negative the reranker reads the window that is ``closest`` to the anchor; None: its passage.
    """
    anchors, negatives = examples.anchor[lists.example], passage_ids[lists.negatives]
    if closest is not None:
        negatives = closest(np.repeat(anchors, negatives.shape[1]), negatives.ravel()).reshape(negatives.shape)
    columns = {
        "anchor": anchors,
        "positive": examples.positive[lists.example],
        "positive_chunk": examples.positive_chunk[lists.example],
        "negatives": negatives,
    }
    schedule = FixedSchedule.from_columns(columns, params.batch_size)
    return TrainingData(schedule, ListCollator(store, fixed), params.loss, params.steps)

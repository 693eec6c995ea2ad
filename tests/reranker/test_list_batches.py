"""Batches of lists of pairs, and their losses compared with formulas."""

import math

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from triptych.reranker.list_batches import ListCollator, ListwiseLoss, PointwiseLoss
from triptych.tokens.pair_store import PairStore, PairTemplate
from triptych.tokens.token_store import pack
from triptych.training.fast.grad_cache import GradCache

STORE = PairStore(
    pack([[5] * (1 + number % 7) for number in range(20)], {"max_length": 99}),
    0,
    0,
    PairTemplate((1,), (2,), (2,), None, False, False, 0),
    40,
)
ROWS = [
    {"anchor": 0, "positive": 10, "negatives": [11, 12]},
    {"anchor": 6, "positive": 15, "negatives": [16, 12]},
    {"anchor": 0, "positive": 11, "negatives": [10, 13]},
]
COLUMNS = {name: np.array([row[name] for row in ROWS]) for name in ROWS[0]}


@pytest.mark.parametrize("fixed", [False, True])
def test_a_batch_has_each_pair_once_and_the_positions_of_each_list(fixed):
    batch = ListCollator(STORE, fixed)(COLUMNS)
    position, features = batch["rows"]["pairs"], batch["features"]
    read = [ids[mask.bool()].tolist() for one in features for ids, mask in zip(*one.values(), strict=True)]
    assert position.shape == (3, 3)
    assert len(read) == 7  # anchor 0 has texts 10 and 11 twice: as positive and as negative
    for row, positions in zip(ROWS, position.tolist(), strict=True):
        for passage, index in zip((row["positive"], *row["negatives"]), positions, strict=True):
            assert read[index] == STORE[row["anchor"], passage][0].tolist()
    assert len(features) == 1 if fixed else len({one["input_ids"].shape[1] for one in features}) == len(features)


def test_listwise_loss_is_the_cross_entropy_of_the_positive():
    scores = torch.tensor([[2.0], [0.0], [1.0]])
    loss = ListwiseLoss()(scores, {"pairs": torch.tensor([[0, 1, 2], [1, 0, 2]])})
    total = math.exp(2) + 1 + math.e
    assert loss.item() == pytest.approx((math.log(total) - 2 + math.log(total)) / 2)


def test_pointwise_loss_weights_the_positive():
    scores = torch.tensor([[0.3], [-1.0], [2.0]])
    loss = PointwiseLoss(3.0)(scores, {"pairs": torch.tensor([[0, 1, 2]])})
    no = [math.log1p(math.exp(one)) for one in (-1.0, 2.0)]
    assert loss.item() == pytest.approx((3 * math.log1p(math.exp(-0.3)) + sum(no)) / 3)


class Scorer(nn.Module):
    """Scores pairs by the sum of their tokens' embeddings, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.embeddings, self.dropout = nn.Embedding(8, 4), nn.Dropout(0.4)

    def forward(self, features):
        embedded = self.dropout(self.embeddings(features["input_ids"])) * features["attention_mask"][..., None]
        return {"scores": embedded.sum(dim=(1, 2))[:, None]}


@pytest.mark.parametrize("loss", [ListwiseLoss(), PointwiseLoss(2.0)])
def test_the_gradient_of_pairs_in_pieces_is_that_of_the_batch(loss):
    batch, gradients = ListCollator(STORE, True)(COLUMNS), []
    for budget in (10**6, 1):
        model = Scorer().eval()
        GradCache(loss, Accelerator(cpu=True), budget).backward(model, batch)
        gradients.append(model.embeddings.weight.grad)
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(*gradients)

"""Losses against values computed by hand."""

import math

import pytest
import torch

from triptych.training.losses import SoftmaxLoss, TripletLoss

QUERIES = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
PASSAGES = torch.tensor([[0.8, 0.6], [0.6, 0.8], [1.0, 0.0]])


def rows(anchor=(0, 1), positive=(0, 1), negative=(2, 2), related=((1, 0, 0), (0, 1, 0))):
    places = {"anchor": anchor, "positive": positive, "negative": negative}
    return {name: torch.tensor(place) for name, place in places.items()} | {"related": torch.tensor(related).bool()}


def test_triplet_loss_by_hand():
    # First: 0.3 - 0.8 + 1.0 = 0.5; second: 0.3 - 0.8 + 0.0 < 0.
    assert TripletLoss(0.3).row_losses(QUERIES, PASSAGES, rows()).mean().item() == pytest.approx(0.25)


def test_triplet_loss_is_zero_where_the_margin_is_kept():
    assert TripletLoss(0.2).row_losses(QUERIES, PASSAGES, rows(negative=(1, 0))).mean().item() == 0.0


def test_softmax_loss_by_hand():
    first = math.log(sum(math.exp(score / 0.5) for score in (0.8, 0.6, 1.0))) - 0.8 / 0.5
    second = math.log(sum(math.exp(score / 0.5) for score in (0.6, 0.8, 0.0))) - 0.8 / 0.5
    loss = SoftmaxLoss(0.5).row_losses(QUERIES, PASSAGES, rows()).mean()
    assert loss.item() == pytest.approx((first + second) / 2)


def test_related_passages_are_not_negatives():
    related = ((1, 1, 0), (0, 1, 1))
    first = math.log(math.exp(1.6) + math.exp(2.0)) - 1.6
    second = math.log(math.exp(1.2) + math.exp(1.6)) - 1.6
    loss = SoftmaxLoss(0.5).row_losses(QUERIES, PASSAGES, rows(related=related)).mean()
    assert loss.item() == pytest.approx((first + second) / 2)


def test_related_passages_get_no_gradient():
    passages = PASSAGES.clone().requires_grad_()
    everywhere = ((1, 1, 0), (1, 1, 0))
    SoftmaxLoss(0.5).row_losses(QUERIES[:1], passages, rows((0, 0), (0, 0), related=everywhere)).mean().backward()
    assert passages.grad[1].tolist() == [0.0, 0.0]
    assert passages.grad[2].abs().sum() > 0


def test_passages_far_above_the_positive_are_not_negatives():
    # Of the first row 1.0 passes 0.8 by 0.2, of the second nothing passes 0.8.
    first, second = (math.log(math.exp(1.6) + math.exp(1.2)) - 1.6, math.log(sum(map(math.exp, (1.2, 1.6, 0.0)))) - 1.6)
    assert SoftmaxLoss(0.5, 0.1).row_losses(QUERIES, PASSAGES, rows()).mean().item() == pytest.approx(
        (first + second) / 2
    )
    whole = SoftmaxLoss(0.5).row_losses(QUERIES, PASSAGES, rows()).mean().item()
    assert SoftmaxLoss(0.5, 0.25).row_losses(QUERIES, PASSAGES, rows()).mean().item() == whole


def test_a_positive_below_all_others_is_kept_and_masked_passages_get_no_gradient():
    passages = PASSAGES.clone().requires_grad_()
    only = rows((0,), (1,), (2,), ((0, 0, 0),))
    loss = SoftmaxLoss(0.5, 0.1).row_losses(QUERIES[:1], passages, only).mean()
    loss.backward()
    assert loss.item() == 0.0
    assert not passages.grad.any()


def test_the_positive_counts_though_it_is_related_to_itself():
    alone = SoftmaxLoss(0.5).row_losses(QUERIES, PASSAGES, rows(related=((1, 1, 1), (1, 1, 1))))
    assert alone.mean().item() == pytest.approx(0.0)


@pytest.mark.parametrize("loss", [TripletLoss, SoftmaxLoss])
def test_loss_is_float32_under_autocast(loss):
    texts = {"queries": torch.tensor([0, 1]), "passages": torch.tensor([2, 3, 4])}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(0.5)(torch.cat([QUERIES, PASSAGES]), rows() | texts)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(loss(0.5).row_losses(QUERIES, PASSAGES, rows()).mean().item())


@pytest.mark.parametrize(("loss", "expected"), [(TripletLoss(0.3), [2, 0]), (SoftmaxLoss(0.05), [2, 0])])
def test_a_row_is_active_while_it_teaches_something(loss, expected):
    # Of the first row the negative is nearer than the positive; of the second nothing is near but the positive.
    texts = {"queries": torch.tensor([0, 1]), "passages": torch.tensor([2, 3, 4])}
    given = rows(related=((1, 0, 0), (1, 1, 0))) | texts | {"tier": torch.tensor([2, 0], dtype=torch.int8)}
    loss(torch.cat([QUERIES, PASSAGES]), given)
    loss(torch.cat([QUERIES, PASSAGES]), given)
    assert loss.activity() == {"hard": (2, expected[0]), "easy": (2, expected[1])}
    assert loss.activity() == {}


def test_matryoshka_is_the_mean_over_the_sizes():
    queries = torch.nn.functional.normalize(torch.arange(1.0, 9.0).reshape(2, 4).flip(1), dim=-1)
    passages = torch.nn.functional.normalize(torch.tensor([[1.0, 9, 2, 4], [3, 1, 5, 1], [2, 2, 0, 7]]), dim=-1)
    vectors, places = (
        torch.cat([queries, passages]),
        rows() | {"queries": torch.arange(2), "passages": torch.arange(2, 5)},
    )
    loss = SoftmaxLoss(0.5)
    whole = loss(vectors, places)
    cut = loss(torch.nn.functional.normalize(vectors[:, :2], dim=-1), places)
    assert abs(float(whole - cut)) > 0.01
    loss.sizes = [2]
    assert float(loss(vectors, places)) == pytest.approx(float(whole + cut) / 2)


def test_frozen_passages_take_the_place_of_the_encoded_ones():
    queries, loss = QUERIES.clone().requires_grad_(), SoftmaxLoss(0.5)
    both = loss(torch.cat([QUERIES, PASSAGES]), rows() | {"queries": torch.arange(2), "passages": torch.arange(2, 5)})
    alone = loss(queries, rows() | {"queries": torch.arange(2), "frozen": PASSAGES})
    assert alone.item() == both.item()
    alone.backward()
    assert queries.grad.abs().sum() > 0

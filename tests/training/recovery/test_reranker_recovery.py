"""A cross-encoder recovers by the same code as an embedder."""

import json

import pytest
import torch
from short_runs import KilledError, limited

from triptych.errors import UserError
from triptych.reranker.list_batches import ListwiseLoss


def same(one, other, tolerance=0.0):
    assert one.keys() == other.keys()
    return all(torch.allclose(one[name], other[name], rtol=0, atol=tolerance) for name in one)


@pytest.fixture
def spoiled(monkeypatch):
    """Make the loss of chosen calls NaN, counted from 1."""

    def spoil(calls):
        called, whole = [], ListwiseLoss.of_scores

        def of_scores(self, scores):
            called.append(scores)
            return whole(self, scores) * (float("nan") if len(called) in calls else 1.0)

        monkeypatch.setattr(ListwiseLoss, "of_scores", of_scores)

    return spoil


def test_scores_that_are_not_finite_are_computed_again_or_left_out(short_lists, spoiled, tmp_path):
    whole = short_lists()
    spoiled({2})
    again = short_lists(checkpoints=tmp_path / "run/key")
    assert same(again[3], whole[3])
    assert again[2].incidents.repeated_in_float32 == 1
    (line,) = (tmp_path / "run/faults.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["rows"][0]["negatives"]
    spoiled({2, 3})
    left_out = short_lists()
    assert left_out[2].incidents.restored == 1
    assert left_out[2].losses[1] is None


def test_pairs_go_in_pieces_where_memory_runs_out_with_the_same_gradient(short_lists):
    whole, pieces = short_lists(), short_lists(touch=limited(256))
    assert pieces[2].incidents.out_of_memory > 0
    assert pieces[2].losses == pytest.approx(whole[2].losses, rel=1e-3)


def test_a_smaller_adapter_keeps_what_the_head_has_learned(short_lists):
    heads, calls = [], []

    def touch(model):
        heads.append(model[0].model.base_model.model.classifier.modules_to_save["default"].weight.detach().clone())

        def hook(module, given):
            if not torch.is_grad_enabled():
                return
            calls.append(given)
            if len(calls) in {33, 34, 35}:  # the third step, and that step again with gradient checkpointing
                head = model[0].model.base_model.model.classifier.modules_to_save["default"].weight
                heads.append(head.detach().clone())
            if len(calls) in {33, 34}:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

        model[0].register_forward_pre_hook(hook)

    model, _, trained, _, _ = short_lists(touch=touch, **{"train.micro_batch_tokens": 1})
    assert trained.incidents.out_of_memory == 2
    assert model[0].model.active_peft_config.r == 4
    before, *learned = heads
    assert not torch.equal(before, learned[0])
    assert torch.equal(learned[0], learned[2])


@pytest.mark.parametrize("changes", [{"train.dropout": True}, {"train_reranker.method": "full"}])
def test_a_resumed_run_ends_with_the_same_bits(short_lists, killed_after, tmp_path, changes):
    settings = {"train.checkpoint_every": 2, "train_reranker.steps": 6, **changes}
    whole = short_lists(**settings)
    killed_after(5)
    with pytest.raises(KilledError):
        short_lists(checkpoints=tmp_path / "run/key", **settings)
    killed_after.lift()
    resumed = short_lists(checkpoints=tmp_path / "run/key", **settings)
    assert same(resumed[3], whole[3])
    assert resumed[2] == whole[2]


def test_one_score_for_all_pairs_ends_the_run(short_lists, caplog):
    steps = []

    def touch(model):
        def flatten(module, given, made):
            steps.append(made["scores"])
            if len(steps) > 3:
                made["scores"] = made["scores"] * 1e-4

        model.register_forward_hook(flatten)

    trained = short_lists(touch=touch, **{"train_reranker.steps": 30})[2]
    assert trained.incidents.collapsed == 1
    assert len(trained.losses) < 30
    assert trained.collapse["last"] < 0.05 * trained.collapse["first"]
    assert "all pairs get one score: deviation" in caplog.text


def test_a_loss_that_stays_nan_ends_the_run_with_a_message(short_lists, spoiled):
    spoiled(set(range(1, 99)))
    with pytest.raises(UserError, match="3 steps in a row failed"):
        short_lists()

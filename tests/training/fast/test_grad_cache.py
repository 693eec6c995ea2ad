"""The gradient of a batch is the same in one piece and in many, with dropout, and over processes."""

import pytest
import torch
from accelerate import Accelerator, DistributedType
from accelerate.utils.deepspeed import DeepSpeedEngineWrapper

from triptych.models.loading import load_base
from triptych.training.fast.grad_cache import GradCache
from triptych.training.losses import SoftmaxLoss


@pytest.fixture
def model(tiny_model, params_with):
    loaded = load_base(params_with(**{"model.base": str(tiny_model)}).model)
    for module in loaded.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.3
    return loaded.train()


@pytest.fixture
def batch():
    torch.manual_seed(3)
    groups = []
    for texts, width in ((7, 24), (9, 8)):
        mask = torch.ones((texts, width), dtype=torch.int64)
        mask[1, width // 2 :] = 0
        groups.append({"input_ids": torch.randint(5, 60, (texts, width)), "attention_mask": mask})
    places = torch.randperm(16)
    rows = {"queries": places[:5], "passages": places[5:], "anchor": torch.arange(5), "positive": torch.arange(5) + 3}
    return {"features": groups, "rows": rows | {"related": torch.zeros((5, 11), dtype=torch.bool)}}


def gradients(model, batch, budget, **arguments):
    """Return the loss and the gradient of each weight; dropout begins with the same seed."""
    model.zero_grad()
    torch.manual_seed(11)
    loss = GradCache(SoftmaxLoss(0.5), Accelerator(cpu=True), budget).backward(model, batch, **arguments)
    return loss, {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}


def counted(model, batch, budget):
    """Return how many tokens went through the model in each of its calls."""
    seen = []
    hook = model[0].register_forward_pre_hook(lambda module, given: seen.append(given[0]["input_ids"].numel()))
    gradients(model, batch, budget)
    hook.remove()
    return seen


def plain(model, batch):
    """Return what autograd gives with all texts padded to one width, where no dropout depends on the shape."""
    model.zero_grad()
    widest = max(group["input_ids"].shape[1] for group in batch["features"])
    whole = {}
    for name in ("input_ids", "attention_mask"):
        tables = [group[name] for group in batch["features"]]
        whole[name] = torch.cat([torch.nn.functional.pad(one, (0, widest - one.shape[1])) for one in tables])
    vectors = torch.nn.functional.normalize(model(whole)["sentence_embedding"], dim=-1)
    loss = SoftmaxLoss(0.5)(vectors, batch["rows"])
    loss.backward()
    return loss.detach(), {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}


def agree(one, other, tolerance):
    assert float(one[0]) == pytest.approx(float(other[0]), abs=tolerance)
    assert set(one[1]) == set(other[1])
    return all(torch.allclose(one[1][name], other[1][name], atol=tolerance) for name in one[1])


def test_the_gradient_is_that_of_the_plain_loss(model, batch):
    model.eval()
    assert agree(gradients(model, batch, 10_000), plain(model, batch), 1e-5)
    assert agree(gradients(model, batch, 24), plain(model, batch), 1e-5)


def test_groups_encoded_twice_with_dropout_have_the_gradient_of_groups_encoded_once(model, batch):
    # 7 texts of 24 tokens and 9 of 8: a budget of 239 tokens holds either group, not both.
    assert agree(gradients(model, batch, 239), gradients(model, batch, 240), 1e-6)
    assert counted(model, batch, 240) == [168, 72]
    assert counted(model, batch, 239) == [168, 72, 168, 72]


def test_dropout_is_on_in_these_tests(model, batch):
    assert not agree((0.0, gradients(model, batch, 240)[1]), (0.0, gradients(model.eval(), batch, 240)[1]), 1e-3)


def test_micro_batches_stay_within_the_token_budget(model, batch):
    seen = counted(model, batch, 50)
    assert max(seen) <= 50
    assert sum(seen) == 2 * 240


def test_a_budget_below_one_text_takes_texts_one_by_one(model, batch):
    assert counted(model, batch, 1) == [24] * 7 + [8] * 9 + [24] * 7 + [8] * 9


def test_weight_scales_the_gradient_and_not_the_loss(model, batch):
    model.eval()
    loss, whole = gradients(model, batch, 240)
    same, half = gradients(model, batch, 240, weight=0.5)
    assert same == loss
    assert all(torch.allclose(half[name], 0.5 * whole[name], atol=1e-7) for name in whole)


def test_gradients_add_up_over_batches(model, batch):
    model.eval()
    engine = GradCache(SoftmaxLoss(0.5), Accelerator(cpu=True), 240)
    _, once = gradients(model, batch, 240)
    engine.backward(model, batch)
    assert all(
        torch.allclose(one.grad, 2 * once[name], atol=1e-5) for name, one in model.named_parameters() if name in once
    )


class Engine:
    """What accelerate needs of a DeepSpeed engine: it counts the steps of the optimizer."""

    def __init__(self):
        self.boundaries, self.steps = [], 0

    def set_gradient_accumulation_boundary(self, is_boundary):
        self.boundaries.append(is_boundary)

    def backward(self, loss, scale_wrt_gas=True):
        (loss / 4 if scale_wrt_gas else loss).backward()  # it divides by the accumulated batches, here 4

    def step(self):
        self.steps += 1


@pytest.mark.parametrize("last_of_its_step", [True, False])
@pytest.mark.parametrize("budget", [10_000, 24])
def test_deepspeed_takes_one_step_after_the_last_piece(model, batch, monkeypatch, budget, last_of_its_step):
    model.eval()
    expected = gradients(model, batch, budget)
    engine, kind = Engine(), property(lambda _: DistributedType.DEEPSPEED)
    accelerator = Accelerator(cpu=True)
    accelerator.deepspeed_engine_wrapped = DeepSpeedEngineWrapper(engine)
    monkeypatch.setattr(Accelerator, "distributed_type", kind)
    accelerator.gradient_state._set_sync_gradients(last_of_its_step)
    model.zero_grad()
    loss = GradCache(SoftmaxLoss(0.5), accelerator, budget).backward(model, batch)
    found = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
    assert agree((loss, found), expected, 1e-5)
    assert engine.steps == last_of_its_step
    assert engine.boundaries[-1] is last_of_its_step
    assert (len(engine.boundaries) > 3) == (budget == 24)
    assert not any(engine.boundaries[:-1])
    assert accelerator.gradient_state.sync_gradients is last_of_its_step
    accelerator.gradient_state._set_sync_gradients(True)

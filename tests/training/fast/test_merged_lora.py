"""A LoRA layer that computes with one merged weight gives what peft gives, forward and back."""

import pytest
import torch
from accelerate import Accelerator
from peft import LoraConfig, get_peft_model
from torch import nn

from triptych.training.fast.grad_cache import GradCache
from triptych.training.fast.merged_lora import MergedLinear, merged
from triptych.training.losses import SoftmaxLoss


class Net(nn.Module):
    """Two layers, the first of which has no gradient to hand on; only one has a bias."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(12, 24), nn.Linear(24, 7, bias=False)

    def forward(self, x):
        return self.second(torch.nn.functional.gelu(self.first(x)))


def adapted(**changes):
    torch.manual_seed(4)
    config = LoraConfig(**({"r": 3, "lora_alpha": 6, "target_modules": ["first", "second"]} | changes))
    model = get_peft_model(Net(), config)
    for name, one in model.named_parameters():
        if "lora_B" in name or "magnitude" in name:
            nn.init.normal_(one, std=0.2)  # zero as peft has it, nothing would be merged
    return model.train()


def run(model, x):
    """Return the output and the gradient of each weight, and of x."""
    model.zero_grad()
    x = x.clone().requires_grad_()
    y = model(x)
    (y.float() ** 2).sum().backward()
    grads = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
    return y.detach(), grads | {"x": x.grad}


@pytest.fixture
def calls(monkeypatch):
    """Count the layers that computed with a merged weight."""
    seen = []
    apply = MergedLinear.apply
    monkeypatch.setattr(MergedLinear, "apply", lambda *given: seen.append(given[1].dtype) or apply(*given))
    return seen


@pytest.mark.parametrize("shape", [(5, 12), (2, 5, 12)])
def test_output_and_gradients_are_those_of_peft(calls, shape):
    model, x = adapted(), torch.randn(shape)
    want_y, want = run(model, x)
    with merged(model):
        got_y, got = run(model, x)
    assert calls == [torch.float32] * 2
    assert torch.allclose(got_y, want_y, atol=1e-5)
    assert set(got) == set(want)
    assert all(torch.allclose(got[name], want[name], rtol=1e-4, atol=1e-5) for name in want)


def test_half_precision_keeps_the_factors_gradients_in_float32_and_close_to_exact(calls):
    model, x = adapted(), torch.randn(64, 12)
    _, exact = run(model, x)
    with merged(model), torch.autocast("cpu", dtype=torch.bfloat16):
        _, got = run(model, x)
    assert calls == [torch.bfloat16] * 2
    for name, one in exact.items():
        assert got[name].dtype == torch.float32
        assert (got[name] - one).norm() < 0.03 * one.norm()


def test_afterwards_layers_see_changed_weights_again(calls):
    model, x = adapted(), torch.randn(5, 12)
    with merged(model):
        before = model(x)
    with torch.no_grad():
        for name, one in model.named_parameters():
            if "lora_B" in name:
                one.mul_(-1)
    assert not torch.allclose(model(x), before, atol=1e-3)
    assert len(calls) == 2


@pytest.mark.parametrize("changes", [{"lora_dropout": 0.5}, {"use_dora": True}])
def test_layers_that_are_more_than_a_sum_compute_as_they_did(calls, changes):
    model, x = adapted(**changes), torch.randn(5, 12)
    torch.manual_seed(1)
    want = run(model, x)
    with merged(model):
        torch.manual_seed(1)
        got = run(model, x)
    assert torch.equal(got[0], want[0])
    assert not calls


def test_an_error_leaves_the_layers_as_they_were(calls):
    model, x = adapted(), torch.randn(5, 12)

    def fail():
        with merged(model):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    model(x)
    assert not calls


def test_grad_cache_merges_once_a_step_and_keeps_nothing_for_the_next(calls):
    model, features = adapted(), {"input_ids": torch.zeros(4, 2, dtype=torch.int64)}

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.table = model, torch.randn(4, 12)

        def forward(self, features):
            return {"sentence_embedding": self.inner(self.table[: len(features["input_ids"])])}

    places = torch.arange(2)
    rows = {"queries": places, "passages": places + 2, "anchor": places, "positive": places}
    rows["related"] = torch.zeros((2, 2), dtype=torch.bool)
    encoder, engine = Encoder(), GradCache(SoftmaxLoss(0.5), Accelerator(cpu=True), 1000)
    first = engine.backward(encoder, {"features": [features], "rows": rows})
    assert (len(calls), engine.texts_seen, engine.tokens_seen) == (2, 4, 8)
    with torch.no_grad():
        for one in model.parameters():
            one.add_(0.1 * one.grad if one.grad is not None else 0)
    assert engine.backward(encoder, {"features": [features], "rows": rows}) != first

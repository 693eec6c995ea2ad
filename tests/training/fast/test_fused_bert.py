"""A fused encoder gives what the library's layers give, forward and backward, and is used only where it applies."""

import pytest
import torch
from accelerate import Accelerator
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import CONFIG_MAPPING, AutoModel

from triptych.training.fast import fused_bert as module
from triptych.training.fast.fused_bert import FusedLayer, fused
from triptych.training.fast.grad_cache import GradCache
from triptych.training.fast.merged_lora import merged
from triptych.training.losses import SoftmaxLoss

SHAPE = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.3,
    "attn_implementation": "eager",
    "pad_token_id": 0,
}


def adapted(family="bert", targets=("query", "key", "value", "dense"), **changes):
    torch.manual_seed(4)
    config = CONFIG_MAPPING[family](**(SHAPE | changes))
    wanted = LoraConfig(r=3, lora_alpha=6, target_modules=list(targets), exclude_modules=".*pooler.*")
    model = get_peft_model(AutoModel.from_config(config, attn_implementation=config._attn_implementation), wanted)
    for name, one in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(one, std=0.2)  # zero as peft has it, nothing would be merged
        if "bias" in name or "LayerNorm" in name:
            nn.init.normal_(one, mean=float("LayerNorm.weight" in name), std=0.2)
    return model.train()


def texts(*lengths, width=24, left=False):
    ids, mask = torch.randint(5, 60, (len(lengths), width)), torch.zeros((len(lengths), width), dtype=torch.int64)
    for row, length in enumerate(lengths):
        mask[row, slice(-length, None) if left else slice(length)] = 1
    return {"input_ids": ids.where(mask > 0, 0), "attention_mask": mask}


def run(model, features):
    """Return the vectors of the texts' own tokens and the gradient of each weight."""
    model.zero_grad()
    hidden = model(**features).last_hidden_state.float()
    own = hidden[features["attention_mask"] > 0]
    torch.manual_seed(1)
    (own * torch.randn(own.shape)).sum().backward()
    return own.detach(), {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}


@pytest.fixture
def calls(monkeypatch):
    """Count the layers that were fused, by how many tokens they computed."""
    seen = []
    apply = FusedLayer.apply
    monkeypatch.setattr(
        FusedLayer, "apply", lambda *given: seen.append((given[0].dtype, len(given[0]))) or apply(*given)
    )
    return seen


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta", "camembert", "electra", "ernie"])
@pytest.mark.parametrize("targets", [("query", "key", "value", "dense"), ("query", "value"), ("intermediate.dense",)])
def test_vectors_and_gradients_are_those_of_the_library(calls, family, targets):
    model, features = adapted(family, targets), texts(24, 3, 17, 9, 24, 1)
    want_y, want = run(model, features)
    with merged(model), fused(model) as active:
        got_y, got = run(model, features)
    assert active
    assert calls == [(torch.float32, 24 * 3 + 9 + 3 * 2)] * 2  # padded to the longest of a group
    assert torch.allclose(got_y, want_y, rtol=1e-4, atol=1e-4)
    assert set(got) == set(want)
    assert all(torch.allclose(got[name], want[name], rtol=1e-3, atol=1e-3) for name in want)


@pytest.mark.parametrize("features", [texts(8, 8, width=8), texts(11, 2, 23, left=True)], ids=["full", "left"])
def test_texts_without_padding_and_with_it_on_the_left(calls, features):
    model = adapted()
    want_y, want = run(model, features)
    with fused(model):
        got_y, got = run(model, features)
    assert len(calls) == 2
    assert torch.allclose(got_y, want_y, rtol=1e-4, atol=1e-4)
    assert all(torch.allclose(got[name], want[name], rtol=1e-3, atol=1e-3) for name in want)


def test_half_precision_is_about_as_exact_as_the_library_in_it(calls):
    model, features = adapted(), texts(24, 24, 19, 16, 16, 7)
    _, exact = run(model, features)
    far = {}
    for name, contexts in {"plain": [], "fused": [merged, fused]}.items():
        entered = [context(model) for context in contexts]
        for one in entered:
            one.__enter__()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            _, got = run(model, features)
        for one in reversed(entered):
            one.__exit__(None, None, None)
        assert all(one.dtype == torch.float32 for one in got.values())
        far[name] = sum((got[one] - exact[one]).norm() ** 2 for one in exact) ** 0.5
    assert [dtype for dtype, _ in calls] == [torch.bfloat16] * 2
    whole = sum(one.norm() ** 2 for one in exact.values()) ** 0.5
    assert far["fused"] < max(1.7 * far["plain"], 0.02 * whole)


def test_changed_weights_are_seen_the_next_time():
    model, features = adapted(), texts(8, 5, width=8)
    with fused(model):
        before, _ = run(model, features)
    with torch.no_grad():
        next(one for name, one in model.named_parameters() if "lora_A" in name).add_(0.5)
    want, _ = run(model, features)
    with fused(model):
        after, _ = run(model, features)
    assert torch.allclose(after, want, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(after, before, rtol=1e-2, atol=1e-2)


def hooked(model):
    model.base_model.model.encoder.layer[1].output.dense.register_forward_hook(lambda *_: None)


def norm_trains(model):
    model.base_model.model.encoder.layer[0].output.LayerNorm.requires_grad_(True)


def checkpointed(model):
    model.gradient_checkpointing_enable({"use_reentrant": False})


@pytest.mark.parametrize(
    ("changes", "touch"),
    [
        ({"hidden_dropout_prob": 0.1}, None),
        ({"hidden_act": "relu"}, None),
        ({"attn_implementation": "sdpa"}, None),
        ({"is_decoder": True}, None),
        ({}, hooked),
        ({}, norm_trains),
        ({}, checkpointed),
    ],
    ids=["dropout", "relu", "sdpa", "decoder", "hook", "norm", "checkpointing"],
)
def test_unsupported_models_are_left_to_the_library(calls, changes, touch):
    model = adapted(**changes)
    if touch:
        touch(model)
    with fused(model) as active:
        run(model, texts(8, 5, width=8))
    assert not active
    assert not calls


@pytest.fixture
def trainable(tiny_model, params_with):
    """A tiny embedder with an adapter, ready to train."""
    from triptych.models.adapter import make_trainable
    from triptych.models.loading import load_base
    from triptych.training.loop.accelerations import apply_options

    params = params_with(**{"model.base": str(tiny_model), "train.lora.r": 4})
    model = load_base(params.model)
    make_trainable(model, params.train, None)
    for one in model.modules():
        if isinstance(one, nn.Dropout):
            one.p = 0.0
    apply_options(model, params.train)
    return model.train()


@pytest.fixture
def batch():
    groups = [texts(24, 24, 20), texts(8, 8, 5, 8, width=8), texts(16, 13, 16, width=16)]
    rows = {"queries": torch.arange(4), "passages": torch.arange(4, 10), "anchor": torch.arange(4)}
    rows |= {"positive": torch.arange(4), "related": torch.zeros((4, 6), dtype=torch.bool)}
    return {"features": groups, "rows": rows}


def gradients(model, batch, **options):
    """Return the loss and all gradients."""
    model.zero_grad()
    loss = GradCache(SoftmaxLoss(0.5), Accelerator(cpu=True), 4096, **options).backward(model, batch)
    return [loss, *(one.grad.clone() for one in model.parameters() if one.grad is not None)]


def close(one, other):
    return len(one) == len(other) and all(
        torch.allclose(left, right, rtol=1e-3, atol=1e-5) for left, right in zip(one, other, strict=True)
    )


def test_grad_cache_gives_it_all_groups_of_a_batch_at_once(trainable, batch, calls, monkeypatch):
    got = gradients(trainable, batch)
    layers = len(trainable[0].model.base_model.model.encoder.layer)
    assert len(calls) == layers
    assert calls[0][1] < 24 * 3 + 8 * 4 + 16 * 3 + 24  # once for all groups, and padded no more than they are
    monkeypatch.setattr(module, "_LAYERS", ())
    assert close(got, gradients(trainable, batch))


def test_switched_off_it_is_not_entered_and_the_gradients_are_the_same(trainable, batch, calls, monkeypatch):
    on = gradients(trainable, batch, fused=True)
    assert calls
    calls.clear()

    def never(*_):
        raise AssertionError("a merged layer was computed")

    monkeypatch.setattr("triptych.training.fast.merged_lora.MergedLinear.apply", never)
    off = gradients(trainable, batch, fused=False)
    assert not calls
    assert close(on, off)


@pytest.mark.parametrize("fused", [True, False])
def test_the_param_switches_it_for_a_run(short_run, calls, fused):
    losses = short_run(steps=2, fused=fused).trained.losses
    assert bool(calls) == fused
    assert losses == pytest.approx(short_run(steps=2, fused=not fused).trained.losses, rel=1e-4)

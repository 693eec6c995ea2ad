"""Optional accelerations: each works on a real model here; one that does not is left out with a warning."""

import functools
import sys

import bitsandbytes
import pytest
import tiny_families
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from triptych.errors import UserError
from triptych.models.adapter import Blend, difference, make_trainable, save_trained
from triptych.models.loading import describe, load_base
from triptych.params.load import load_params
from triptych.training.loop.accelerations import apply_options, load_to_train

TEXTS = ["Compute the inverse of a matrix.", "Return the discrete Fourier transform", "sort"]
QUANTIZED = {"8bit": bitsandbytes.nn.Linear8bitLt, "4bit": bitsandbytes.nn.Linear4bit}


@pytest.fixture
def settings(params_with, tiny_model):
    fixed = {"model.base": str(tiny_model), "train.precision": "fp32"}
    return lambda **changes: params_with(**fixed | {f"train.{key}": value for key, value in changes.items()})


@pytest.fixture
def ready(settings):
    """Return a model that is ready to train, with options."""

    def make(**changes):
        params = settings(**changes)
        model = load_to_train(params.model, params.train)
        torch.manual_seed(1)
        make_trainable(model, params.train, None)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:  # zero in a fresh adapter, which leaves half of it without a gradient
                    parameter.normal_(std=0.05)
        apply_options(model, params.train)
        return model

    return make


def forward(model):
    features = model.preprocess(TEXTS)
    return model({name: features[name] for name in ("input_ids", "attention_mask")})["sentence_embedding"]


def gradients(model):
    """Return the gradient of each weight that trains."""
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    found = torch.autograd.grad(forward(model.train())[:, :8].sum(), trainable.values(), allow_unused=True)
    return {name: gradient for name, gradient in zip(trainable, found, strict=True) if gradient is not None}


def close(one, other):
    assert one.keys() == other.keys()
    assert max(float(gradient.abs().max()) for gradient in one.values()) > 1e-3
    return all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)


def kept_bytes(model):
    """Return how much a forward pass keeps for the backward pass."""
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward(model.train())
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    return sum(size for place, size in kept.items() if place not in weights)


def test_nothing_is_tried_unless_asked_for(settings, caplog, monkeypatch):
    params = settings()
    model = load_to_train(params.model, params.train)
    make_trainable(model, params.train, None)
    monkeypatch.setattr(model, "forward", None)
    before = torch.random.get_rng_state()
    apply_options(model, params.train)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert model[0].model.config._attn_implementation == "eager"
    assert caplog.messages == []


@pytest.mark.parametrize("bits", QUANTIZED)
def test_adapter_trains_beside_a_quantized_base_and_goes_onto_the_full_one(ready, settings, tmp_path, caplog, bits):
    params, model = settings(load_in=bits), ready(load_in=bits)
    assert caplog.messages == []
    assert sum(isinstance(module, QUANTIZED[bits]) for module in model.modules()) >= 12
    base = load_base(params.model)
    assert describe(params.model, load_to_train(params.model, params.train)) == describe(params.model, base)
    with torch.no_grad():
        forward(model.eval())  # as dev queries are, in the midst of training
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=0.01)
    losses = []
    for _ in range(8):
        loss = forward(model.train())[:, :8].sum()
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0] - 0.5
    save_trained(model, params.train, tmp_path)
    tuned = Blend(base, difference(base, tmp_path)).at(1.0)
    assert {type(module) for module in tuned.modules()} & set(QUANTIZED.values()) == set()
    likeness = torch.nn.functional.cosine_similarity(forward(tuned.eval()), forward(model.eval()))
    assert likeness.min() > 0.9


@pytest.mark.parametrize("bits", QUANTIZED)
def test_quantization_without_bitsandbytes_loads_the_full_base_with_a_warning(settings, monkeypatch, caplog, bits):
    for name in [name for name in sys.modules if name.partition(".")[0] == "bitsandbytes"]:
        monkeypatch.setitem(sys.modules, name, None)
    params = settings(load_in=bits)
    model = load_to_train(params.model, params.train)
    assert sum(type(module) is torch.nn.Linear for module in model.modules()) >= 12
    (line,) = [message for message in caplog.messages if "train.load_in" in message]
    assert line.startswith(f"train.load_in: {bits} does not work here (")
    assert line.endswith("using the full base")


def test_quantization_that_gives_nan_loads_the_full_base_with_a_warning(settings, monkeypatch, caplog):
    monkeypatch.setattr(
        bitsandbytes.nn.Linear4bit, "forward", lambda self, x: x.new_full((*x.shape[:-1], 32), torch.nan)
    )
    params = settings(load_in="4bit")
    model = load_to_train(params.model, params.train)
    assert torch.isfinite(forward(model)).all()
    assert "train.load_in: 4bit does not work here (" in caplog.text


def test_quantized_weights_cannot_train_and_the_params_are_refused(write_params, tmp_path):
    with pytest.raises(UserError, match=r"train: load_in: 4bit freezes the base model.* set method: lora"):
        load_params(write_params(tmp_path, **{"train.load_in": "4bit", "train.method": "full"}))


def test_the_configured_attention_is_used(ready, caplog):
    model = ready(attention="sdpa")
    assert model[0].model.config._attn_implementation == "sdpa"
    assert close(gradients(model), gradients(ready(attention="eager")))
    assert caplog.messages == []


def test_attention_that_is_not_installed_keeps_the_default_with_a_warning(ready, caplog):
    model = ready(attention="flash_attention_2")
    assert model[0].model.config._attn_implementation == "sdpa"
    assert close(gradients(model), gradients(ready()))
    (line,) = caplog.messages
    assert line.startswith("train.attention: flash_attention_2 does not work here (FlashAttention2")


@pytest.mark.parametrize("option", [{"attention": "sdpa"}, {"gradient_checkpointing": True}])
def test_family_without_an_option_trains_without_it_with_a_warning(settings, tmp_path, caplog, option):
    tiny_families.make_embedder(tmp_path, "mpnet", TEXTS)
    train = settings(**option).train
    model = load_base(settings().model.model_copy(update={"base": str(tmp_path)}))
    make_trainable(model, train, None)
    apply_options(model, train)
    (line,) = [message for message in caplog.messages if message.startswith("train.")]
    assert f"train.{next(iter(option))}" in line
    assert "does not work here (" in line
    assert gradients(model)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_gradient_checkpointing_keeps_less_and_gives_the_same_gradients(ready, caplog, method):
    plain, checkpointed = ready(method=method), ready(method=method, gradient_checkpointing=True)
    assert caplog.messages == []
    assert close(gradients(checkpointed), gradients(plain))
    assert kept_bytes(checkpointed) < 0.4 * kept_bytes(plain)


@pytest.fixture
def backend(monkeypatch):
    """Let torch.compile compile with another backend."""
    torch._dynamo.reset()
    compile_ = torch.compile
    return lambda one: monkeypatch.setattr(torch, "compile", functools.partial(compile_, backend=one))


@pytest.mark.slow
def test_compiled_model_gives_the_same_gradients(ready, backend, caplog):
    counter = CompileCounterWithBackend("aot_eager")
    backend(counter)
    compiled = ready(torch_compile=True)
    assert not [one for one in caplog.records if one.name.startswith("triptych")]  # the compiler logs much
    frames = counter.frame_count
    assert frames >= 1
    assert close(gradients(compiled), gradients(ready()))
    assert counter.frame_count <= frames + 1  # another width may compile once more


@pytest.mark.slow
def test_a_run_is_compiled_once_and_trains_the_same_weights(short_run, backend, caplog):
    counter = CompileCounterWithBackend("aot_eager")
    backend(counter)
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        compiled = short_run(steps=12, torch_compile=True)
    assert 1 <= counter.frame_count <= 4  # what the probe compiled is used; a batch of a single text compiles again
    assert "train.torch_compile: compiled; the layers of train.fused are off" in caplog.text
    assert "forward" not in vars(compiled.model[0].model)
    plain = short_run(steps=12)
    assert all(torch.allclose(compiled.weights[name], one, atol=1e-5) for name, one in plain.weights.items())


@pytest.mark.slow
def test_compiler_of_this_machine_gives_the_same_gradients(ready, caplog):
    torch._dynamo.reset()
    compiled = ready(torch_compile=True)
    assert not [one for one in caplog.records if one.name.startswith("triptych")]  # the compiler logs much
    assert close(gradients(compiled), gradients(ready()))


def test_compiler_that_fails_is_not_used_with_a_warning(ready, monkeypatch, caplog):
    def fails(*_, **__):
        raise RuntimeError("backend='inductor' raised:\nInvalidCxxCompiler: no working C++ compiler\n\nmore")

    monkeypatch.setattr(torch, "compile", lambda _forward, **_: fails)  # as it is: only the first call compiles
    model = ready(torch_compile=True)
    assert caplog.messages == [
        "train.torch_compile does not work here (backend='inductor' raised: InvalidCxxCompiler: no working C++"
        " compiler); training without it"
    ]
    assert close(gradients(model), gradients(ready()))


@pytest.mark.slow
def test_compiler_that_changes_the_vectors_is_not_used_with_a_warning(ready, backend, caplog):
    def wrong(graph, _inputs):
        return lambda *inputs: [out.roll(1, dims=2) if out.dim() == 3 else out for out in graph(*inputs)]

    backend(wrong)
    model = ready(torch_compile=True)
    assert "train.torch_compile does not work here (it changes the vectors, cosine" in caplog.text
    assert close(gradients(model), gradients(ready()))

"""What saves memory: 8-bit AdamW, a quantized or half-precision base, gradient checkpointing."""

import gc
from typing import get_args

import pytest
import torch

from benchmarks.gpu_workload import make_rows
from triptych.models.loading import load_base
from triptych.params.sections import Model, Train
from triptych.training.loop.accelerations import load_to_train

LOAD_IN = get_args(Train.model_fields["load_in"].annotation)
LARGEST = {"8bit": 0.3, "4bit": 0.2, "bf16": 0.51, "fp16": 0.51}  # share of the bytes that the layers take in float32


def test_adamw_in_eight_bits_keeps_its_moments_in_bytes_and_trains_as_adamw_does(device, short_run):
    settings = {"method": "full", "learning_rate": 1e-4}
    eight, plain = short_run(optimizer="adamw_8bit", **settings), short_run(optimizer="adamw", **settings)
    assert type(eight.optimizer).__module__.startswith("bitsandbytes")
    assert type(plain.optimizer) is torch.optim.AdamW
    layers = [one for one in eight.model[0].model.encoder.modules() if isinstance(one, torch.nn.Linear)]
    moments = [eight.optimizer.state[one.weight]["state1"] for one in layers]
    assert {(one.dtype, one.device.type) for one in moments} == {(torch.uint8, device.type)}
    assert torch.allclose(eight.losses, plain.losses, rtol=0.02)
    assert plain.losses[-1] < 0.95 * plain.losses[0]


def linear_bytes(model):
    """Return the bytes of the linear layers in the transformer's blocks."""
    blocks = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    weights = [one for block in blocks for one in block.parameters() if one.dim() == 2]  # quantized ones have two too
    return sum(one.nbytes for one in weights)


@pytest.mark.parametrize("load_in", LARGEST)
def test_an_adapter_trains_beside_a_base_that_takes_less(device, model_folder, short_run, caplog, load_in):
    if load_in not in LOAD_IN:
        pytest.skip(f"train.load_in has no {load_in}")
    params = Model(base=str(model_folder("tiny-qwen3")))
    full, small = load_base(params), load_to_train(params, Train(load_in=load_in))
    assert small.device.type == device.type
    assert linear_bytes(small) <= LARGEST[load_in] * linear_bytes(full)
    run = short_run("tiny-qwen3", load_in=load_in, precision="auto")
    assert run.losses[-1] < 0.5 * run.losses[0]
    assert {one.dtype for one in run.weights.values()} == {torch.float32}
    assert [line for line in caplog.messages if line.startswith("train")] == []


@pytest.mark.parametrize("load_in", LARGEST)
def test_a_base_that_takes_less_takes_less_of_the_gpu(gpu, model_folder, load_in):
    if load_in not in LOAD_IN:
        pytest.skip(f"train.load_in has no {load_in}")
    params = Model(base=str(model_folder("minilm")))

    def taken(load_in):
        gc.collect()
        before = torch.cuda.memory_allocated()
        model = load_to_train(params, Train(load_in=load_in))
        return torch.cuda.memory_allocated() - before, linear_bytes(model)

    (full, layers), (small, _) = taken("full"), taken(load_in)
    assert full - small > 0.9 * (1 - LARGEST[load_in]) * layers


def test_gradient_checkpointing_gives_the_same_losses(device, short_run, caplog):
    plain, checkpointed = short_run(), short_run(gradient_checkpointing=True)
    layers = checkpointed.model[0].model.encoder.layer
    assert [one.gradient_checkpointing for one in layers] == [True] * len(layers)
    assert torch.allclose(plain.losses, checkpointed.losses, rtol=1e-4)
    assert [line for line in caplog.messages if line.startswith("train")] == []


def test_gradient_checkpointing_takes_less_of_the_gpu(gpu, short_run):
    rows = make_rows("minilm", 64, 3, 256, full=True)

    def peak(**changes):
        gc.collect()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        short_run("minilm", rows=rows, batch_size=64, **changes)
        return torch.cuda.max_memory_allocated() - before

    assert peak(gradient_checkpointing=True) < 0.6 * peak()

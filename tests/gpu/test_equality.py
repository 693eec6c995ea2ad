"""In float32 a GPU gives what the CPU gives: losses, weights, vectors."""

import numpy as np
import pytest
import torch

from benchmarks.gpu_workload import SHAPES, passage_lengths, random_texts
from triptych.encoding.encode_texts import encode
from triptych.encoding.text_encoder import tokenized
from triptych.models.loading import device as default_device
from triptych.models.loading import load_base
from triptych.params.sections import Model

FAMILIES = ["tiny-bert", "tiny-qwen3"]


@pytest.mark.parametrize("shape", FAMILIES)
def test_a_model_trains_on_the_device(device, short_run, shape):
    run = short_run(shape)
    assert default_device().type == run.model.device.type == device.type
    assert {one.device.type for one in run.model.parameters()} == {device.type}
    assert run.losses[-1] < 0.5 * run.losses[0]
    assert not any(vars(type(run.trained.incidents))["__dataclass_fields__"].keys() - run_incidents(run))


def run_incidents(run):
    return {
        name for name in type(run.trained.incidents).__dataclass_fields__ if not getattr(run.trained.incidents, name)
    }


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("shape", FAMILIES)
def test_a_run_in_float32_equals_that_on_the_cpu(gpu, on_cpu, short_run, shape, method):
    rate = 1e-2 if method == "lora" else 1e-4
    there = short_run(shape, method=method, learning_rate=rate)
    with on_cpu():
        here = short_run(shape, method=method, learning_rate=rate)
    assert here.model.device.type == "cpu"
    assert there.model.device.type == "cuda"
    assert torch.allclose(there.losses, here.losses, rtol=1e-4, atol=1e-5)
    assert there.weights.keys() == here.weights.keys()
    moved = max(float(one.abs().max()) for one in here.weights.values())
    for name, one in here.weights.items():
        # Adam divides by the root of a gradient's square, which makes much of the rounding of a gradient near zero.
        assert (there.weights[name] - one).abs().mean() < 1e-3 * moved, name


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("shape", FAMILIES)
def test_vectors_are_those_of_the_cpu(gpu, on_cpu, model_folder, shape, precision):
    params = Model(base=str(model_folder(shape)))
    texts = random_texts(SHAPES[shape], passage_lengths(60, 64, 5), 5)

    def vectors(precision):
        model = load_base(params)
        return encode(model, tokenized(model, texts, "document"), np.arange(len(texts)), precision, "texts")

    there = vectors(precision)
    with on_cpu():
        here = vectors("fp32")
    assert (there * here).sum(axis=1).min() > (0.99999 if precision == "fp32" else 0.98)

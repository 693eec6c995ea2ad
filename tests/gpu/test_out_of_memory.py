"""A run in less memory than its batches need finishes by smaller micro-batches, with the losses it would have had."""

import gc

import pytest
import torch

from benchmarks.gpu_workload import make_rows


@pytest.fixture
def capped():
    """Cap what PyTorch may take of the GPU, in bytes."""

    def cap(size):
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(size / torch.cuda.get_device_properties(0).total_memory)

    yield cap
    torch.cuda.set_per_process_memory_fraction(1.0)


def taken():
    """Return what is in use after everything that can be freed is."""
    gc.collect()
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved()


def test_a_batch_that_does_not_fit_is_computed_in_parts(gpu, short_run, capped, caplog):
    rows = make_rows("minilm", 64, 3, 256, full=True)
    before = taken()
    torch.cuda.reset_peak_memory_stats()
    free = short_run("minilm", rows=rows, batch_size=64)
    peak = torch.cuda.max_memory_reserved()
    losses = free.losses
    assert free.trained.incidents.out_of_memory == 0
    del free
    capped(max(before, taken()) + (peak - before) // 2)
    small = short_run("minilm", rows=rows, batch_size=64)
    assert small.trained.incidents.out_of_memory >= 1
    assert "tokens at once from here (train.micro_batch_tokens)" in caplog.text
    assert torch.allclose(small.losses, losses, rtol=1e-3)
    assert {name.rpartition("lora_A")[1] for name in small.weights if "lora_A" in name} == {"lora_A"}
    assert {one.shape[0] for name, one in small.weights.items() if "lora_A" in name} == {8}  # the adapter kept its rank

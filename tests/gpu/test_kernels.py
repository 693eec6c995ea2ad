"""Attention kernels and the compiler: each is used where it is asked for, and the losses stay what they are."""

import importlib.util

import pytest
import torch


def own_lines(caplog):
    return [record.getMessage() for record in caplog.records if record.name.startswith("triptych")]


def test_fused_attention_gives_the_losses_of_plain_attention(device, short_run, caplog):
    sdpa, eager = short_run("tiny-qwen3", attention="sdpa"), short_run("tiny-qwen3", attention="eager")
    assert sdpa.model[0].model.config._attn_implementation == "sdpa"
    assert eager.model[0].model.config._attn_implementation == "eager"
    assert torch.allclose(sdpa.losses, eager.losses, rtol=1e-3)
    assert own_lines(caplog) == []


def test_attention_is_fused_on_a_gpu_unless_set(gpu, short_run):
    assert short_run(steps=1).model[0].model.config._attn_implementation == "sdpa"


@pytest.mark.skipif(importlib.util.find_spec("flash_attn") is None, reason="flash-attn is not installed")
@pytest.mark.parametrize("shape", ["tiny-bert", "tiny-qwen3"])
def test_flash_attention_gives_the_losses_of_fused_attention(gpu, short_run, caplog, shape):
    flash = short_run(shape, attention="flash_attention_2", precision="bf16")
    sdpa = short_run(shape, attention="sdpa", precision="bf16")
    assert flash.model[0].model.config._attn_implementation == "flash_attention_2"
    assert torch.allclose(flash.losses, sdpa.losses, rtol=0.05)
    assert own_lines(caplog) == []


def test_a_compiled_model_gives_the_losses_of_the_plain_one(gpu, short_run, caplog):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = short_run(torch_compile=True, attention="sdpa")
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert "recompile_limit" not in caplog.text
    assert "train.torch_compile does not work here" not in caplog.text
    assert torch.allclose(compiled.losses, short_run(attention="sdpa").losses, rtol=1e-3)

"""Precision: what is asked for, or the next best with a warning."""

import logging

import pytest
import torch

from triptych.models.precision import autocast, resolve_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def machine(monkeypatch, caplog):
    """Pretend that the device has bf16 or not; return the precision and the log."""

    def resolve(wanted, device, has_bf16):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has_bf16})
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: has_bf16)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            precision = resolve_precision(wanted, device)
        return precision, caplog.text

    return resolve


@pytest.mark.parametrize(
    ("device", "has_bf16", "expected"),
    [(CPU, True, "bf16"), (CPU, False, "fp32"), (CUDA, True, "bf16"), (CUDA, False, "fp16")],
)
def test_auto_is_what_the_device_computes_in_and_logs_nothing(machine, device, has_bf16, expected):
    assert machine("auto", device, has_bf16) == (expected, "")


@pytest.mark.parametrize(
    ("wanted", "device", "has_bf16"),
    [("fp32", CPU, True), ("fp32", CUDA, True), ("bf16", CPU, True), ("bf16", CUDA, True), ("fp16", CUDA, True)],
)
def test_what_the_device_has_is_taken(machine, wanted, device, has_bf16):
    assert machine(wanted, device, has_bf16) == (wanted, "")


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bf16"), (False, "fp32")])
def test_fp16_without_cuda_falls_back_with_a_warning(machine, has_bf16, expected):
    precision, logged = machine("fp16", CPU, has_bf16)
    assert precision == expected
    assert f"train.precision: fp16 needs CUDA; computing in {expected}" in logged


def test_bf16_on_an_old_gpu_falls_back_to_fp16_with_a_warning(machine):
    precision, logged = machine("bf16", CUDA, has_bf16=False)
    assert precision == "fp16"
    assert "this CUDA has no bf16; computing in fp16" in logged


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_autocast_computes_in_the_precision(precision, dtype):
    with autocast(precision, CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype

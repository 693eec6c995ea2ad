"""Precision and optimizer: what is asked for, or the next best and a line that says so."""

import logging
import sys

import bitsandbytes
import pytest
import torch

from triptych.models.precision import autocast, resolve_optimizer, resolve_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def machine(monkeypatch, caplog):
    """Pretend that the device has bf16 or not, and return what is then computed in, with the lines logged."""

    def resolve(wanted, device, has_bf16):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has_bf16})
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: has_bf16)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            found = resolve_precision(wanted, device)
        return found, caplog.text

    return resolve


@pytest.mark.parametrize(
    ("device", "has_bf16", "expected"),
    [(CPU, True, "bf16"), (CPU, False, "fp32"), (CUDA, True, "bf16"), (CUDA, False, "fp16")],
)
def test_auto_is_what_the_device_computes_in_and_no_cause_for_a_line(machine, device, has_bf16, expected):
    assert machine("auto", device, has_bf16) == (expected, "")


@pytest.mark.parametrize(
    ("wanted", "device", "has_bf16"),
    [("fp32", CPU, True), ("fp32", CUDA, True), ("bf16", CPU, True), ("bf16", CUDA, True), ("fp16", CUDA, True)],
)
def test_what_the_device_has_is_given(machine, wanted, device, has_bf16):
    assert machine(wanted, device, has_bf16) == (wanted, "")


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bf16"), (False, "fp32")])
def test_fp16_without_cuda_falls_back_and_says_so(machine, has_bf16, expected):
    found, said = machine("fp16", CPU, has_bf16)
    assert found == expected
    assert f"train.precision: fp16 needs CUDA; computing in {expected}" in said


def test_bf16_on_an_old_gpu_falls_back_to_fp16_and_says_so(machine):
    found, said = machine("bf16", CUDA, has_bf16=False)
    assert found == "fp16"
    assert "this CUDA has no bf16; computing in fp16" in said


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_autocast_computes_in_the_precision(precision, dtype):
    with autocast(precision, CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_eight_bit_optimizer_that_is_missing_is_adamw_and_says_so_once(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    assert resolve_optimizer("adamw_8bit", CPU) == "adamw_torch"
    (line,) = caplog.messages
    assert line.startswith("train.optimizer: adamw_8bit does not work here (import of bitsandbytes.optim halted")
    assert line.endswith("; using adamw")


def test_eight_bit_optimizer_that_cannot_take_a_step_here_is_adamw_and_says_so(monkeypatch, caplog):
    def fails(*_, **__):
        raise RuntimeError("\nno kernel image\nis available for execution on the device")

    monkeypatch.setattr(bitsandbytes.functional, "optimizer_update_8bit_blockwise", fails)
    assert resolve_optimizer("adamw_8bit", CPU) == "adamw_torch"
    assert caplog.messages == ["train.optimizer: adamw_8bit does not work here (no kernel image); using adamw"]


def test_eight_bit_optimizer_that_moves_no_weight_is_adamw_and_says_so(monkeypatch, caplog):
    monkeypatch.setattr(bitsandbytes.functional, "optimizer_update_8bit_blockwise", lambda *_, **__: None)
    assert resolve_optimizer("adamw_8bit", CPU) == "adamw_torch"
    assert "does not work here (a step goes wrong); using adamw" in caplog.text


def test_eight_bit_optimizer_that_works_here_is_that_of_bitsandbytes(caplog):
    assert resolve_optimizer("adamw_8bit", CPU) == "adamw_bnb_8bit"
    assert caplog.text == ""


def test_plain_adamw_does_not_ask_for_bitsandbytes(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    assert resolve_optimizer("adamw", CPU) == "adamw_torch"
    assert caplog.text == ""

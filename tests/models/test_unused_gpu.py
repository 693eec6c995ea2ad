"""A machine with a GPU and a PyTorch without CUDA is told apart from a machine without a GPU."""

import os
import sys

import pytest
import torch

from triptych.models.loading import device
from triptych.models.unused_gpu import warn_of_unused_gpu

LISTING = "GPU 0: NVIDIA GeForce RTX 5060 Ti (UUID: GPU-0c3c0e1a)"


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Put a command ``nvidia-smi`` that prints ``lines`` on the path; each test gets a build without CUDA."""

    def install(lines, status=0):
        script = tmp_path / "listing.py"
        script.write_text(f"print({lines!r})\nraise SystemExit({status})\n", encoding="utf-8")
        if os.name == "nt":
            (tmp_path / "nvidia-smi.bat").write_text(f'@"{sys.executable}" "{script}"\n', encoding="utf-8")
        else:
            command = tmp_path / "nvidia-smi"
            command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}"\n', encoding="utf-8")
            command.chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    warn_of_unused_gpu.cache_clear()
    yield install
    warn_of_unused_gpu.cache_clear()


def test_a_gpu_that_the_build_cannot_use_is_named_once(driver, caplog):
    driver(LISTING)
    assert [device(), device()] == [torch.device("cpu")] * 2
    (message,) = caplog.messages
    assert "is built without CUDA, and does not use GPU 0: NVIDIA GeForce RTX 5060 Ti; computing on the CPU" in message
    assert "pytorch.org" in message


@pytest.mark.parametrize(("lines", "status"), [("No devices found.", 0), ("", 0), (LISTING, 9)])
def test_a_driver_without_a_gpu_is_no_reason_to_warn(driver, caplog, lines, status):
    driver(lines, status)
    device()
    assert not caplog.messages


def test_a_machine_without_a_driver_is_no_reason_to_warn(driver, caplog):
    device()
    assert not caplog.messages


def test_a_build_with_cuda_has_its_own_messages(driver, caplog, monkeypatch):
    driver(LISTING)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    device()
    assert not caplog.messages

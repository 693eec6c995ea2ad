"""The precision to compute in: what is asked for, or the next best that the device has."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn

from triptych.tokens.length_budget import Machine

Precision = Literal["fp32", "fp16", "bf16"]
log = logging.getLogger(__name__)


def resolve_precision(wanted: str, device: torch.device) -> Precision:
    """Return the precision to compute in.

    ``auto`` is bf16 if the device computes in it, else fp16 on CUDA, else fp32. fp16 needs a GradScaler and with it
    CUDA; elsewhere, and for bf16 without hardware, the next best is taken and a warning logged.
    """
    has_bf16 = _has_bf16(device)
    if wanted == "auto":
        if has_bf16:
            return "bf16"
        return "fp16" if device.type == "cuda" else "fp32"
    if wanted == "fp16" and device.type != "cuda":
        log.warning("train.precision: fp16 needs CUDA; computing in %s", "bf16" if has_bf16 else "fp32")
        return "bf16" if has_bf16 else "fp32"
    if wanted == "bf16" and not has_bf16:
        fallback: Precision = "fp16" if device.type == "cuda" else "fp32"
        log.warning("train.precision: this %s has no bf16; computing in %s", device.type.upper(), fallback)
        return fallback
    return wanted  # type: ignore[return-value]


def machine_kind(device: torch.device) -> Machine:
    """Return the kind of machine that ``tokenize.max_length: auto`` goes by."""
    if device.type != "cpu":
        return "gpu"
    return "cpu with bf16" if _has_bf16(device) else "cpu"


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Return the autocast context of a precision; for fp32 one that does nothing."""
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    return torch.autocast(device.type, dtype=dtype, enabled=precision != "fp32")


@contextmanager
def without_autocast(model: nn.Module) -> Iterator[None]:
    """Compute without the autocast that accelerate has wrapped around a model's forward."""
    wrapped = model.forward
    plain = getattr(model, "_original_forward", wrapped)  # where accelerate keeps it
    vars(model)["forward"] = plain
    try:
        yield
    finally:
        vars(model)["forward"] = wrapped


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Without these instructions bf16 is emulated and slower than fp32.
    has = torch.cpu.get_capabilities()
    return any(has.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))

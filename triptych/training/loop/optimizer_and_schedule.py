"""The optimizer, its learning-rate schedule and the precision of a run, as arguments of the library's trainer."""

import logging
from typing import Any

import torch

from triptych.models.precision import Precision
from triptych.params.sections import Train

log = logging.getLogger(__name__)


def optimizer_arguments(
    params: Train, learning_rate: float, precision: Precision, device: torch.device
) -> dict[str, Any]:
    """Return the trainer's arguments for AdamW, a linear warm-up and decay of the learning rate, and autocast.

    The rate rises from 0 to ``learning_rate`` over ``train.warmup_share`` of the steps, then falls to 0 at the last.
    """
    return {
        "optim": resolve_optimizer(params.optimizer, device),
        "weight_decay": params.weight_decay,
        "learning_rate": learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": params.warmup_share,  # below 1 the library takes it as a share of all steps
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
    }


def resolve_optimizer(wanted: str, device: torch.device) -> str:
    """Return the trainer's name of the optimizer; 8-bit AdamW if it works on ``device``, else plain AdamW."""
    if wanted == "adamw_8bit":
        try:
            _check_eight_bit_adamw(device)
        except Exception as error:  # a missing package, a missing CUDA library, a kernel that is not built in
            reason = str(error).strip().splitlines() or [type(error).__name__]
            log.warning("train.optimizer: adamw_8bit does not work here (%s); using adamw", reason[0])
        else:
            return "adamw_bnb_8bit"
    return "adamw_torch"


def _check_eight_bit_adamw(device: torch.device) -> None:
    """Take one step with 8-bit AdamW; raise if it fails or if a weight does not move as it should."""
    from bitsandbytes.optim import AdamW8bit, GlobalOptimManager

    # It keeps, by position, which weights of an earlier training in this process had 32 bits, and that model with them.
    GlobalOptimManager.get_instance().initialize()
    weights = torch.nn.Parameter(torch.zeros(1 << 14, device=device))  # smaller tensors keep their state in 32 bits
    weights.grad = torch.ones_like(weights)
    AdamW8bit([weights], lr=0.1, weight_decay=0.0).step()
    if not torch.allclose(weights, torch.full_like(weights, -0.1), atol=0.01):  # Adam's first step is the learning rate
        raise ArithmeticError("a step goes wrong")

"""Fallbacks when memory runs out, applied one after the other until a step fits.

The contrastive batch stays the same, so the step has the same gradient, up to rounding, until the adapter shrinks.
"""

import logging
from enum import StrEnum
from typing import Any

import psutil
import torch
from accelerate.utils import send_to_device
from accelerate.utils.memory import clear_device_cache
from sentence_transformers import CrossEncoder, SentenceTransformer
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from triptych.training.data.batch import Batch, Features
from triptych.training.fast.grad_cache import GradCache, encode, tokens
from triptych.training.recovery.shrink_adapter import can_shrink, is_full_training, merge_adapter, shrink_adapter

log = logging.getLogger(__name__)
_CPU_STEPS = 2


class MemoryFallback(StrEnum):
    """Fallbacks when memory runs out, in order."""

    MICRO_BATCHES = "smaller micro-batches"
    CHECKPOINTING = "gradient checkpointing"
    ADAPTER = "a smaller adapter"
    NONE = "nothing"


class MemoryLadder:
    """Applies the fallbacks to a model that trains."""

    def __init__(self, model: SentenceTransformer | CrossEncoder, grad_cache: GradCache) -> None:
        self.model, self._grad_cache = model, grad_cache
        self.checkpointing = self.shrunk = False
        self.on_trained_weights = False  # the adapter was put on weights that trained before, not on the base model's

    def apply_next(self, batches: list[Batch]) -> MemoryFallback:
        """Apply the next fallback; return it, or `MemoryFallback.NONE` if none is left."""
        clear_device_cache(garbage_collection=True)
        groups = [group for batch in batches for group in batch["features"]]
        widest = max(group["input_ids"].shape[1] for group in groups)
        largest = max(sum(tokens(group) for group in batch["features"]) for batch in batches)
        in_use = min(self._grad_cache.token_budget, largest)
        if in_use > widest:
            self._grad_cache.token_budget = max(widest, in_use // 2)
            return MemoryFallback.MICRO_BATCHES
        if not self.checkpointing and self.model[0].model.supports_gradient_checkpointing:
            self.checkpoint_activations()
            return MemoryFallback.CHECKPOINTING
        return self.shrink_adapter()

    def checkpoint_activations(self) -> None:
        """Keep only the activations between layers, and recompute the others in the backward pass."""
        self.model[0].model.activation_checkpointing_enable()
        self.checkpointing = True

    def shrink_adapter(self) -> MemoryFallback:
        """Train a smaller adapter; return `MemoryFallback.NONE` if it is the smallest already."""
        if not can_shrink(self.model):
            return MemoryFallback.NONE
        self.on_trained_weights = is_full_training(self.model)
        shrink_adapter(self.model)
        self.shrunk = True
        return MemoryFallback.ADAPTER

    def finish(self) -> None:
        """Undo the fallbacks at the end of training, so that the model has the weights it was meant to have."""
        if self.on_trained_weights:
            merge_adapter(self.model)
        if self.checkpointing:
            self.model[0].model.activation_checkpointing_disable()

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs to continue in the same way."""
        return {
            "token_budget": self._grad_cache.token_budget,
            "checkpointing": self.checkpointing,
            "shrunk": self.shrunk,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Re-apply the fallbacks of a resumed run; call before loading its weights."""
        self._grad_cache.token_budget = state["token_budget"]
        if state["shrunk"]:
            self.shrink_adapter()
        if state["checkpointing"]:
            self.checkpoint_activations()


def measure_on_cpu(model: SentenceTransformer | CrossEncoder, grad_cache: GradCache, batch: Batch) -> dict[str, Any]:
    """Take a few steps on the CPU without updating weights; return their losses and the memory needed, in bytes.

    The model stays on the CPU: this is the end of a run that did not fit.
    """
    capacity = _capacity(model.device)
    log.warning("train: measuring on the CPU what would fit; this can take minutes")
    figures: dict[str, Any] = {"capacity": capacity, "steps": []}
    try:
        model.zero_grad()
        model.to("cpu")
        clear_device_cache(garbage_collection=True)
        batch = send_to_device(batch, torch.device("cpu"))
        trained = [one for one in model.parameters() if one.requires_grad]
        figures["weights"] = sum(one.nbytes for one in model.parameters())
        figures["gradients"] = sum(one.nbytes for one in trained)
        figures["optimizer"] = 2 * figures["gradients"]  # AdamW keeps two moments for each weight
        longest = {name: one[:1] for name, one in batch["features"][0].items()}
        figures["activations_per_token"] = _activation_bytes(model, longest) // tokens(longest)
        figures["longest"] = tokens(longest)
        for _ in range(_CPU_STEPS):
            loss = grad_cache.backward(model, batch)
            gradients = [one.grad for one in trained if one.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients)
            figures["steps"].append({"loss": float(loss), "gradient_norm": float(norm)})
            model.zero_grad()
    except (RuntimeError, ValueError, MemoryError) as error:
        figures["failed"] = str(error).strip().splitlines()[0]
    return figures


def describe_memory_needs(figures: dict[str, Any]) -> str:
    """Return a sentence with the result of `measure_on_cpu` and what to do about it."""
    if "activations_per_token" not in figures:
        return (
            f"the device has {_gb(figures['capacity'])}, and the CPU could not measure what is needed"
            f" ({figures['failed']}); take a smaller model.base"
        )
    fixed = figures["weights"] + figures["gradients"] + figures["optimizer"]
    text = figures["longest"] * figures["activations_per_token"]
    spare = figures["capacity"] - fixed
    fits = max(0, spare // max(1, figures["activations_per_token"]))
    remedy = (
        f"up to {fits} tokens would fit if nothing else used the device; free it, or lower tokenize.max_length"
        if fits
        else "no text fits; take a smaller model.base"
    )
    return (
        f"weights {_gb(figures['weights'])} + gradients {_gb(figures['gradients'])}"
        f" + optimizer {_gb(figures['optimizer'])} + one text of {figures['longest']} tokens {_gb(text)}"
        f" = {_gb(fixed + text)} of {_gb(figures['capacity'])} (measured in float32 on the CPU); {remedy}"
    )


def _activation_bytes(model: SentenceTransformer | CrossEncoder, features: Features) -> int:
    """Return the bytes that the graph of some texts keeps for the backward pass, without weights."""
    weights = {one.untyped_storage().data_ptr() for one in model.parameters()}
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        encode(model, features).sum()
    return sum(sizes.values())


def _capacity(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else psutil.virtual_memory().total


def _gb(size: int) -> str:
    return f"{size / 2**30:.2f} GB"

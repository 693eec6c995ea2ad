"""Where memory runs out: what is given up, one thing after the other, so that a step can be done after all.

The contrastive batch stays as it is, so the step has the same gradient, up to rounding, until the adapter shrinks.
"""

import logging
from enum import StrEnum
from typing import Any

import psutil
import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from sentence_transformers import CrossEncoder, SentenceTransformer
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from triptych.training.data.collator import Batch
from triptych.training.fast.grad_cache import GradCache, encode, tokens
from triptych.training.recovery.shrink_adapter import absorb, can_shrink, shrink, trains_all

log = logging.getLogger(__name__)
_CPU_STEPS = 2


class MemoryFallback(StrEnum):
    """What is given up, in this order."""

    PIECES = "pieces"
    CHECKPOINTING = "gradient checkpointing"
    ADAPTER = "a smaller adapter"
    NONE = "nothing"


def ran_out(error: BaseException) -> bool:
    """Return whether an error says that memory, of a device or of the host, is full."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and should_reduce_batch_size(error)
    )


class MemoryLadder:
    """Makes room for a model that trains."""

    def __init__(self, model: SentenceTransformer | CrossEncoder, engine: GradCache) -> None:
        self.model, self._engine = model, engine
        self.checkpointing = self.shrunk = False
        self.stands_on_trained = False  # the adapter is on weights that trained before, not on the base model's

    def make_room(self, batches: list[Batch]) -> MemoryFallback:
        """Give up the next thing; return what, or `MemoryFallback.NONE` where nothing is left."""
        clear_device_cache(garbage_collection=True)
        groups = [group for batch in batches for group in batch["features"]]
        widest = max(group["input_ids"].shape[1] for group in groups)
        most = max(sum(tokens(group) for group in batch["features"]) for batch in batches)
        in_use = min(self._engine.token_budget, most)
        if in_use > widest:
            self._engine.token_budget = max(widest, in_use // 2)
            return MemoryFallback.PIECES
        if not self.checkpointing and self.model[0].model.supports_gradient_checkpointing:
            self.save_activations()
            return MemoryFallback.CHECKPOINTING
        return self.smaller_adapter()

    def save_activations(self) -> None:
        """Keep the activations of layer borders only, and compute the others again."""
        self.model[0].model.activation_checkpointing_enable()
        self.checkpointing = True

    def smaller_adapter(self) -> MemoryFallback:
        """Let less train, where that is possible."""
        if not can_shrink(self.model):
            return MemoryFallback.NONE
        self.stands_on_trained = trains_all(self.model)
        shrink(self.model)
        self.shrunk = True
        return MemoryFallback.ADAPTER

    def finish(self) -> None:
        """Make of the model at the end of training what it was to be; activations are no matter any more."""
        if self.stands_on_trained:
            absorb(self.model)
        if self.checkpointing:
            self.model[0].model.activation_checkpointing_disable()

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs to go on in the same way."""
        return {
            "token_budget": self._engine.token_budget,
            "checkpointing": self.checkpointing,
            "shrunk": self.shrunk,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Give up what a run had given up; before its weights are loaded."""
        self._engine.token_budget = state["token_budget"]
        if state["shrunk"]:
            self.smaller_adapter()
        if state["checkpointing"]:
            self.save_activations()


def measure_on_cpu(model: SentenceTransformer | CrossEncoder, engine: GradCache, batch: Batch) -> dict[str, Any]:
    """Do a few steps on the CPU without changing the model; return their figures and what memory is for, in bytes.

    The model stays on the CPU: this is the end of a run that had no room for it.
    """
    capacity = _capacity(model.device)
    log.warning("train: measuring on the CPU what would fit; this can take minutes")
    figures: dict[str, Any] = {"capacity": capacity, "steps": []}
    try:
        model.zero_grad()
        model.to("cpu")
        clear_device_cache(garbage_collection=True)
        batch = {
            "features": [{name: one.cpu() for name, one in group.items()} for group in batch["features"]],
            "rows": {name: one.cpu() for name, one in batch["rows"].items()},
        }
        trained = [one for one in model.parameters() if one.requires_grad]
        figures["weights"] = sum(one.nbytes for one in model.parameters())
        figures["gradients"] = sum(one.nbytes for one in trained)
        figures["optimizer"] = 2 * figures["gradients"]  # AdamW keeps two numbers for each weight
        longest = {name: one[:1] for name, one in batch["features"][0].items()}
        figures["activations_per_token"] = _held(model, longest) // tokens(longest)
        figures["longest"] = tokens(longest)
        for _ in range(_CPU_STEPS):
            loss = engine.backward(model, batch)
            gradients = [one.grad for one in trained if one.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients)
            figures["steps"].append({"loss": float(loss), "gradient_norm": float(norm)})
            model.zero_grad()
    except (RuntimeError, ValueError, MemoryError) as error:
        figures["failed"] = str(error).strip().splitlines()[0]
    return figures


def what_would_fit(figures: dict[str, Any]) -> str:
    """Return the arithmetic of `measure_on_cpu` and what to do about it."""
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


def _held(model: SentenceTransformer | CrossEncoder, features: dict[str, Tensor]) -> int:
    """Return the bytes that the graph of some texts keeps for the backward, weights left out."""
    weights = {one.untyped_storage().data_ptr() for one in model.parameters()}
    seen: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        encode(model, features).sum()
    return sum(seen.values())


def _capacity(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else psutil.virtual_memory().total


def _gb(size: int) -> str:
    return f"{size / 2**30:.2f} GB"

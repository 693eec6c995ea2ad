"""How much memory training takes, from a model's config alone: no weights are read."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel

from triptych.artifacts import intact, read_json
from triptych.errors import UserError
from triptych.models.loading import locate
from triptych.models.lora_targets import adapter_targets
from triptych.params.sections import Model, Tokenize, Train

_QUANTIZED = {"8bit": 1.0, "4bit": 0.516}  # bytes a weight; 4 bits and 0.127 of constants (Dettmers et al. 2023)
_MOMENTS = {"adamw": 8.0, "adamw_8bit": 2.03}  # bytes a trained weight; blocks of 256 share a constant of four bytes
_UNKNOWN_LENGTH = 256  # tokens of a text, where nothing says how long they are
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes of one way to train."""

    method: str
    trained: int  # weights
    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """Return the sum of all, in bytes; what the allocator and the device's context take comes on top."""
        return self.weights + self.gradients + self.optimizer + self.activations

    def record(self) -> dict[str, Any]:
        """Return all figures as JSON takes them."""
        return asdict(self) | {"total": self.total}


def empty_model(params: Model) -> Any:
    """Return the transformer of a model without its weights, on the meta device."""
    place = locate(params)
    modules = Path(place) / "modules.json"
    try:
        if modules.exists():
            place = str(Path(place) / json.loads(modules.read_text(encoding="utf-8"))[0]["path"])
        config = AutoConfig.from_pretrained(place, revision=params.revision)
        with torch.device("meta"):
            return AutoModel.from_config(config)
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{params.base}: its config could not be read ({reason})") from error


def text_length(params: Tokenize, tokens: Path) -> int:
    """Return ``tokenize.max_length``: where that is auto what ``tokens`` says was chosen, before any was 256."""
    if params.max_length != "auto":
        return params.max_length
    path = tokens / "metadata.json"
    with intact(path):
        return int(read_json(path)["max_length"]) if path.exists() else _UNKNOWN_LENGTH


def estimate(model: Any, train: Train, batch: int, length: int) -> list[Estimate]:
    """Return what full training takes, LoRA, and LoRA beside a base of 8 and of 4 bits.

    ``batch`` texts of ``length`` tokens go through the model at once. Weights, gradients and moments are float32, as
    this engine keeps them, activations as ``train.precision`` has them.
    """
    numbers = {name: parameter.numel() for name, parameter in model.named_parameters()}
    linear = {name: one for name, one in model.named_modules() if isinstance(one, torch.nn.Linear)}
    everything = sum(numbers.values())
    in_linear = sum(one.weight.numel() for one in linear.values())
    targets = adapter_targets(model, train.lora.target_modules)
    adapter = sum(
        train.lora.r * (one.in_features + one.out_features)
        for name, one in linear.items()
        if "pooler" not in name and (targets == "all-linear" or name.rpartition(".")[2] in targets)
    )
    pooler = sum(number for name, number in numbers.items() if "pooler" in name)
    kept = activations(model.config, batch, length, 4 if train.precision == "fp32" else 2)

    def one(method: str, trained: int, weights: float) -> Estimate:
        moments = _MOMENTS[train.optimizer] * trained
        return Estimate(method, trained, int(weights), 4 * trained, int(moments), kept)

    found = [one("full", everything - pooler, 4 * everything), one("lora", adapter, 4 * (everything + adapter))]
    for bits, size in _QUANTIZED.items():
        weights = 4 * (everything - in_linear + adapter) + size * in_linear
        found.append(one(f"lora, {bits} base", adapter, weights))
    return found


def activations(config: Any, batch: int, length: int, size: int) -> int:
    """Return the bytes that a forward pass keeps for the backward pass, ``size`` bytes a number.

    Korthikanti et al. 2022 (Reducing Activation Recomputation in Large Transformer Models, section 4.1) count for a
    layer, in 16 bits and with dropout, s b h (34 + 5 a s / h) bytes. Without dropout masks and for an inner width f
    that is batch x length x (8 h + 2 f) numbers, and heads x batch x length^2 of the softmax. A gated inner layer keeps
    4 f: both halves, the activated one and the product. Fused attention keeps no softmax and takes less.
    """
    width, layers, heads = config.hidden_size, config.num_hidden_layers, config.num_attention_heads
    inner = getattr(config, "intermediate_size", None) or getattr(config, "hidden_dim", 4 * width)
    gated = getattr(config, "hidden_act", None) in ("silu", "swish") or config.model_type in (
        "modernbert",
        "gemma3_text",
    )
    numbers = batch * length * (8 * width + (4 if gated else 2) * inner) + heads * batch * length**2
    return int(size * layers * numbers)

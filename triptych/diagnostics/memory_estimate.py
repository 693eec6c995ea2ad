"""Estimate how much memory training takes from a model's config; no weights are read."""

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

_QUANTIZED = {
    "8bit": 1.0,
    "4bit": 0.516,
}  # bytes per weight; 4 bits, and 0.127 bits of constants (Dettmers et al. 2023)
_MOMENTS = {
    "adamw": 8.0,
    "adamw_8bit": 2.03,
}  # bytes per trained weight; each block of 256 has a constant of four bytes
_DEFAULT_LENGTH = 256  # tokens of a text, before max_length is chosen
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes that one training method takes."""

    method: str
    trained: int  # weights
    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """Return the sum of all in bytes, without the overhead of the allocator and of the device's context."""
        return self.weights + self.gradients + self.optimizer + self.activations

    def record(self) -> dict[str, Any]:
        """Return all numbers as a dict for JSON."""
        return asdict(self) | {"total": self.total}


def empty_model(params: Model) -> Any:
    """Return the transformer of a model without its weights, on the meta device."""
    path = locate(params)
    modules = Path(path) / "modules.json"
    try:
        if modules.exists():
            path = str(Path(path) / json.loads(modules.read_text(encoding="utf-8"))[0]["path"])
        config = AutoConfig.from_pretrained(path, revision=params.revision)
        with torch.device("meta"):
            return AutoModel.from_config(config)
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{params.base}: its config could not be read ({reason})") from error


def text_length(params: Tokenize, tokens: Path) -> int:
    """Return ``tokenize.max_length``; if it is auto, the one of the token store ``tokens``, or 256 without a store."""
    if params.max_length != "auto":
        return params.max_length
    path = tokens / "metadata.json"
    with intact(path):
        return int(read_json(path)["max_length"]) if path.exists() else _DEFAULT_LENGTH


def estimate(model: Any, train: Train, batch: int, length: int) -> list[Estimate]:
    """Return the estimates of full training, LoRA, and LoRA on a base quantized to 8 and to 4 bits.

    ``batch`` texts of ``length`` tokens are one forward pass. Weights, gradients and moments are float32, as in
    training; activations have the precision of ``train.precision``.
    """
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    linear = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    everything = sum(sizes.values())
    in_linear = sum(module.weight.numel() for module in linear.values())
    targets = adapter_targets(model, train.lora.target_modules)
    adapter = sum(
        train.lora.r * (module.in_features + module.out_features)
        for name, module in linear.items()
        if "pooler" not in name and (targets == "all-linear" or name.rpartition(".")[2] in targets)
    )
    pooler = sum(size for name, size in sizes.items() if "pooler" in name)
    activation_bytes = activations(model.config, batch, length, 4 if train.precision == "fp32" else 2)

    def estimate_of(method: str, trained: int, weights: float) -> Estimate:
        moments = _MOMENTS[train.optimizer] * trained
        return Estimate(method, trained, int(weights), 4 * trained, int(moments), activation_bytes)

    estimates = [
        estimate_of("full", everything - pooler, 4 * everything),
        estimate_of("lora", adapter, 4 * (everything + adapter)),
    ]
    for bits, size in _QUANTIZED.items():
        weights = 4 * (everything - in_linear + adapter) + size * in_linear
        estimates.append(estimate_of(f"lora, {bits} base", adapter, weights))
    return estimates


def activations(config: Any, batch: int, length: int, size: int) -> int:
    """Return the bytes that a forward pass keeps for the backward pass, at ``size`` bytes per number.

    Korthikanti et al. 2022 (Reducing Activation Recomputation in Large Transformer Models, section 4.1) count
    s b h (34 + 5 a s / h) bytes for a layer, in 16 bits and with dropout. Without dropout masks and for an inner width
    f that is batch x length x (8 h + 2 f) numbers, and heads x batch x length^2 for the softmax. A gated inner layer
    keeps 4 f: both halves, the activated half and the product. Fused attention does not keep the softmax and takes
    less.
    """
    width, layers, heads = config.hidden_size, config.num_hidden_layers, config.num_attention_heads
    inner = getattr(config, "intermediate_size", None) or getattr(config, "hidden_dim", 4 * width)
    gated = getattr(config, "hidden_act", None) in ("silu", "swish") or config.model_type in (
        "modernbert",
        "gemma3_text",
    )
    numbers = batch * length * (8 * width + (4 if gated else 2) * inner) + heads * batch * length**2
    return int(size * layers * numbers)

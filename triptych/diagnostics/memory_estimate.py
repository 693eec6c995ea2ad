"""Estimate how much memory training takes from a model's config; no weights are read or allocated."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModel

from triptych.artifacts import intact, read_json
from triptych.diagnostics.kept_activations import Kept, kept_for_backward, one_layer
from triptych.errors import UserError
from triptych.models.loading import locate
from triptych.models.lora_targets import adapter_targets, excluded_layers
from triptych.models.precision import Precision
from triptych.params.sections import Model, Tokenize, Train

_QUANTIZED = {"8bit": 1.0, "4bit": 0.516}  # bytes per weight; 4 bits, and 0.127 bits of constants (QLoRA)
_MOMENTS = {"adamw": 8.0, "adamw_8bit": 2.03}  # bytes per trained weight; a block of 256 has a constant of 4 bytes
_DEFAULT_LENGTH = 256  # tokens of a text, before max_length is chosen
_MEASURED: dict[str, Kept] = {}  # by what decides it: quantized bases keep what one in half precision keeps
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes that one training method takes."""

    method: str
    trained: int  # weights
    weights: int
    copies: int  # of weights in the precision that is computed in
    gradients: int
    optimizer: int
    activations: int
    checkpointed: int  # activations with gradient checkpointing

    @property
    def total(self) -> int:
        """Return the sum of all in bytes, without the overhead of the allocator and of the device's context."""
        return self.weights + self.copies + self.gradients + self.optimizer + self.activations

    @property
    def total_checkpointed(self) -> int:
        """Return the sum with gradient checkpointing."""
        return self.total - self.activations + self.checkpointed

    def record(self) -> dict[str, Any]:
        """Return all numbers as a dict for JSON."""
        return asdict(self) | {"total": self.total, "total_checkpointed": self.total_checkpointed}


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
    """Return the estimates of full training, and of LoRA on a base in float32, half precision, 8 and 4 bits.

    ``batch`` texts of ``length`` tokens are a batch; at most ``train.micro_batch_tokens`` of its tokens are in memory
    at once. Trained weights, gradients and moments are float32, as in training. What is computed, and with it
    activations, has the precision of ``train.precision``; ``auto`` counts as 16 bits.
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
    single = train.precision == "fp32"
    computed = torch.float32 if single else torch.bfloat16
    texts = min(batch, max(1, train.micro_batch_tokens // length))

    def estimate_of(method: str, trained: int, weights: float, dtype: torch.dtype) -> Estimate:
        lora = method != "full"
        fast = train.fused and lora and dtype == torch.float32 and "bit" not in method
        layers = int(model.config.num_hidden_layers)
        key = f"{model.config.to_json_string()} {train.lora} {train.dropout} {dtype} {lora} {fast} {length} {single}"
        if key not in _MEASURED:
            empty = _to_train(model.config, train, dtype, length, lora=lora)
            precision: Precision = "fp32" if single else "bf16"
            _MEASURED[key] = kept_for_backward(empty, layers, length, precision, fast=fast)
        kept = _MEASURED[key]
        between = length * int(model.config.hidden_size) * dtype.itemsize * layers
        outside = kept.text - layers * kept.layer
        moments = int(_MOMENTS[train.optimizer] * trained)
        activations, checkpointed = texts * kept.text, texts * (between + kept.layer + outside)
        return Estimate(method, trained, int(weights), kept.copies, 4 * trained, moments, activations, checkpointed)

    rest = everything - in_linear
    return [
        estimate_of("full", everything - pooler, 4 * everything, torch.float32),
        estimate_of("lora", adapter, 4 * (everything + adapter), torch.float32),
        estimate_of("lora, half-precision base", adapter, 2 * everything + 4 * adapter, torch.bfloat16),
        *(
            estimate_of(
                f"lora, {bits} base", adapter, size * in_linear + computed.itemsize * rest + 4 * adapter, computed
            )
            for bits, size in _QUANTIZED.items()
        ),
    ]


def _to_train(config: Any, train: Train, dtype: torch.dtype, length: int, *, lora: bool) -> Any:
    """Return a model of one layer, without memory, that trains as `triptych.models.adapter` lets it."""
    with torch.device("meta"):
        model = AutoModel.from_config(one_layer(config, length), dtype=dtype)
        if lora:
            targets, excluded = adapter_targets(model, train.lora.target_modules), excluded_layers(model)
            model = get_peft_model(
                model,
                LoraConfig(
                    r=train.lora.r,
                    lora_dropout=train.lora.dropout,
                    target_modules=targets,
                    exclude_modules=rf".*({'|'.join(excluded)}).*" if excluded else None,
                    task_type="FEATURE_EXTRACTION",
                ),
            )
    return model.train(train.dropout)  # evaluation mode is training without dropout

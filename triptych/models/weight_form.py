"""In which form the weights of a base model are in memory: float32, half precision, or quantized to 8 or 4 bits."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import BitsAndBytesConfig

from triptych.artifacts import read_json
from triptych.models.precision import resolve_precision
from triptych.serving.numpy_encoder import query_folder

LoadIn = Literal["full", "bf16", "fp16", "8bit", "4bit"]
SAFE = {"use_safetensors": True}  # a pickle of weights may run code
_HALF: dict[LoadIn, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}
_COMPUTE = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}  # by precision


@dataclass(frozen=True, slots=True)
class WeightForm:
    """The form of a base model's weights. All but ``full`` are frozen: only an adapter beside them trains.

    ``dtype`` names that of the weights that are not quantized, and of the products with those that are.
    """

    load_in: LoadIn = "full"
    dtype: str = "float32"

    @property
    def torch_dtype(self) -> torch.dtype:
        """Return ``dtype`` as torch's."""
        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype

    @property
    def quantized(self) -> bool:
        """Return whether linear layers are quantized."""
        return self.load_in in ("8bit", "4bit")

    def arguments(self, device: torch.device) -> dict[str, Any]:
        """Return what ``from_pretrained`` needs to load weights in this form onto a device.

        4 bits are NormalFloat with doubly quantized constants (QLoRA, Dettmers et al. 2023). Quantized weights are put
        on the device one by one (``device_map``), so that the whole model is never in memory unquantized.
        """
        if not self.quantized:
            return SAFE | {"dtype": self.torch_dtype}
        config = BitsAndBytesConfig(
            load_in_8bit=self.load_in == "8bit",
            load_in_4bit=self.load_in == "4bit",
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=self.torch_dtype,
        )
        return SAFE | {"dtype": self.torch_dtype, "quantization_config": config, "device_map": {"": str(device)}}


FULL = WeightForm()


def weight_form(load_in: LoadIn, precision: str, device: torch.device) -> WeightForm:
    """Return the form that ``train.load_in`` names; quantized weights are multiplied in ``train.precision``."""
    if load_in == "full":
        return FULL
    dtype = _HALF.get(load_in) or _COMPUTE[resolve_precision(precision, device)]
    return WeightForm(load_in, str(dtype).removeprefix("torch."))


def form_of(model: Any) -> WeightForm:
    """Return the form in which the weights of a `SentenceTransformer` are in memory."""
    kinds = {type(module).__name__ for module in model.modules()}
    dtype = model[0].model.get_input_embeddings().weight.dtype
    load_in: LoadIn = "full"
    if "Linear8bitLt" in kinds:
        load_in = "8bit"
    elif "Linear4bit" in kinds:
        load_in = "4bit"
    elif dtype in _HALF.values():
        load_in = "bf16" if dtype == torch.bfloat16 else "fp16"
    return WeightForm(load_in, str(dtype).removeprefix("torch."))


def saved_form(folder: Path) -> WeightForm:
    """Return the form in which an embedder was saved: half precision where its config names that, else float32."""
    path = query_folder(folder) / "config.json"
    config = read_json(path) if path.exists() else {}
    dtype = config.get("dtype") or config.get("torch_dtype")
    if dtype == "bfloat16":
        return WeightForm("bf16", "bfloat16")
    return WeightForm("fp16", "float16") if dtype == "float16" else FULL


def keep_differentiable(model: torch.nn.Module) -> None:
    """Keep gradients flowing through quantized layers on a CPU after the model was evaluated."""
    modules: Iterator[Any] = model.modules()
    for module in modules:
        if hasattr(module, "support_avx512bf16_for_cpu"):
            # It would pack the weights for inference in the first evaluation, after which they give no gradient.
            module.support_avx512bf16_for_cpu = False

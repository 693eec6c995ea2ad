"""Model families: their linear layers that get an adapter, and the layers of a cross-encoder that score a pair."""

from typing import Any, Literal

import torch
from transformers.pytorch_utils import Conv1D

from triptych.errors import UserError

Targets = Literal["auto", "all-linear"] | list[str]

_BERT = ("query", "key", "value", "dense")
_GATED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

_ADAPTABLE = (torch.nn.Linear, torch.nn.Embedding, Conv1D)

# By transformers' `config.model_type`: the last parts of the names of the linear layers in every block.
FAMILIES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("bert", "camembert", "data2vec-text", "ernie", "roberta", "xlm-roberta", "xlm-roberta-xl"), _BERT),
    "electra": _BERT,  # its projection of smaller embeddings is not adapted
    "deberta-v2": ("query_proj", "key_proj", "value_proj", "dense"),
    "distilbert": ("q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"),
    "modernbert": ("Wqkv", "Wi", "Wo"),
    "mpnet": ("q", "k", "v", "o", "dense"),
    **dict.fromkeys(("eurobert", "gte", "nomic_bert"), _GATED),
    **dict.fromkeys(("gemma2", "gemma3_text", "llama", "ministral", "mistral", "qwen2", "qwen3"), _GATED),
}


def adapter_targets(transformer: Any, wanted: Targets) -> str | list[str]:
    """Return ``target_modules`` for peft: as wanted, or for ``auto`` the linear layers of the family.

    QLoRA (Dettmers et al. 2023, section 4) found that every linear layer of a block has to be adapted to match full
    fine-tuning. Raise `UserError` with the model's linear layers if the family is unknown, or if one of the wanted
    names matches no layer that can get an adapter: peft ignores such a name beside others.
    """
    if isinstance(wanted, list):
        wrong = [name for name in wanted if not _matches_layers(transformer, name)]
        if wrong:
            raise UserError(
                f"train.lora.target_modules: {', '.join(wrong)}: no layer of this model that can get an adapter has"
                f" this name; its linear layers are {_linear_layers(transformer)}; name some of them, or set"
                " train.lora.target_modules to auto or all-linear"
            )
        return wanted
    if wanted == "all-linear":
        return wanted
    family = str(transformer.config.model_type)
    if family in FAMILIES:
        return list(FAMILIES[family])
    raise UserError(
        f"train.lora.target_modules: auto does not know the model family {family!r}; its linear layers are"
        f" {_linear_layers(transformer)}; set train.lora.target_modules to those of them to tune,"
        " such as [query, key, value], or to all-linear"
    )


def excluded_layers(transformer: Any) -> list[str]:
    """Return the parts of module names that never get an adapter: the head of a cross-encoder, and the pooler."""
    parts = [*head_of(transformer), "pooler"]
    return [part for part in parts if any(part in name for name, _ in transformer.named_modules())]


def _matches_layers(transformer: Any, target: str) -> bool:
    """Return whether a name matches layers as in peft, by its last parts, and all of them can get an adapter."""
    excluded = excluded_layers(transformer)
    matches = [
        module
        for name, module in transformer.named_modules()
        if (name == target or name.endswith(f".{target}")) and not any(part in name for part in excluded)
    ]
    return bool(matches) and all(isinstance(module, _ADAPTABLE) for module in matches)


def _linear_layers(transformer: Any) -> str:
    excluded = excluded_layers(transformer)
    linear = {
        name.rpartition(".")[2]
        for name, module in transformer.named_modules()
        if isinstance(module, torch.nn.Linear) and not any(part in name for part in excluded)
    }
    return ", ".join(sorted(linear)) or "none"


def head_of(transformer: Any) -> list[str]:
    """Return the names of the modules that turn the last hidden state of a cross-encoder into a score.

    An embedder has none, nor has a decoder whose score is the logit of a word.
    """
    if not type(transformer).__name__.endswith("ForSequenceClassification"):
        return []
    own = [name for name, one in transformer.named_children() if name != transformer.base_model_prefix]
    with_weights = [name for name in own if any(True for _ in transformer.get_submodule(name).parameters())]
    inner = getattr(transformer, transformer.base_model_prefix)
    return [*with_weights, *(name for name, one in inner.named_children() if name == "pooler" and one is not None)]

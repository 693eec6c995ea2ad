"""Model families: their linear layers that get an adapter, and the layers of a cross-encoder that score a pair."""

from typing import Any, Literal

import torch

from triptych.errors import UserError

Targets = Literal["auto", "all-linear"] | list[str]

_BERT = ("query", "key", "value", "dense")
_GATED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

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
    fine-tuning. Raise `UserError` with the model's linear layers if the family is unknown.
    """
    if wanted != "auto":
        return wanted
    family = str(transformer.config.model_type)
    if family in FAMILIES:
        return list(FAMILIES[family])
    linear = {name.rpartition(".")[2] for name, one in transformer.named_modules() if isinstance(one, torch.nn.Linear)}
    raise UserError(
        f"train.lora.target_modules: auto does not know the model family {family!r}; its linear layers are"
        f" {', '.join(sorted(linear)) or 'none'}; set train.lora.target_modules to those of them to tune,"
        " such as [query, key, value], or to all-linear"
    )


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

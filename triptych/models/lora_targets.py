"""Model families: which of their linear layers an adapter is put on, and which layers score a pair."""

from typing import Any, Literal

import torch

from triptych.errors import UserError

Targets = Literal["auto", "all-linear"] | list[str]

_BERT = ("query", "key", "value", "dense")
_GATED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

# By transformers' `config.model_type`: the ends of the names of the linear layers in every block.
FAMILIES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("bert", "camembert", "data2vec-text", "ernie", "roberta", "xlm-roberta", "xlm-roberta-xl"), _BERT),
    "electra": _BERT,  # its projection of smaller embeddings stays as it is
    "deberta-v2": ("query_proj", "key_proj", "value_proj", "dense"),
    "distilbert": ("q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"),
    "modernbert": ("Wqkv", "Wi", "Wo"),
    "mpnet": ("q", "k", "v", "o", "dense"),
    **dict.fromkeys(("eurobert", "gte", "nomic_bert"), _GATED),
    **dict.fromkeys(("gemma2", "gemma3_text", "llama", "ministral", "mistral", "qwen2", "qwen3"), _GATED),
}


def adapter_targets(transformer: Any, wanted: Targets) -> str | list[str]:
    """Return what peft takes as ``target_modules``: as wanted, or for ``auto`` the linear layers of the family.

    QLoRA (Dettmers et al. 2023, section 4) found that every linear layer of a block has to be adapted to match full
    fine-tuning. Raise `UserError` where the family is unknown, with the layers that there are.
    """
    if wanted != "auto":
        return wanted
    family = str(transformer.config.model_type)
    if family in FAMILIES:
        return list(FAMILIES[family])
    linear = {name.rpartition(".")[2] for name, one in transformer.named_modules() if isinstance(one, torch.nn.Linear)}
    raise UserError(
        f"train.lora.target_modules: auto does not know the model family {family!r}; its linear layers are"
        f" {', '.join(sorted(linear)) or 'none'}; set train.lora.target_modules to those of them that shall be tuned,"
        " such as [query, key, value], or to all-linear"
    )


def head_of(transformer: Any) -> list[str]:
    """Return the names of the modules that make a score of what a cross-encoder's layers make of a pair.

    There are none in an embedder, nor in a decoder that answers with a word.
    """
    if not type(transformer).__name__.endswith("ForSequenceClassification"):
        return []
    own = [name for name, one in transformer.named_children() if name != transformer.base_model_prefix]
    weighed = [name for name in own if any(True for _ in transformer.get_submodule(name).parameters())]
    inner = getattr(transformer, transformer.base_model_prefix)
    return [*weighed, *(name for name, one in inner.named_children() if name == "pooler" and one is not None)]

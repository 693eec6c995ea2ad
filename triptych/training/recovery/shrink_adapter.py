"""Replace the trainable weights by a smaller adapter that keeps what was learned so far."""

import copy

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from sentence_transformers import CrossEncoder, SentenceTransformer
from torch import Tensor

from triptych.models.lora_targets import head_of

RANK = 4


def is_full_training(model: SentenceTransformer | CrossEncoder) -> bool:
    """Return whether the model's own weights train, not an adapter."""
    return not isinstance(model[0].model, PeftModel)


def can_shrink(model: SentenceTransformer | CrossEncoder) -> bool:
    """Return whether more trains than an adapter of rank 4."""
    return is_full_training(model) or model[0].model.active_peft_config.r > RANK


def shrink_adapter(model: SentenceTransformer | CrossEncoder) -> None:
    """Let an adapter of rank 4 train from here on.

    The updates of a larger adapter are truncated to rank 4, the best approximation of that rank (Eckart and Young
    1936). If all weights trained, they are frozen as they are and a new adapter starts on them. The head of a
    cross-encoder keeps training.
    """
    transformer = model[0].model
    if not is_full_training(model):
        config = copy.copy(transformer.active_peft_config)
        config.lora_alpha, config.r = config.lora_alpha * RANK / config.r, RANK  # keeps the scale of the update
        smaller = _truncated(get_peft_model_state_dict(transformer))
        model[0].model = get_peft_model(transformer.unload(), config)
        set_peft_model_state_dict(model[0].model, smaller)
    else:
        head = head_of(transformer)
        config = LoraConfig(
            r=RANK,
            lora_alpha=2 * RANK,
            target_modules="all-linear",
            exclude_modules=rf".*({'|'.join([*head, 'pooler'])}).*",
            modules_to_save=head or None,
            task_type=None if head else "FEATURE_EXTRACTION",
        )
        model[0].model = get_peft_model(transformer, config)
    for one in model.parameters():
        if one.requires_grad:
            one.data = one.data.float()


def merge_adapter(model: SentenceTransformer | CrossEncoder) -> None:
    """Merge the adapter into the weights that it was put on, which are trainable again."""
    model[0].model = model[0].model.merge_and_unload()
    head = head_of(model[0].model)
    for name, one in model.named_parameters():
        one.requires_grad_("pooler" not in name or bool(head))


def _truncated(adapter: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the factors of each update B A truncated to rank 4 by singular value decomposition."""
    truncated = {}
    for name, down in adapter.items():
        if ".lora_" not in name:
            truncated[name] = down  # a weight of the head
        if ".lora_A." not in name:
            continue
        other = name.replace(".lora_A.", ".lora_B.")
        # B A = (Q R)(P S)^T = Q (R S^T) P^T: only a (rank, rank) matrix has to be decomposed.
        left, right = torch.linalg.qr(adapter[other].float()), torch.linalg.qr(down.float().T)
        inner, values, outer = torch.linalg.svd(left.R @ right.R.T)
        truncated[other] = (left.Q @ inner[:, :RANK]) * values[:RANK]
        truncated[name] = outer[:RANK] @ right.Q.T  # never zero, or a fresh adapter (B = 0) could not learn
    return truncated

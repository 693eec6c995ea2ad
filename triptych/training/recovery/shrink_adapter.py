"""A smaller adapter in the place of what trains, with what was learned so far."""

import copy

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from sentence_transformers import CrossEncoder, SentenceTransformer
from torch import Tensor

from triptych.models.lora_targets import head_of

RANK = 4


def trains_all(model: SentenceTransformer | CrossEncoder) -> bool:
    """Return whether the weights themselves train, and no adapter."""
    return not isinstance(model[0].model, PeftModel)


def can_shrink(model: SentenceTransformer | CrossEncoder) -> bool:
    """Return whether there is more to train than an adapter of rank 4."""
    return trains_all(model) or model[0].model.active_peft_config.r > RANK


def shrink(model: SentenceTransformer | CrossEncoder) -> None:
    """Let an adapter of rank 4 train from here on.

    A larger adapter is cut to the four strongest directions of each of its updates, the closest that rank 4 comes to
    them (Eckart and Young 1936). Where all weights trained, they stay as they are and a new adapter starts on them. The
    head of a cross-encoder goes on as it is.
    """
    transformer = model[0].model
    if not trains_all(model):
        config = copy.copy(transformer.active_peft_config)
        config.lora_alpha, config.r = config.lora_alpha * RANK / config.r, RANK  # the scale of the update stays
        smaller = _cut(get_peft_model_state_dict(transformer))
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


def absorb(model: SentenceTransformer | CrossEncoder) -> None:
    """Add the adapter to the weights that it stands on, which count as trained again."""
    model[0].model = model[0].model.merge_and_unload()
    head = head_of(model[0].model)
    for name, one in model.named_parameters():
        one.requires_grad_("pooler" not in name or bool(head))


def _cut(adapter: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the factors of each update B A cut to rank 4, by the singular values of the product."""
    cut = {}
    for name, down in adapter.items():
        if ".lora_" not in name:
            cut[name] = down  # of the head
        if ".lora_A." not in name:
            continue
        other = name.replace(".lora_A.", ".lora_B.")
        # B A = (Q R)(P S)^T = Q (R S^T) P^T: a decomposition of rank x rank is all it takes.
        left, right = torch.linalg.qr(adapter[other].float()), torch.linalg.qr(down.float().T)
        inner, values, outer = torch.linalg.svd(left.R @ right.R.T)
        cut[other] = (left.Q @ inner[:, :RANK]) * values[:RANK]
        cut[name] = outer[:RANK] @ right.Q.T  # never zero: an adapter that has learned nothing yet must be able to
    return cut

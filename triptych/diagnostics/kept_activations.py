"""Count what a forward pass keeps for the backward pass, by running it on tensors without memory.

Autograd reports every tensor that it keeps (`saved_tensors_hooks`). The pass is run for one text and for two, without
layers and with one: what it keeps is linear in both, so that all layers and any batch follow.
"""

import copy
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from triptych.models.precision import Precision, autocast
from triptych.training.fast.merged_lora import merged

_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Kept:
    """Bytes that a forward pass keeps."""

    copies: int  # of weights in the precision that is computed in, whatever the batch
    text: int  # of each text
    layer: int  # the share of one layer in ``text``


def one_layer(config: Any, length: int) -> Any:
    """Return a copy of a model's config with a single layer, and with positions for ``length`` tokens."""
    one = copy.deepcopy(config)
    one.num_hidden_layers = 1
    one.max_position_embeddings = max(config.max_position_embeddings, length + 2)  # two are for padding
    if getattr(config, "layer_types", None):
        one.layer_types = config.layer_types[:1]
    return one


def kept_for_backward(model: Any, layers: int, length: int, precision: Precision, *, fast: bool) -> Kept:
    """Return what a forward pass of a transformer with ``layers`` layers keeps of texts of ``length`` tokens.

    ``model`` has one of the layers (`one_layer`), is on the meta device, and of no use afterwards. The weights that
    train, dtypes and mode are those of ``model``. ``fast`` computes LoRA layers with
    `triptych.training.fast.merged_lora`.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    _fake(model, mode)

    def kept(texts: int) -> int:
        with mode:
            return _kept(model, torch.ones((texts, length), dtype=torch.long), precision, fast)

    one, two = kept(1), kept(2)
    next(one for one in model.modules() if isinstance(one, nn.ModuleList) and len(one) == 1)._modules.clear()
    one_without, two_without = kept(1), kept(2)
    outside = two_without - one_without
    layer = two - one - outside
    copies_without = one_without - outside
    copies = one - layer - outside - copies_without
    return Kept(copies_without + copies * layers, outside + layer * layers, layer)


def _kept(model: Any, ids: Tensor, precision: Precision, fast: bool) -> int:
    storages: dict[int, Any] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage._cdata] = storage  # held, so that its identity is not used again
        return tensor

    with (
        autocast(precision, _CPU),
        merged(model) if fast else nullcontext(),
        saved_tensors_hooks(pack, lambda tensor: tensor),
    ):
        out = model(input_ids=ids)
    weights = {one.untyped_storage()._cdata for one in model.parameters()}
    del out
    return sum(storage.nbytes() for identity, storage in storages.items() if identity not in weights)


def _fake(model: nn.Module, mode: FakeTensorMode) -> None:
    """Replace weights and buffers by tensors that pass for those of a CPU, so that autocast works, without memory."""
    with mode:
        for module in model.modules():
            for name, one in module._parameters.items():
                if one is not None:
                    fake = torch.empty(one.shape, dtype=one.dtype)
                    module._parameters[name] = nn.Parameter(fake, requires_grad=one.requires_grad)
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)

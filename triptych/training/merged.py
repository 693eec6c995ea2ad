"""LoRA layers that multiply by one weight: that of the base plus the adapter's change, added up once a step.

peft computes a layer as W x + s B (A x): beside the large product two narrow ones, a sum, and casts between precisions,
and autograd does as much again and more on the way back. W' = W + s B A gives the same y = W' x and dx = dy W' with one
product each; what is left are the gradients of the factors, dA = s (dy B)' x and dB = s dy' (A x)' (the way of Han et
al.'s fast LoRA kernels in Unsloth, here in plain torch). Under autocast W' is also what the merged model will compute
with, and the base's weights are cast once a step, not once a call.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeGuard

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn
from torch.nn.functional import linear


class MergedLinear(torch.autograd.Function):
    """y = x W'^T + b, with gradients of x and of the factors of W' = W + s B A."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scaling: float
    ) -> Tensor:
        """Return y of shape (..., out) in the precision of ``weight`` (out, in); ``a`` is (r, in), ``b`` (out, r)."""
        x = x.to(weight.dtype)
        ctx.save_for_backward(x, weight, a, b)
        ctx.scaling = scaling
        return linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, a and b."""
        x, weight, a, b = ctx.saved_tensors
        texts, back = x.flatten(0, -2), dy.flatten(0, -2)
        da = (back @ b.to(dy.dtype)).T @ texts
        db = ((texts @ a.to(x.dtype).T).T @ back).T  # not transposed beforehand: the other way takes twice as long
        dx = (back @ weight).view_as(x) if ctx.needs_input_grad[0] else None
        return dx, None, None, da.to(a.dtype) * ctx.scaling, db.to(b.dtype) * ctx.scaling, None


@contextmanager
def merged(model: nn.Module) -> Iterator[None]:
    """Let a model's LoRA layers compute with merged weights, which must not change meanwhile.

    In the precision of autocast where that is on, else in float32. Layers that are more than that (dropout, quantized,
    several adapters) compute as they did.
    """
    layers = [one for one in model.modules() if _is_plain(one)]
    for layer in layers:
        layer.forward = _forward(layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _forward(layer: Linear) -> Any:
    (name,) = layer.active_adapters
    a, b, scaling, base = layer.lora_A[name].weight, layer.lora_B[name].weight, layer.scaling[name], layer.base_layer

    @cache
    def weight_and_bias(dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        with torch.no_grad():
            weight = torch.addmm(base.weight.float(), b, a, alpha=scaling).to(dtype)
            return weight, None if base.bias is None else base.bias.to(dtype)

    def forward(x: Tensor) -> Tensor:
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
        weight, bias = weight_and_bias(dtype)
        return MergedLinear.apply(x, weight, bias, a, b, scaling)

    return forward


def _is_plain(module: nn.Module) -> TypeGuard[Linear]:
    # By type, not by kind: quantized layers of either sort are subclasses.
    if type(module) is not Linear or type(module.base_layer) is not nn.Linear:
        return False
    layer: Any = module
    names = layer.active_adapters
    return (
        len(names) == 1
        and not layer.disable_adapters
        and not layer.merged
        and not layer.lora_variant
        and isinstance(layer.lora_dropout[names[0]], nn.Identity)
        and layer.lora_B[names[0]].bias is None
    )

"""LoRA layers that multiply by one weight: the base weight plus the adapter's update, merged once per step.

peft computes a layer as W x + s B (A x): beside the large product two narrow ones, a sum, and casts between precisions,
and as much again and more in the backward pass. W' = W + s B A gives the same y = W' x and dx = dy W' with one product
each; there remain the gradients of the factors, dA = s (dy B)' x and dB = s dy' (A x)' (as in the fast LoRA kernels of
Unsloth, Han et al., here in plain torch). Under autocast W' is also the weight that the merged model will compute with,
and the base's weights are cast once per step, not once per call.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple, TypeGuard, cast

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn
from torch.nn.functional import linear


class Factors(NamedTuple):
    """The factors of an adapter, which adds ``scaling`` * b (out, r) @ a (r, in) to a weight."""

    a: Tensor
    b: Tensor
    scaling: float


class MergedLinear(torch.autograd.Function):
    """y = x W'^T + b, with gradients of x and of the factors of W' = W + s B A."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scaling: float
    ) -> Tensor:
        """Return y of shape (..., out) in the precision of ``weight`` (out, in)."""
        x = x.to(weight.dtype)
        ctx.save_for_backward(x, weight, a, b)
        ctx.scaling = scaling
        return linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, a and b."""
        x, weight, a, b = ctx.saved_tensors
        flat_dy = dy.flatten(0, -2)
        da, db = factor_gradients(flat_dy, x.flatten(0, -2), Factors(a, b, ctx.scaling))
        dx = (flat_dy @ weight).view_as(x) if ctx.needs_input_grad[0] else None
        return dx, None, None, da, db, None


def factor_gradients(dy: Tensor, x: Tensor, factors: Factors) -> tuple[Tensor, Tensor]:
    """Return the gradients of a and b of y = x (W + s B A)^T, from dy (N, out) and x (N, in)."""
    a, b, scaling = factors
    da = (dy @ b.to(dy.dtype)).T @ x
    db = ((x @ a.to(x.dtype).T).T @ dy).T  # transposing dy instead takes twice as long
    return da.to(a.dtype) * scaling, db.to(b.dtype) * scaling


def factors_of(layer: nn.Module) -> Factors | None:
    """Return the factors of a layer's adapter; None if there is none, or if it is not only two factors.

    The latter are adapters with dropout, on a layer in half precision or quantized, or several on one layer. A base in
    half precision is chosen to save memory, which a merged copy of its weights would take again.
    """
    if not _is_plain(layer):
        return None
    (name,) = layer.active_adapters
    return Factors(layer.lora_A[name].weight, layer.lora_B[name].weight, layer.scaling[name])


@torch.no_grad()
def merged_weight(layer: nn.Module, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """Return weight and bias of a linear layer in ``dtype``, its adapter merged in float32."""
    factors, base = factors_of(layer), cast(nn.Linear, getattr(layer, "base_layer", layer))
    weight = base.weight.float()
    if factors is not None:
        weight = torch.addmm(weight, factors.b, factors.a, alpha=factors.scaling)
    return weight.to(dtype), None if base.bias is None else base.bias.to(dtype)


def compute_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype that autocast sets for products on the device of ``x``; float32 if it is off."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32


@contextmanager
def merged(model: nn.Module) -> Iterator[None]:
    """Let a model's LoRA layers compute with merged weights inside the context; weights must not change in it.

    They compute in the dtype of autocast, or in float32 if it is off. Layers without `factors_of` stay as they are.
    """
    layers = {module: factors for module in model.modules() if (factors := factors_of(module))}
    for layer, factors in layers.items():
        layer.forward = _forward(layer, factors)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _forward(layer: nn.Module, factors: Factors) -> Any:
    @cache
    def weight_and_bias(dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        return merged_weight(layer, dtype)

    def forward(x: Tensor) -> Tensor:
        return MergedLinear.apply(x, *weight_and_bias(compute_dtype(x)), *factors)

    return forward


def _is_plain(module: nn.Module) -> TypeGuard[Linear]:
    # The exact types: quantized layers are subclasses of both.
    if type(module) is not Linear or type(module.base_layer) is not nn.Linear:
        return False
    if module.base_layer.weight.dtype != torch.float32:
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

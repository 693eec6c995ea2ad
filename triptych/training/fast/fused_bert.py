"""BERT layers with LoRA that compute in one step each, over packed tokens: the large products, and little between them.

As modules, a layer casts its input for each linear map and each norm, multiplies padding too, and leaves autograd some
thirty nodes to walk. Here all texts of a batch go through the products as one matrix without padding, and only
attention parts them, into groups of like length. Query, key and value are one product, adapters (`triptych.training
.merged`) and attention's scale are merged into the weights, activations stay in one precision from the first product to
the last norm, and the way back is written out, without gradients of what is frozen. Whole blocks by hand are Unsloth's
idea, packing is that of padding-free batches; the layer is Devlin et al.'s (2019).

In bf16 the residual sum is rounded too, which autocast would keep in float32; norms and softmax add up in float32
either way.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import gelu, linear
from transformers.activations import GELUActivation
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from triptych.training.data.collator import like_length
from triptych.training.fast.merged_lora import Factors, compute_dtype, factor_gradients, factors_of, merged_weight

# The same layer by other names.
_LAYERS = (
    "BertLayer",
    "CamembertLayer",
    "Data2VecTextLayer",
    "ElectraLayer",
    "ErnieLayer",
    "RobertaLayer",
    "XLMRobertaLayer",
)
_aten = torch.ops.aten


@dataclass(frozen=True, slots=True)
class Product:
    """y = x W'^T + b, of one linear map, or of several as wide as each other, whose outputs stand side by side.

    Their adapters stand together as well: ``a`` (R, in) holds the factors A of all, ``b`` (out, R) the factors B as
    blocks, so that each way is one narrow product for all.
    """

    weight: Tensor
    bias: Tensor
    a: Tensor
    b: Tensor
    adapters: tuple[Factors | None, ...]  # of each map

    def __call__(self, x: Tensor) -> Tensor:
        """Return y (N, out) of x (N, in)."""
        if x.device.type == "cpu" and torch.backends.mkldnn.is_available():
            # Adds the bias as it writes, where `linear` writes it first and reads it again.
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return linear(x, self.weight, self.bias)

    def added_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """Return the residual plus y, which is one pass less than y and the sum."""
        return (residual + self.bias).addmm_(x, self.weight.T)

    def gradients(self, dy: Tensor, x: Tensor) -> list[Tensor | None]:
        """Return the gradients of A and B of each map, None twice for one without an adapter."""
        if not len(self.a):
            return [None, None] * len(self.adapters)
        da, db = factor_gradients(dy, x, Factors(self.a, self.b, 1.0))
        found: list[Tensor | None] = []
        row = 0
        for adapter, part in zip(self.adapters, db.chunk(len(self.adapters)), strict=True):
            if adapter is None:
                found += [None, None]
                continue
            mine = slice(row, row := row + len(adapter.a))
            found += [
                da[mine].to(adapter.a.dtype) * adapter.scaling,
                part[:, mine].to(adapter.b.dtype) * adapter.scaling,
            ]
        return found


@dataclass(frozen=True, slots=True)
class Norm:
    """A layer norm with frozen weights."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the norm of x (N, d), with means and reciprocal deviations for the way back."""
        return torch.native_layer_norm(x, [x.shape[1]], self.weight, self.bias, self.eps)

    def back(self, dy: Tensor, x: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """Return the gradient of x."""
        shape, wanted = [x.shape[1]], [True, False, False]
        dx: Tensor = _aten.native_layer_norm_backward(dy, x, shape, mean, deviation, self.weight, self.bias, wanted)[0]
        return dx


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of a layer, merged, in the precision it computes in."""

    heads: int
    qkv: Product  # the query's times the scale of attention
    out: Product
    first_norm: Norm
    up: Product
    down: Product
    second_norm: Norm


class Group(NamedTuple):
    """Texts of like length: rows ``tokens`` of the packed tokens, ``width`` of them for each text."""

    tokens: slice
    width: int
    mask: Tensor | None  # added to scores (texts, heads, width, width); None where nothing is padded


class FusedLayer(torch.autograd.Function):
    """The layer, with gradients of its input and of the factors of its adapters."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, groups: list[Group], layer: Layer, *factors: Tensor | None) -> Tensor:
        """Return the output (N, d) of packed tokens ``x`` (N, d), both in the precision of the weights.

        ``factors`` are those of the layer, for autograd to see.
        """
        qkv, mixed, attention = layer.qkv(x), torch.empty_like(x), []
        for group in groups:
            parts = _heads(qkv, 3, layer, group).contiguous()
            query, key, value = parts.flatten(1, 2)
            scores = query @ key.mT
            if group.mask is not None:
                scores.view(-1, layer.heads, group.width, group.width).add_(group.mask)
            shares = scores.softmax(dim=-1)
            _heads(mixed, 1, layer, group).copy_((shares @ value).view_as(parts[:1]))
            attention += [parts, shares]
        summed = layer.out.added_to(x, mixed)
        attended, *of_first = layer.first_norm(summed)
        raised = layer.up(attended)
        active = gelu(raised)
        total = layer.down.added_to(attended, active)
        y, *of_second = layer.second_norm(total)
        ctx.layer, ctx.groups = layer, groups
        ctx.save_for_backward(x, mixed, summed, *of_first, attended, raised, active, total, *of_second, *attention)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the input and of the factors."""
        layer: Layer = ctx.layer
        x, mixed, *first, attended, raised, active, total, mean, deviation = ctx.saved_tensors[:11]
        attention = ctx.saved_tensors[11:]
        dtotal = layer.second_norm.back(dy, total, mean, deviation)
        of_down = layer.down.gradients(dtotal, active)
        draised = dtotal @ layer.down.weight
        _aten.gelu_backward.grad_input(draised, raised, grad_input=draised)
        of_up = layer.up.gradients(draised, attended)
        dsummed = layer.first_norm.back(dtotal.addmm_(draised, layer.up.weight), *first)
        of_out = layer.out.gradients(dsummed, mixed)
        dmixed, dqkv = dsummed @ layer.out.weight, x.new_empty(len(x), len(layer.qkv.weight))
        for group, parts, shares in zip(ctx.groups, attention[::2], attention[1::2], strict=True):
            query, key, value = parts.flatten(1, 2)
            back = _heads(dmixed, 1, layer, group).reshape(query.shape)
            dscores = _aten._softmax_backward_data(back @ value.mT, shares, -1, shares.dtype)
            dparts = torch.empty_like(parts)
            dquery, dkey, dvalue = dparts.flatten(1, 2)
            torch.bmm(dscores, key, out=dquery)
            torch.bmm(dscores.mT, query, out=dkey)
            torch.bmm(shares.mT, back, out=dvalue)
            _heads(dqkv, 3, layer, group).copy_(dparts)
        of_qkv = layer.qkv.gradients(dqkv, x)
        dx = dsummed.addmm_(dqkv, layer.qkv.weight) if ctx.needs_input_grad[0] else None
        return dx, None, None, *of_qkv, *of_out, *of_up, *of_down


def _heads(rows: Tensor, parts: int, layer: Layer, group: Group) -> Tensor:
    """View a group's rows of (N, parts * d) as (parts, texts, heads, width, d / heads)."""
    return (
        rows[group.tokens].unflatten(1, (parts, layer.heads, -1)).unflatten(0, (-1, group.width)).permute(2, 0, 3, 1, 4)
    )


@contextmanager
def fused(model: nn.Module) -> Iterator[bool]:
    """Let the encoder of a BERT compute as told above; meanwhile its weights must not change. Tell whether it does.

    It does where all but adapters is frozen, without dropout, with plain attention; others compute as they did.
    """
    encoders = [one for one in model.modules() if _is_encoder(one)]
    for encoder in encoders:
        encoder.forward = _forward(encoder)
    try:
        yield bool(encoders)
    finally:
        for encoder in encoders:
            del encoder.forward


def _forward(encoder: Any) -> Any:
    modules = list(encoder.layer)
    factors = [[part for one in _maps(each) for part in (factors_of(one) or (None, None))[:2]] for each in modules]

    @cache
    def layers(dtype: torch.dtype) -> list[Layer]:
        return [_layer(one, dtype) for one in modules]

    def forward(
        hidden_states: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        dtype = compute_dtype(hidden_states)
        places, groups = _packed(hidden_states, attention_mask, dtype)
        padded = hidden_states.to(dtype).flatten(0, 1)
        x = padded[places]
        for layer, trained in zip(layers(dtype), factors, strict=True):
            x = FusedLayer.apply(x, groups, layer, *trained)
        padded = torch.zeros_like(padded).index_copy(0, places, x)
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=padded.view_as(hidden_states))

    return forward


def _packed(hidden: Tensor, mask: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, list[Group]]:
    """Return the places of the tokens that are computed, among all of ``hidden`` (B, T, d), and their groups.

    ``mask`` is the library's, added to scores (B, 1, T, T); None where nothing is padded.
    """
    (texts, length), place = hidden.shape[:2], hidden.device
    if mask is None:
        return torch.arange(texts * length, device=place), [Group(slice(0, texts * length), length, None)]
    real = mask[:, 0, 0] == 0
    counts, columns = real.sum(dim=1), torch.argsort(~real, dim=1, stable=True)  # padding may stand on either side
    places: list[Tensor] = []
    groups: list[Group] = []
    stop = 0
    for numbers in like_length(counts.cpu().numpy()):
        rows = torch.from_numpy(numbers).to(place)
        width = int(counts[rows].max())
        places.append((rows[:, None] * length + columns[rows, :width]).flatten())
        start, stop = stop, stop + len(places[-1])
        padded = torch.arange(width, device=place) >= counts[rows, None]
        added = padded.to(dtype).mul_(torch.finfo(dtype).min)[:, None, None] if padded.any() else None
        groups.append(Group(slice(start, stop), width, added))
    return torch.cat(places), groups


def _layer(module: Any, dtype: torch.dtype) -> Layer:
    query, key, value, out, up, down = _maps(module)
    return Layer(
        module.attention.self.num_attention_heads,
        _product(dtype, query, key, value, scale=module.attention.self.scaling),
        _product(dtype, out),
        _norm(dtype, module.attention.output.LayerNorm),
        _product(dtype, up),
        _product(dtype, down),
        _norm(dtype, module.output.LayerNorm),
    )


@torch.no_grad()
def _product(dtype: torch.dtype, *maps: nn.Module, scale: float = 1.0) -> Product:
    """Return the product of some linear maps, the first one's output times ``scale``."""
    weights, biases = zip(*(merged_weight(one, dtype) for one in maps), strict=True)
    adapters = [factors_of(one) for one in maps]
    weight, bias = (torch.cat(every) if len(maps) > 1 else every[0] for every in (weights, biases))
    if scale != 1.0:
        for one in (weight, bias):
            one[: len(weights[0])] *= scale
        adapters[0] = adapters[0] and adapters[0]._replace(scaling=adapters[0].scaling * scale)
    a = [weight.new_empty((0, weight.shape[1])), *(one.a for one in adapters if one)]
    b = [one.b if one else weight.new_empty((len(weights[0]), 0)) for one in adapters]
    return Product(weight, bias, torch.cat(a).to(dtype), torch.block_diag(*b).to(dtype), tuple(adapters))


def _norm(dtype: torch.dtype, norm: nn.LayerNorm) -> Norm:
    return Norm(norm.weight.detach().to(dtype), norm.bias.detach().to(dtype), norm.eps)


def _maps(module: Any) -> list[nn.Module]:
    inner = module.attention.self
    narrow = [inner.query, inner.key, inner.value, module.attention.output.dense]
    return [*narrow, module.intermediate.dense, module.output.dense]


def _is_encoder(module: nn.Module) -> bool:
    layers = getattr(module, "layer", None)
    if not isinstance(layers, nn.ModuleList) or not len(layers):
        return False
    return all(type(one).__name__ in _LAYERS and _can_be_fused(one) for one in layers)


def _can_be_fused(module: Any) -> bool:
    """Tell whether a layer is but the sum of its maps and norms, and what trains in it are plain adapters."""
    adapters = [factors_of(one) for one in _maps(module)]
    known = {id(part) for factors in adapters if factors for part in factors[:2]}
    config = module.attention.self.config
    return (
        any(adapters)
        and all(id(one) in known for one in module.parameters() if one.requires_grad)
        and all(
            factors or (type(one) is nn.Linear and one.bias is not None)
            for factors, one in zip(adapters, _maps(module), strict=True)
        )
        and not any(one.p for one in module.modules() if isinstance(one, nn.Dropout))
        and type(module.intermediate.intermediate_act_fn) is GELUActivation
        and config._attn_implementation == "eager"
        and not (config.is_decoder or config.add_cross_attention or module.chunk_size_feed_forward)
        and not module.gradient_checkpointing
        and not any(one._forward_hooks or one._forward_pre_hooks for one in module.modules())
    )

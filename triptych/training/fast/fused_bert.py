"""BERT layers with LoRA, each as one autograd function over packed tokens, with a hand-written backward pass.

As a module, a layer casts its input for each linear map and each norm, multiplies padding too, and gives autograd some
thirty nodes. Here all texts of a batch go through the matrix products as one matrix without padding; only attention
separates them, into groups of similar length. Query, key and value are one product, adapters
(`triptych.training.fast.merged_lora`) and the scale of attention are merged into the weights, activations stay in one
precision from the first product to the last norm, and the backward pass computes no gradients of frozen weights.
Hand-written blocks are Unsloth's idea, packing is that of padding-free batches; the layer is Devlin et al.'s (2019).

In bf16 the residual sum is rounded too, which autocast would keep in float32; norms and softmax accumulate in float32
in both. ``train.fused: false`` turns this off.
"""

from collections.abc import Callable, Iterator
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

# Names of the same layer in other families.
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


@cache
def _multiplied_by_onednn(dtype: torch.dtype) -> bool:
    """Return whether oneDNN multiplies matrices of a type on this CPU; without its instructions it raises an error."""
    if not torch.backends.mkldnn.is_available():
        return False
    of_cpu: dict[torch.dtype, Callable[[], bool]] = {
        torch.float32: lambda: True,
        torch.bfloat16: torch.ops.mkldnn._is_mkldnn_bf16_supported,
        torch.float16: torch.ops.mkldnn._is_mkldnn_fp16_supported,
    }
    return dtype in of_cpu and of_cpu[dtype]()


@dataclass(frozen=True, slots=True)
class PackedLinear:
    """y = x W'^T + b of one linear map, or of several of equal width whose outputs are concatenated.

    Their adapters are concatenated too: ``a`` (R, in) contains the factors A of all, ``b`` (out, R) the factors B as
    blocks on the diagonal, so that their gradients take two narrow products for all.
    """

    weight: Tensor
    bias: Tensor
    a: Tensor
    b: Tensor
    adapters: tuple[Factors | None, ...]  # of each map

    def __call__(self, x: Tensor) -> Tensor:
        """Return y (N, out) of x (N, in)."""
        if x.device.type == "cpu" and _multiplied_by_onednn(x.dtype):
            # Adds the bias while writing the output; `linear` writes the bias first and reads it again.
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return linear(x, self.weight, self.bias)

    def added_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """Return the residual plus y in one pass over memory less than computing y first."""
        return (residual + self.bias).addmm_(x, self.weight.T)

    def gradients(self, dy: Tensor, x: Tensor) -> list[Tensor | None]:
        """Return the gradients of A and B of each map; two None for a map without an adapter."""
        if not len(self.a):
            return [None, None] * len(self.adapters)
        da, db = factor_gradients(dy, x, Factors(self.a, self.b, 1.0))
        gradients: list[Tensor | None] = []
        row = 0
        for adapter, part in zip(self.adapters, db.chunk(len(self.adapters)), strict=True):
            if adapter is None:
                gradients += [None, None]
                continue
            own = slice(row, row := row + len(adapter.a))
            gradients += [
                da[own].to(adapter.a.dtype) * adapter.scaling,
                part[:, own].to(adapter.b.dtype) * adapter.scaling,
            ]
        return gradients


@dataclass(frozen=True, slots=True)
class FrozenLayerNorm:
    """A layer norm with frozen weights."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the normalized x (N, d), with means and reciprocal standard deviations for `backward`."""
        return torch.native_layer_norm(x, [x.shape[1]], self.weight, self.bias, self.eps)

    def backward(self, dy: Tensor, x: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """Return the gradient of x."""
        shape, only_x = [x.shape[1]], [True, False, False]
        dx: Tensor = _aten.native_layer_norm_backward(dy, x, shape, mean, deviation, self.weight, self.bias, only_x)[0]
        return dx


@dataclass(frozen=True, slots=True)
class Layer:
    """The merged weights of a layer, in the dtype that it computes in."""

    heads: int
    qkv: PackedLinear  # the query's part times the scale of attention
    out: PackedLinear
    first_norm: FrozenLayerNorm
    up: PackedLinear
    down: PackedLinear
    second_norm: FrozenLayerNorm


class Group(NamedTuple):
    """Texts of similar length: rows ``tokens`` of the packed tokens, ``width`` of them for each text."""

    tokens: slice
    width: int
    mask: Tensor | None  # added to scores (texts, heads, width, width); None if nothing is padded


class FusedLayer(torch.autograd.Function):
    """The layer, with gradients of its input and of the factors of its adapters."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, groups: list[Group], layer: Layer, *factors: Tensor | None) -> Tensor:
        """Return the output (N, d) of packed tokens ``x`` (N, d), both in the precision of the weights.

        ``factors`` are the adapter factors of the layer, passed for autograd to track.
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
        attended, *first_stats = layer.first_norm(summed)
        pre_gelu = layer.up(attended)
        active = gelu(pre_gelu)
        total = layer.down.added_to(attended, active)
        y, *second_stats = layer.second_norm(total)
        ctx.layer, ctx.groups = layer, groups
        ctx.save_for_backward(
            x, mixed, summed, *first_stats, attended, pre_gelu, active, total, *second_stats, *attention
        )
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the input and of the factors."""
        layer: Layer = ctx.layer
        x, mixed, *first, attended, pre_gelu, active, total, mean, deviation = ctx.saved_tensors[:11]
        attention = ctx.saved_tensors[11:]
        dtotal = layer.second_norm.backward(dy, total, mean, deviation)
        down_gradients = layer.down.gradients(dtotal, active)
        dpre_gelu = dtotal @ layer.down.weight
        _aten.gelu_backward.grad_input(dpre_gelu, pre_gelu, grad_input=dpre_gelu)
        up_gradients = layer.up.gradients(dpre_gelu, attended)
        dsummed = layer.first_norm.backward(dtotal.addmm_(dpre_gelu, layer.up.weight), *first)
        out_gradients = layer.out.gradients(dsummed, mixed)
        dmixed, dqkv = dsummed @ layer.out.weight, x.new_empty(len(x), len(layer.qkv.weight))
        for group, parts, shares in zip(ctx.groups, attention[::2], attention[1::2], strict=True):
            query, key, value = parts.flatten(1, 2)
            dattended = _heads(dmixed, 1, layer, group).reshape(query.shape)
            dscores = _aten._softmax_backward_data(dattended @ value.mT, shares, -1, shares.dtype)
            dparts = torch.empty_like(parts)
            dquery, dkey, dvalue = dparts.flatten(1, 2)
            torch.bmm(dscores, key, out=dquery)
            torch.bmm(dscores.mT, query, out=dkey)
            torch.bmm(shares.mT, dattended, out=dvalue)
            _heads(dqkv, 3, layer, group).copy_(dparts)
        qkv_gradients = layer.qkv.gradients(dqkv, x)
        dx = dsummed.addmm_(dqkv, layer.qkv.weight) if ctx.needs_input_grad[0] else None
        return dx, None, None, *qkv_gradients, *out_gradients, *up_gradients, *down_gradients


def _heads(rows: Tensor, parts: int, layer: Layer, group: Group) -> Tensor:
    """View a group's rows of (N, parts * d) as (parts, texts, heads, width, d / heads)."""
    return (
        rows[group.tokens].unflatten(1, (parts, layer.heads, -1)).unflatten(0, (-1, group.width)).permute(2, 0, 3, 1, 4)
    )


@contextmanager
def fused(model: nn.Module) -> Iterator[bool]:
    """Let the encoder of a BERT compute with `FusedLayer` inside the context; weights must not change in it.

    Yield whether it does: only if everything but adapters is frozen, dropout is off and attention is eager. Any other
    encoder stays as it is.
    """
    encoders = [module for module in model.modules() if _is_encoder(module)]
    for encoder in encoders:
        encoder.forward = _forward(encoder)
    try:
        yield bool(encoders)
    finally:
        for encoder in encoders:
            del encoder.forward


def _forward(encoder: Any) -> Any:
    modules = list(encoder.layer)
    factors = [[part for one in _linears(layer) for part in (factors_of(one) or (None, None))[:2]] for layer in modules]

    @cache
    def layers(dtype: torch.dtype) -> list[Layer]:
        return [_layer(one, dtype) for one in modules]

    def forward(
        hidden_states: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        dtype = compute_dtype(hidden_states)
        positions, groups = _pack(hidden_states, attention_mask, dtype)
        padded = hidden_states.to(dtype).flatten(0, 1)
        x = padded[positions]
        for layer, of_layer in zip(layers(dtype), factors, strict=True):
            x = FusedLayer.apply(x, groups, layer, *of_layer)
        padded = torch.zeros_like(padded).index_copy(0, positions, x)
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=padded.view_as(hidden_states))

    return forward


def _pack(hidden: Tensor, mask: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, list[Group]]:
    """Return the positions of the tokens to compute, among the B * T of ``hidden`` (B, T, d), and their groups.

    ``mask`` is the library's, added to scores (B, 1, T, T); None if nothing is padded.
    """
    (texts, length), device = hidden.shape[:2], hidden.device
    if mask is None:
        return torch.arange(texts * length, device=device), [Group(slice(0, texts * length), length, None)]
    real = mask[:, 0, 0] == 0
    counts, columns = real.sum(dim=1), torch.argsort(~real, dim=1, stable=True)  # padding may be on either side
    positions: list[Tensor] = []
    groups: list[Group] = []
    stop = 0
    for numbers in like_length(counts.cpu().numpy()):
        rows = torch.from_numpy(numbers).to(device)
        width = int(counts[rows].max())
        positions.append((rows[:, None] * length + columns[rows, :width]).flatten())
        start, stop = stop, stop + len(positions[-1])
        padded = torch.arange(width, device=device) >= counts[rows, None]
        added = padded.to(dtype).mul_(torch.finfo(dtype).min)[:, None, None] if padded.any() else None
        groups.append(Group(slice(start, stop), width, added))
    return torch.cat(positions), groups


def _layer(module: Any, dtype: torch.dtype) -> Layer:
    query, key, value, out, up, down = _linears(module)
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
def _product(dtype: torch.dtype, *maps: nn.Module, scale: float = 1.0) -> PackedLinear:
    """Return some linear maps as one, the first one's output multiplied by ``scale``."""
    weights, biases = zip(*(merged_weight(one, dtype) for one in maps), strict=True)
    adapters = [factors_of(one) for one in maps]
    weight, bias = (torch.cat(every) if len(maps) > 1 else every[0] for every in (weights, biases))
    if scale != 1.0:
        for one in (weight, bias):
            one[: len(weights[0])] *= scale
        adapters[0] = adapters[0] and adapters[0]._replace(scaling=adapters[0].scaling * scale)
    a = [weight.new_empty((0, weight.shape[1])), *(one.a for one in adapters if one)]
    b = [one.b if one else weight.new_empty((len(weights[0]), 0)) for one in adapters]
    return PackedLinear(weight, bias, torch.cat(a).to(dtype), torch.block_diag(*b).to(dtype), tuple(adapters))


def _norm(dtype: torch.dtype, norm: nn.LayerNorm) -> FrozenLayerNorm:
    return FrozenLayerNorm(norm.weight.detach().to(dtype), norm.bias.detach().to(dtype), norm.eps)


def _linears(module: Any) -> list[nn.Module]:
    inner = module.attention.self
    attention = [inner.query, inner.key, inner.value, module.attention.output.dense]
    return [*attention, module.intermediate.dense, module.output.dense]


def _is_encoder(module: nn.Module) -> bool:
    layers = getattr(module, "layer", None)
    if not isinstance(layers, nn.ModuleList) or not len(layers):
        return False
    return all(type(one).__name__ in _LAYERS and _can_be_fused(one) for one in layers)


def _can_be_fused(module: Any) -> bool:
    """Return whether a layer has only the parts that `FusedLayer` computes, and only plain adapters train in it."""
    adapters = [factors_of(one) for one in _linears(module)]
    known = {id(part) for factors in adapters if factors for part in factors[:2]}
    config = module.attention.self.config
    return (
        any(adapters)
        and all(id(one) in known for one in module.parameters() if one.requires_grad)
        and all(
            factors or (type(one) is nn.Linear and one.bias is not None)
            for factors, one in zip(adapters, _linears(module), strict=True)
        )
        and not any(one.p for one in module.modules() if isinstance(one, nn.Dropout))
        and type(module.intermediate.intermediate_act_fn) is GELUActivation
        and config._attn_implementation == "eager"
        and not (config.is_decoder or config.add_cross_attention or module.chunk_size_feed_forward)
        and not module.gradient_checkpointing
        and not any(one._forward_hooks or one._forward_pre_hooks for one in module.modules())
    )

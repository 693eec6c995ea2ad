"""Forward and backward of one contrastive batch, in micro-batches that fit in memory, over one or more processes.

The loss needs the vectors of all texts at once, but not their graphs: if a batch has more tokens than the budget, its
vectors are computed without a graph, the loss gives their gradient, and each micro-batch is encoded again to
back-propagate its part (GradCache, Gao et al. 2021). The batch size is thus chosen for quality, the token budget for
memory. With several processes each encodes its share of the texts, all see all vectors, and the gradient is that of the
whole batch.

A cross-encoder is trained in the same way: its texts are pairs, and the vector of a pair is its score.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from accelerate import Accelerator
from sentence_transformers.base.losses.gradcache import RandContext
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from triptych.training.data.batch import Batch, Features, Rows
from triptych.training.distributed import (
    PADDING,
    backward,
    gather_in_order,
    holds_whole_model,
    own_share,
    without_gradient_sync,
)
from triptych.training.fast.fused_bert import fused
from triptych.training.fast.merged_lora import merged
from triptych.training.losses import ContrastiveLoss


class MicroBatch(NamedTuple):
    """Texts that are encoded at once, and their positions in the batch; `PADDING` for a text to leave out."""

    features: Features
    positions: Tensor  # int64, shape (texts,)


class GradCache:
    """Computes gradients of a loss over batches; ``token_budget`` counts padded tokens with a graph, per process.

    ``fused`` lets BERT and LoRA layers compute with `fused_bert` and `merged_lora` where they can. `texts_seen` and
    `tokens_seen` (padding included) count what this process was given to encode.
    """

    def __init__(self, loss: ContrastiveLoss, accelerator: Accelerator, token_budget: int, fused: bool = True) -> None:
        self.loss, self.token_budget = loss, token_budget
        self.vectors = torch.empty((0, 0))  # of the last batch
        self._accelerator, self._fused = accelerator, fused
        self.texts_seen = self.tokens_seen = 0

    def backward(self, model: nn.Module, batch: Batch, weight: float = 1.0) -> Tensor:
        """Add the gradient of ``weight`` times the loss to the model's weights; return the loss, detached."""
        micro_batches = self._micro_batches(batch["features"])
        total = sum(tokens(one.features) for one in micro_batches)
        self.texts_seen += sum(len(one.positions) for one in micro_batches)
        self.tokens_seen += total
        cached = len(micro_batches) > 1 and total > self.token_budget
        with self._fast_layers(model) as packs:
            if packs and not cached:
                micro_batches = [_joined(micro_batches)]
            return self._backward(model, micro_batches, cached, batch["rows"], weight)

    def _backward(
        self, model: nn.Module, micro_batches: list[MicroBatch], cached: bool, rows: Rows, weight: float
    ) -> Tensor:
        random_states, encoded = [], []
        for features, _ in micro_batches:
            random_states.append(RandContext(*features.values()) if cached else None)
            with torch.no_grad() if cached else nullcontext():
                encoded.append(encode(model, features))
        positions = torch.cat([one.positions for one in micro_batches])
        vectors = gather_in_order(torch.cat(encoded).detach(), positions, self._accelerator).requires_grad_()
        self.vectors = vectors.detach()
        loss = self.loss(vectors, rows)
        (gradient,) = torch.autograd.grad(loss, vectors)
        # The loss is that of all processes, but whatever wraps the model averages gradients over them. A row of zeros
        # is the gradient of padding texts, at position -1.
        gradient = torch.cat([gradient, torch.zeros_like(gradient[:1])]) * (weight * self._accelerator.num_processes)
        if not cached:
            backward(self._accelerator, (torch.cat(encoded) * gradient[positions]).sum())
            return loss.detach()
        for number, (micro_batch, random_state) in enumerate(zip(micro_batches, random_states, strict=True), start=1):
            with without_gradient_sync(self._accelerator, model, number < len(micro_batches)):
                with random_state or nullcontext():
                    again = encode(model, micro_batch.features)
                backward(self._accelerator, (again * gradient[micro_batch.positions]).sum())
        return loss.detach()

    def _micro_batches(self, groups: list[Features]) -> list[MicroBatch]:
        """Return this process' texts as micro-batches; every process has as many, of the same shapes."""
        world = self._accelerator.num_processes
        micro_batches, before = [], 0
        fits = sum(tokens(one) for one in groups) <= self.token_budget * world
        for group in groups:
            number, width = group["input_ids"].shape
            size = number if fits else max(1, self.token_budget // width * world)
            for start in range(0, number, size):
                rows = torch.arange(start, min(start + size, number), device=group["input_ids"].device)
                own, padding = own_share(rows, self._accelerator)
                taken = torch.cat([own, padding])
                positions = torch.cat([own + before, torch.full_like(padding, PADDING)])
                micro_batches.append(MicroBatch({name: one[taken] for name, one in group.items()}, positions))
            before += number
        return micro_batches

    @contextmanager
    def _fast_layers(self, model: nn.Module) -> Iterator[bool]:
        """Let the model compute with merged adapters and fused layers; yield whether it packs tokens itself."""
        if not self._fused or not holds_whole_model(self._accelerator):
            yield False
            return
        with merged(model), fused(model) as packs:
            yield packs


def encode(model: nn.Module | Callable[[Features], dict[str, Tensor]], features: Features) -> Tensor:
    """Return unit vectors (texts, d) of an embedder, or scores (pairs, 1) of a cross-encoder, float32."""
    output = model(features)
    if "scores" in output:
        return output["scores"].float()
    vectors = output["sentence_embedding"]
    with torch.autocast(vectors.device.type, enabled=False):
        return normalize(vectors.float(), dim=-1)


def _joined(micro_batches: list[MicroBatch]) -> MicroBatch:
    """Return all micro-batches as one, padded to the longest text."""
    width = max(one.features["input_ids"].shape[1] for one in micro_batches)
    features = {
        name: torch.cat([pad(one.features[name], (0, width - one.features[name].shape[1])) for one in micro_batches])
        for name in micro_batches[0].features
    }
    return MicroBatch(features, torch.cat([one.positions for one in micro_batches]))


def tokens(features: Features) -> int:
    """Return how many tokens some texts have, padding included."""
    return features["input_ids"].numel()

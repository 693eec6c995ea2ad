"""Forward and backward of one contrastive batch, in as many pieces as memory and processes ask for.

The loss needs the vectors of all texts at once, the model does not need their graphs at once: where a batch holds more
tokens than the budget, vectors are made without a graph, the loss gives their gradient, and each piece is encoded again
to carry it into the weights (GradCache, Gao et al. 2021). So the contrastive batch is a matter of quality, the budget
one of memory. With several processes each encodes its share of the texts, all see all vectors, and the gradient is that
of the whole batch.

A cross-encoder goes the same way: its texts are pairs, and the vector of a pair is its score.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from accelerate import Accelerator, DistributedType
from sentence_transformers.base.losses.gradcache import RandContext
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from triptych.training.data.collator import Batch
from triptych.training.fast.fused_bert import fused
from triptych.training.fast.merged_lora import merged
from triptych.training.losses import ContrastiveLoss

Features = dict[str, Tensor]
_WHOLE = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)  # each process holds all weights
Piece = tuple[Features, Tensor]  # texts, and where they stand among those of the batch; -1 for one that only fills up


class GradCache:
    """Computes gradients of a loss over batches; ``token_budget`` is of padded tokens with a graph, per process.

    `texts_seen` and `tokens_seen` (padding included) count what this process was given to encode.
    """

    def __init__(self, loss: ContrastiveLoss, accelerator: Accelerator, token_budget: int) -> None:
        self.loss, self.token_budget = loss, token_budget
        self.vectors = torch.empty((0, 0))  # of the last batch
        self._accelerator = accelerator
        self.texts_seen = self.tokens_seen = 0

    def backward(self, model: nn.Module, batch: Batch, weight: float = 1.0) -> Tensor:
        """Add the gradient of ``weight`` times the loss to the model's weights; return the loss, detached."""
        pieces = self._pieces(batch["features"])
        self.texts_seen += sum(len(places) for _, places in pieces)
        self.tokens_seen += sum(tokens(one) for one, _ in pieces)
        cached = len(pieces) > 1 and sum(tokens(one) for one, _ in pieces) > self.token_budget
        with self._merged(model) as packs:
            if packs and not cached:
                pieces = [_together(pieces)]
            return self._backward(model, pieces, cached, batch["rows"], weight)

    def _backward(
        self, model: nn.Module, pieces: list[Piece], cached: bool, rows: dict[str, Tensor], weight: float
    ) -> Tensor:
        randomness, made = [], []
        for features, _ in pieces:
            randomness.append(RandContext(*features.values()) if cached else None)
            with torch.no_grad() if cached else nullcontext():
                made.append(encode(model, features))
        stands = torch.cat([places for _, places in pieces])
        vectors = self._of_all(torch.cat(made).detach(), stands).requires_grad_()
        self.vectors = vectors.detach()
        loss = self.loss(vectors, rows)
        (gradient,) = torch.autograd.grad(loss, vectors)
        # Averaged over processes by whatever wraps the model, while the loss is of all of them.
        gradient = torch.cat([gradient, torch.zeros_like(gradient[:1])]) * (weight * self._accelerator.num_processes)
        if not cached:
            self._accelerator.backward((torch.cat(made) * gradient[stands]).sum())
            return loss.detach()
        for number, ((features, places), random) in enumerate(zip(pieces, randomness, strict=True)):
            with self._unsynced(model, number + 1 < len(pieces)):
                with random or nullcontext():
                    again = encode(model, features)
                self._accelerator.backward((again * gradient[places]).sum())
        return loss.detach()

    def _pieces(self, groups: list[Features]) -> list[Piece]:
        """Return this process' texts in pieces; every process has as many pieces, of the same shapes."""
        world, rank = self._accelerator.num_processes, self._accelerator.process_index
        pieces, before = [], 0
        whole = sum(tokens(one) for one in groups) <= self.token_budget * world
        for group in groups:
            number, width = group["input_ids"].shape
            most = number if whole else max(1, self.token_budget // width * world)
            for start in range(0, number, most):
                rows = torch.arange(start, min(start + most, number), device=group["input_ids"].device)
                share = -(-len(rows) // world)
                own = rows[rank * share : (rank + 1) * share]
                filled = torch.cat([own, rows[:1].expand(share - len(own))])
                stands = torch.cat([own + before, own.new_full((share - len(own),), -1)])
                pieces.append(({name: one[filled] for name, one in group.items()}, stands))
            before += number
        return pieces

    def _of_all(self, vectors: Tensor, stands: Tensor) -> Tensor:
        """Return the vectors of all processes, in the order of the batch's texts."""
        if self._accelerator.num_processes == 1:
            return vectors  # pieces are in that order
        vectors, stands = self._accelerator.gather(vectors), self._accelerator.gather(stands)
        ordered = vectors.new_empty((int(stands.max()) + 1, vectors.shape[1]))
        ordered[stands[stands >= 0]] = vectors[stands >= 0]
        return ordered

    @contextmanager
    def _merged(self, model: nn.Module) -> Iterator[bool]:
        """Let the model compute with merged adapters; tell whether it packs its tokens itself."""
        if self._accelerator.distributed_type not in _WHOLE:
            yield False
            return
        with merged(model), fused(model) as packs:
            yield packs

    def _unsynced(self, model: nn.Module, more: bool) -> AbstractContextManager[Any]:
        return self._accelerator.no_sync(model) if more and self._accelerator.num_processes > 1 else nullcontext()


def encode(model: nn.Module | Callable[[Features], dict[str, Tensor]], features: Features) -> Tensor:
    """Return unit vectors (texts, d) of an embedder, or scores (pairs, 1) of a cross-encoder, float32."""
    made = model(features)
    if "scores" in made:
        return made["scores"].float()
    vectors = made["sentence_embedding"]
    with torch.autocast(vectors.device.type, enabled=False):
        return normalize(vectors.float(), dim=-1)


def _together(pieces: list[Piece]) -> Piece:
    """Return all pieces as one, padded to the longest text."""
    width = max(one["input_ids"].shape[1] for one, _ in pieces)
    names = pieces[0][0].keys()
    padded = {name: [pad(one[name], (0, width - one[name].shape[1])) for one, _ in pieces] for name in names}
    return {name: torch.cat(every) for name, every in padded.items()}, torch.cat([places for _, places in pieces])


def tokens(features: Features) -> int:
    """Return how many tokens some texts have, padding included."""
    return features["input_ids"].numel()

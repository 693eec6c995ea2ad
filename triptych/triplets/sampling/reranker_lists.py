"""Training lists for a reranker: an anchor with its positive and several negatives of its pool, hard ones included."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from triptych.errors import NothingToTrainOnError
from triptych.ids import ChunkRows
from triptych.params.triplets import Triplets
from triptych.triplets.examples import Examples
from triptych.triplets.false_negatives import PositivesByAnchor, Relations
from triptych.triplets.negatives import TIERS
from triptych.triplets.sampling.epoch_sampler import anchors_for_run
from triptych.triplets.sampling.tier_sampler import RemainderCarry

_HARD = TIERS.index("hard")
_TRIES = 16  # random chunks considered for each that is needed


@dataclass(frozen=True, slots=True)
class RerankerLists:
    """Anchors in the order of training, each with chunks that do not answer it."""

    example: np.ndarray  # int64, shape (lists,): rows of the examples
    negatives: ChunkRows  # int64, shape (lists, negatives); no chunk twice in a list
    counts: dict[str, int]  # negatives of each tier, and random ones


def draw_lists(
    examples: Examples,
    relations: Relations,
    train: ChunkRows,
    params: Triplets,
    shape: tuple[int, int, int],
    seed: int,
) -> RerankerLists:
    """Sample ``shape`` = (lists, negatives of each, random ones among them) from the pools; a pure function.

    Anchors follow the shares of views and categories, negatives the tiers of the ``reranker`` profile; where a tier is
    empty, a harder one is used first. Negatives of a tier are sampled without replacement. Random negatives come from
    ``train`` and are unrelated to any positive of the anchor; they also fill lists whose pool is too small.
    Raise `NothingToTrainOnError` where no anchor has a hard negative, since a reranker must learn more than the
    retriever knows, or where the corpus has too few unrelated chunks.
    """
    number, size, random_size = shape
    hard_counts = np.bincount(examples.pool.anchors, examples.pool.tier == _HARD, minlength=len(examples))
    with_hard = np.flatnonzero(hard_counts > 0)
    if not len(with_hard):
        raise NothingToTrainOnError(
            f"train_reranker: none of {len(examples)} anchors has a hard negative, which a reranker needs; see what"
            " mine@reranker reports about its candidates"
        )
    rows = with_hard[anchors_for_run(examples.select(with_hard), params, number, seed)]
    random = np.random.default_rng(seed)
    pools, carry, counts = _PoolSampler(examples, random), RemainderCarry(), dict.fromkeys((*TIERS, "random"), 0)
    mix: Mapping[str, float] = params.profiles.reranker.model_dump()
    positives = PositivesByAnchor(examples.anchor, examples.positive_chunk)
    negatives = np.empty((number, size), np.int64)
    for index, row in enumerate(rows.tolist()):
        chosen = pools.take(row, carry.divide(mix, size - random_size), counts)
        missing = size - len(chosen)
        if missing:
            chosen += _random_negatives(examples, row, relations, positives, train, chosen, missing, random)
            counts["random"] += missing
        negatives[index] = chosen
    return RerankerLists(rows, ChunkRows(negatives), counts)


class _PoolSampler:
    """Samples the negatives of each anchor by tier, without replacement."""

    def __init__(self, examples: Examples, random: np.random.Generator) -> None:
        self._pool, self._random = examples.pool, random
        self._unused: dict[tuple[int, int], list[int]] = {}

    def take(self, example: int, parts: Mapping[str, int], counts: dict[str, int]) -> list[int]:
        """Return chunks of an anchor, ``parts[tier]`` of each tier; missing ones come from other tiers, harder first.

        Add the numbers taken to ``counts``.
        """
        chosen: list[int] = []
        size, harder_first = sum(parts.values()), TIERS[::-1]
        for tier, number in [*((tier, parts[tier]) for tier in harder_first), *((tier, size) for tier in harder_first)]:
            chunks = self._next(example, TIERS.index(tier), min(number, size - len(chosen)), chosen)
            counts[tier] += len(chunks)
            chosen += chunks
        return chosen

    def _next(self, example: int, tier: int, number: int, taken: list[int]) -> list[int]:
        own = slice(self._pool.offsets[example], self._pool.offsets[example + 1])
        candidates = np.unique(self._pool.chunk[own][self._pool.tier[own] == tier])
        unused, chosen = self._unused.setdefault((example, tier), []), list[int]()
        for refill in (False, True):
            if refill and len(chosen) < number:
                unused += self._random.permutation(candidates).tolist()
            for chunk in list(unused):
                if len(chosen) < number and chunk not in (*taken, *chosen):
                    chosen.append(chunk)
                    unused.remove(chunk)
        return chosen


def _random_negatives(
    examples: Examples,
    example: int,
    relations: Relations,
    positives: PositivesByAnchor,
    train: ChunkRows,
    taken: list[int],
    number: int,
    random: np.random.Generator,
) -> list[int]:
    anchor, positive = examples.anchor[example : example + 1], examples.positive_chunk[example : example + 1]
    candidates = np.unique(random.choice(train, min(len(train), number * _TRIES), replace=False))
    owners = np.zeros(len(candidates), np.int64)
    excluded = relations.related(positive, candidates) | np.isin(candidates, taken)
    excluded |= positives.false_negatives(relations, anchor, positive, owners, candidates)
    unrelated = candidates[~excluded]
    if len(unrelated) < number:
        raise NothingToTrainOnError(
            f"train_reranker.negatives: of {len(candidates)} random chunks only {len(unrelated)} are unrelated to an"
            f" anchor's positives, and {number} are needed; ask for fewer negatives"
        )
    return random.permutation(unrelated)[:number].tolist()

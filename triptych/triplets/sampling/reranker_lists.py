"""Lists for a reranker: an anchor with its positive and several negatives of its own, hard ones among them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from triptych.errors import UserError
from triptych.params.triplets import Triplets
from triptych.triplets.examples import Examples
from triptych.triplets.false_negatives import PositivesByAnchor, Relations
from triptych.triplets.negatives import TIERS
from triptych.triplets.sampling.epoch_sampler import anchors_for_run
from triptych.triplets.sampling.tier_sampler import RemainderCarry

_HARD = TIERS.index("hard")
_TRIES = 16  # random chunks looked at for each that is wanted


@dataclass(frozen=True, slots=True)
class Lists:
    """Anchors in the order of training, each with chunks that do not answer it."""

    example: np.ndarray  # int64, shape (lists,): rows of the examples
    negatives: np.ndarray  # int64, shape (lists, negatives): rows of the corpus, no chunk twice in a list
    drawn: dict[str, int]  # negatives of each tier, and random ones


def draw_lists(
    examples: Examples,
    relations: Relations,
    train: np.ndarray,
    params: Triplets,
    shape: tuple[int, int, int],
    seed: int,
) -> Lists:
    """Draw ``shape`` = (lists, negatives of each, random ones among them) from the pools; a function of its arguments.

    Anchors come by the shares of views and categories, negatives by the tiers of the ``reranker`` profile, where a tier
    has none from a harder one. A negative comes back when the others of its tier were used. Random ones are drawn from
    ``train``, rows of the corpus, and related to no answer of the anchor; they also fill what the pools leave open.
    Raise `UserError` where no anchor has a hard negative: without them a reranker learns what the retriever knows.
    """
    number, size, random_ones = shape
    hard = np.bincount(examples.pool.anchors, examples.pool.tier == _HARD, minlength=len(examples)) > 0
    able = np.flatnonzero(hard)
    if not len(able):
        raise UserError(
            f"train_reranker: none of {len(examples)} anchors has a hard negative, which a reranker must have; see what"
            " mine@reranker says of its candidates"
        )
    example = able[anchors_for_run(examples.chosen(able), params, number, seed)]
    random = np.random.default_rng(seed)
    pools, carry, drawn = _Pools(examples, random), RemainderCarry(), dict.fromkeys((*TIERS, "random"), 0)
    mix: Mapping[str, float] = params.profiles.reranker.model_dump()
    answers = PositivesByAnchor(examples.anchor, examples.positive_chunk)
    negatives = np.empty((number, size), np.int64)
    for row, one in enumerate(example.tolist()):
        chosen = pools.take(one, carry.divide(mix, size - random_ones), drawn)
        missing = size - len(chosen)
        if missing:
            chosen += _random(examples, one, relations, answers, train, chosen, missing, random)
            drawn["random"] += missing
        negatives[row] = chosen
    return Lists(example, negatives, drawn)


class _Pools:
    """Hands out the negatives of each anchor, tier by tier, in turns that end when all were used."""

    def __init__(self, examples: Examples, random: np.random.Generator) -> None:
        self._pool, self._random = examples.pool, random
        self._turns: dict[tuple[int, int], list[int]] = {}

    def take(self, example: int, parts: Mapping[str, int], drawn: dict[str, int]) -> list[int]:
        """Return chunks of an anchor, so many of each tier; what a tier lacks comes from another, harder ones first."""
        chosen: list[int] = []
        size, harder_first = sum(parts.values()), TIERS[::-1]
        for tier, number in [*((tier, parts[tier]) for tier in harder_first), *((tier, size) for tier in harder_first)]:
            found = self._next(example, TIERS.index(tier), min(number, size - len(chosen)), chosen)
            drawn[tier] += len(found)
            chosen += found
        return chosen

    def _next(self, example: int, tier: int, number: int, taken: list[int]) -> list[int]:
        here = slice(self._pool.offsets[example], self._pool.offsets[example + 1])
        own = np.unique(self._pool.chunk[here][self._pool.tier[here] == tier])
        turn, found = self._turns.setdefault((example, tier), []), list[int]()
        for begun in (True, False):
            if not begun and len(found) < number:
                turn += self._random.permutation(own).tolist()
            for one in list(turn):
                if len(found) < number and one not in (*taken, *found):
                    found.append(one)
                    turn.remove(one)
        return found


def _random(
    examples: Examples,
    example: int,
    relations: Relations,
    answers: PositivesByAnchor,
    train: np.ndarray,
    taken: list[int],
    number: int,
    random: np.random.Generator,
) -> list[int]:
    positive = examples.positive_chunk[example : example + 1]
    candidates = np.unique(random.choice(train, min(len(train), number * _TRIES), replace=False))
    owner = np.zeros(len(candidates), np.int64)
    bad = relations.related(positive, candidates) | np.isin(candidates, taken)
    bad |= answers.reach(relations, examples.anchor[example : example + 1], positive, owner, candidates)
    free = candidates[~bad]
    if len(free) < number:
        raise UserError(
            f"train_reranker.negatives: among {len(candidates)} random chunks no {number} are unrelated to an anchor's"
            " answer; ask for fewer negatives"
        )
    return random.permutation(free)[:number].tolist()

"""Hard negatives from a model's own neighbors: positive-aware, never related to the positive, train side only."""

from collections import Counter
from dataclasses import dataclass, replace
from random import Random

import numpy as np

from triptych.corpus.records import Chunk
from triptych.params import Mine
from triptych.triplets.examples import Example, Examples
from triptych.triplets.negatives import Negative, Pool
from triptych.triplets.relations import Relations


@dataclass(frozen=True, slots=True)
class Neighbors:
    """What a model finds for each example, over the train side."""

    chunks: np.ndarray  # int, shape (examples, depth): rows of chunks, best first
    scores: np.ndarray  # float32, shape (examples, depth): cosine similarity to the anchor
    positive: np.ndarray  # float32, shape (examples,): cosine similarity of anchor and positive
    pooled: np.ndarray  # float32, shape (negatives,): cosine similarity of anchor and each negative of its present pool


def remine(
    examples: Examples,
    neighbors: Neighbors,
    chunks: list[Chunk],
    relations: Relations,
    size: int,
    params: Mine,
) -> tuple[Examples, dict[str, object]]:
    """Replace the hard tier by mined negatives; return the examples and the figures of the round.

    A candidate is taken when it is not related to the positive and scores below ``relative_margin`` times the
    positive (Moreira et al. 2024, NV-Retriever, "TopK-PercPos"). The same cut clears the other tiers. Hard
    negatives of the round before fill what mining leaves short, so that the mix can hold.
    """
    _assert_train(neighbors.chunks, chunks)
    quota = params.prefer_other_category * size
    rejected: Counter[str] = Counter()
    pools, kept_hard, short = [], 0, 0
    for number, example in enumerate(examples):
        score = float(neighbors.positive[number])
        limit = score - (1 - params.relative_margin) * abs(score)  # below the positive, whatever its sign
        found = _found(number, example, neighbors, limit, chunks, relations, params, rejected)
        mined = _prefer(found, int((number + 1) * quota) - int(number * quota), size)
        here = slice(examples.pool.offsets[number], examples.pool.offsets[number + 1])
        scored = zip(example.negatives, neighbors.pooled[here].tolist(), strict=True)
        safe = [negative for negative, one in scored if one < limit]
        rejected["pool_above_relative_margin"] += len(example.negatives) - len(safe)
        hard, rest = _refill(mined, safe, size, Random(f"{params.seed}:{number}"))
        before = {negative.chunk for negative in example.negatives if negative.tier == "hard"}
        kept_hard += sum(negative.chunk in before for negative in hard)
        short += len(hard) < size
        pools.append(hard + rest)
    hard_negatives = sum(negative.tier == "hard" for pool in pools for negative in pool)
    return replace(examples, pool=Pool.of(pools)), {
        "rejected": dict(sorted(rejected.items())),
        "churn": 1 - kept_hard / max(hard_negatives, 1),
        "hard_negatives": hard_negatives,
        "examples_short": short,
        "score_ratio": _score_ratios(examples, neighbors),
    }


def _found(
    number: int,
    example: Example,
    neighbors: Neighbors,
    limit: float,
    chunks: list[Chunk],
    relations: Relations,
    params: Mine,
    rejected: Counter[str],
) -> list[Negative]:
    """Return an example's neighbors that may be negatives, best first; count the others by reason."""
    rows, scores = neighbors.chunks[number], neighbors.scores[number]
    related = relations.related(np.array([example.positive_chunk]), rows)
    found = []
    for rank, (chunk, score, is_related) in enumerate(
        zip(rows.tolist(), scores.tolist(), related.tolist(), strict=True)
    ):
        if is_related:
            rejected["related_to_positive"] += 1
        elif score >= limit:
            rejected["above_relative_margin"] += 1
        elif rank < params.skip_top:
            rejected["skipped_top"] += 1
        else:
            other = chunks[chunk].category != example.category
            found.append(Negative(chunk, "hard", "mined_cross_category" if other else "mined", round(score, 6)))
    return found


def _prefer(found: list[Negative], cross: int, size: int) -> list[Negative]:
    """Take the closest ``size``, of which ``cross`` from another category where there are so many."""
    outside = [negative for negative in found if negative.strategy == "mined_cross_category"][:cross]
    inside = [negative for negative in found if negative not in outside]
    return outside + inside[: size - len(outside)]


def _refill(
    mined: list[Negative], safe: list[Negative], size: int, random: Random
) -> tuple[list[Negative], list[Negative]]:
    """Return the hard tier, filled up from the pool of before, and what the other tiers keep."""
    taken = {negative.chunk for negative in mined}
    spare = [negative for negative in safe if negative.tier == "hard" and negative.chunk not in taken]
    rest = [negative for negative in safe if negative.tier != "hard" and negative.chunk not in taken]
    return mined + random.sample(spare, min(len(spare), size - len(mined))), rest


def _score_ratios(examples: Examples, neighbors: Neighbors) -> dict[str, float]:
    """Return percentiles of score(neighbor) / score(positive), by which ``relative_margin`` is chosen."""
    others = neighbors.chunks != examples.positive_chunk[:, None]
    ratios = (neighbors.scores / np.maximum(neighbors.positive, 1e-6)[:, None])[others]
    return {f"p{q}": float(np.percentile(ratios, q)) for q in (10, 50, 90, 99)} if len(ratios) else {}


def _assert_train(rows: np.ndarray, chunks: list[Chunk]) -> None:
    strangers = {chunks[row].split for row in np.unique(rows).tolist()} - {"train"}
    if strangers:
        raise AssertionError(f"mining met chunks of {', '.join(sorted(strangers))}; only train may be searched")

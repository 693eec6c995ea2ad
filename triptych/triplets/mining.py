"""Hard negatives from a model's own neighbors: positive-aware, never related to the positive, train side only."""

from collections import Counter
from dataclasses import dataclass, replace
from random import Random

import numpy as np

from triptych.corpus.records import Chunk
from triptych.params import Mine
from triptych.triplets.examples import Example
from triptych.triplets.relations import Relations
from triptych.triplets.tiers import Negative


@dataclass(frozen=True, slots=True)
class Neighbors:
    """What a model finds for each example, over the train side."""

    chunks: np.ndarray  # int, shape (examples, depth): rows of chunks, best first
    scores: np.ndarray  # float32, shape (examples, depth): cosine similarity to the anchor
    positive: np.ndarray  # float32, shape (examples,): cosine similarity of anchor and positive
    pooled: list[np.ndarray]  # float32: cosine similarity of the anchor to each negative of its present pool


def remine(
    examples: list[Example],
    neighbors: Neighbors,
    chunks: list[Chunk],
    relations: Relations,
    size: int,
    params: Mine,
) -> tuple[list[Example], dict[str, object]]:
    """Replace the hard tier by mined negatives; return the examples and the figures of the round.

    A candidate is taken when it is not related to the positive and scores below ``relative_margin`` times the
    positive (Moreira et al. 2024, NV-Retriever, "TopK-PercPos"). The same cut clears the other tiers. Hard
    negatives of the round before fill what mining leaves short, so that the mix can hold.
    """
    _assert_train(neighbors.chunks, chunks)
    rejected: Counter[str] = Counter()
    ratios: list[float] = []
    new, kept_hard, short = [], 0, 0
    cross_quota = params.prefer_other_category * size
    for number, example in enumerate(examples):
        random = Random(f"{params.seed}:{number}")
        score = float(neighbors.positive[number])
        limit = score - (1 - params.relative_margin) * abs(score)  # below the positive, whatever its sign
        found: list[Negative] = []
        related = relations.related(np.array([example.positive_chunk]), neighbors.chunks[number])
        for rank, (chunk, score, is_related) in enumerate(
            zip(
                neighbors.chunks[number].tolist(),
                neighbors.scores[number].tolist(),
                related.tolist(),
                strict=True,
            )
        ):
            if chunk != example.positive_chunk:
                ratios.append(score / max(float(neighbors.positive[number]), 1e-6))
            if is_related:
                rejected["related_to_positive"] += 1
            elif score >= limit:
                rejected["above_relative_margin"] += 1
            elif rank < params.skip_top:
                rejected["skipped_top"] += 1
            else:
                other = chunks[chunk].category != example.category
                found.append(Negative(chunk, "hard", "mined_cross_category" if other else "mined", round(score, 6)))
        cross = int((number + 1) * cross_quota) - int(number * cross_quota)
        mined = _prefer(found, cross, size)
        safe = [
            negative
            for negative, score in zip(example.negatives, neighbors.pooled[number].tolist(), strict=True)
            if score < limit
        ]
        rejected["pool_above_relative_margin"] += len(example.negatives) - len(safe)
        taken = {negative.chunk for negative in mined}
        rest = [negative for negative in safe if negative.tier != "hard" and negative.chunk not in taken]
        spare = [negative for negative in safe if negative.tier == "hard" and negative.chunk not in taken]
        filled = mined + random.sample(spare, min(len(spare), size - len(mined)))
        before = {negative.chunk for negative in example.negatives if negative.tier == "hard"}
        kept_hard += sum(negative.chunk in before for negative in filled)
        short += len(filled) < size
        new.append(replace(example, negatives=tuple(filled + rest)))
    hard = sum(negative.tier == "hard" for one in new for negative in one.negatives)
    return new, {
        "rejected": dict(sorted(rejected.items())),
        "churn": 1 - kept_hard / max(hard, 1),
        "hard_negatives": hard,
        "examples_short": short,
        "score_ratio": {f"p{q}": float(np.percentile(ratios, q)) for q in (10, 50, 90, 99)} if ratios else {},
    }


def _prefer(found: list[Negative], cross: int, size: int) -> list[Negative]:
    """Take the closest ``size``, of which ``cross`` from another category where there are so many."""
    outside = [negative for negative in found if negative.strategy == "mined_cross_category"][:cross]
    inside = [negative for negative in found if negative not in outside]
    return outside + inside[: size - len(outside)]


def _assert_train(rows: np.ndarray, chunks: list[Chunk]) -> None:
    strangers = {chunks[row].split for row in np.unique(rows).tolist()} - {"train"}
    if strangers:
        raise AssertionError(f"mining met chunks of {', '.join(sorted(strangers))}; only train may be searched")

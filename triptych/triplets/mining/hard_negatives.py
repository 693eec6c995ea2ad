"""Mine hard negatives from a model's nearest train chunks: positive-aware, and unrelated to the positive."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from triptych.corpus.records import Chunk
from triptych.errors import UserError
from triptych.ids import ChunkRows, Vectors
from triptych.params.sections import Mine
from triptych.progress import strides
from triptych.retrieval.dense import DenseIndex
from triptych.triplets.examples import Examples
from triptych.triplets.false_negatives import RULES, PositivesByAnchor, Relations, codes, score_limit
from triptych.triplets.heuristics.candidates import Words, rank_in_group
from triptych.triplets.mining.mining_metrics import REASONS, MiningMetrics
from triptych.triplets.negatives import COLUMNS, STRATEGIES, TIERS, Pool, fractional_quota

_BLOCK = 4096  # anchors searched and filtered together; affects memory, not results
_CANDIDATES_PER_NEGATIVE = 8  # candidates that reach the expensive filters, for each negative needed
_HARD, _MEDIUM = TIERS.index("hard"), TIERS.index("medium")
_MINED, _MINED_OUTSIDE = STRATEGIES.index("mined"), STRATEGIES.index("mined_cross_category")

# Scores pairs of an example row and a chunk row; float32 of shape (pairs,).
PairScorer = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class MiningVectors:
    """One model's vectors of anchors and train chunks."""

    anchors: Vectors  # shape (examples, dimensions)
    passages: Vectors  # shape (train chunks, dimensions)
    rows: ChunkRows  # int64, shape (train chunks,), ascending

    def scores(self, examples: np.ndarray, chunks: np.ndarray) -> np.ndarray:
        """Return the cosine similarity of pairs of example row and chunk row; float32 of shape (pairs,)."""
        return np.einsum("ij,ij->i", self.anchors[examples], self.passages[np.searchsorted(self.rows, chunks)])


@dataclass(frozen=True, slots=True)
class Neighbors:
    """The nearest train chunks of a block of examples, and the scores that they are compared to."""

    chunks: ChunkRows  # int, shape (examples, depth): best first
    scores: np.ndarray  # float32, shape (examples, depth): cosine similarity to the anchor; -inf for no result
    positive_scores: np.ndarray  # float32, shape (examples,): cosine similarity of anchor and positive
    pool_scores: np.ndarray  # float32, shape (negatives,): of anchor and each negative of its current pool


@dataclass(frozen=True, slots=True)
class CandidateFilter:
    """All reasons to reject a candidate."""

    relations: Relations
    positives: PositivesByAnchor
    params: Mine
    words: Words | None = None  # of all chunks, by row of the corpus; None: not compared
    guide: PairScorer | None = None  # a second model that must agree that a candidate is not a positive

    def reasons(self, examples: Examples, first: int, neighbors: Neighbors, needed: int) -> np.ndarray:
        """Return the first reason to reject each candidate as index in ``REASONS``, or -1; int8 like ``chunks``.

        ``examples`` are those of the block, ``first`` the row of the first among all. The expensive filters see only
        the nearest ``needed`` candidates; the others are not needed.
        """
        chunks, scores, params = neighbors.chunks, neighbors.scores, self.params
        anchors, positives = examples.anchor, examples.positive_chunk
        reason = self.relations.rule(positives[:, None], chunks)
        owners = np.repeat(np.arange(len(examples)), reason.shape[1])
        other_answer = self.positives.false_negatives(self.relations, anchors, positives, owners, chunks.ravel())
        close = scores >= score_limit(neighbors.positive_scores, params.relative_margin)[:, None]
        skipped = np.broadcast_to(np.arange(reason.shape[1]) < params.skip_top, reason.shape)
        for number, rejected in enumerate((other_answer.reshape(reason.shape), close, skipped), len(RULES)):
            reason[rejected & (reason < 0)] = number
        free = (reason < 0) & np.isfinite(scores)
        reason[free & (np.cumsum(free, axis=1) > needed)] = REASONS.index("not_needed")
        if self.words is not None:
            row, column = np.nonzero((reason < 0) & np.isfinite(scores))
            alike = self.words.jaccard(positives[row], chunks[row, column]) >= params.same_words
            reason[row[alike], column[alike]] = REASONS.index("same_words")
        if self.guide is not None:
            row, column = np.nonzero((reason < 0) & np.isfinite(scores))
            of_positives = self.guide(first + np.arange(len(examples)), positives)
            of_candidates = self.guide(first + row, chunks[row, column])
            agreed = of_candidates < score_limit(of_positives, params.guide_margin)[row]
            reason[row[~agreed], column[~agreed]] = REASONS.index("guide")
        return reason


def neighbors(examples: Examples, vectors: MiningVectors, params: Mine) -> Iterator[Neighbors]:
    """Search the train chunks for the anchors, block by block.

    Raise `UserError` where the model's vectors of all chunks are the same.
    """
    if len(vectors.passages) > 1 and np.ptp(vectors.passages, axis=0).max() < 1e-4:
        raise UserError(
            f"mine: the model gives all {len(vectors.passages)} train chunks the same vector, so it has collapsed;"
            " lower learning_rate or steps in rounds.train and train that round again"
        )
    index = DenseIndex(vectors.passages, params.exact_up_to)
    for start in strides(len(examples), _BLOCK, "mine", "anchors"):
        rows = np.arange(start, min(start + _BLOCK, len(examples)))
        hits, scores = index.search(vectors.anchors[rows], params.depth)
        of_block = slice(examples.pool.offsets[rows[0]], examples.pool.offsets[rows[-1] + 1])
        owners = np.repeat(rows, np.diff(examples.pool.offsets)[rows])
        yield Neighbors(
            chunks=ChunkRows(vectors.rows[hits]),
            scores=scores,
            positive_scores=vectors.scores(rows, examples.positive_chunk[rows]),
            pool_scores=vectors.scores(owners, examples.pool.chunk[of_block]),
        )


def mine_hard_negatives(
    examples: Examples, blocks: Iterable[Neighbors], chunks: list[Chunk], filter_: CandidateFilter, size: int
) -> tuple[Examples, dict[str, Any]]:
    """Replace the hard tier by mined negatives; return the examples and the metrics of the round.

    ``blocks`` are the neighbors of the examples in their order; ``size`` negatives of each tier are needed. Candidates
    without a reason to reject them are taken; negatives of the current pools above the score limit are dropped. Hard
    negatives of the round before fill what mining leaves open, and candidates too far to be hard fill the medium tier,
    so that the mix can hold.
    """
    params = filter_.params
    group = _groups(chunks, params.category_groups)
    train = np.array([chunk.split == "train" for chunk in chunks], bool)
    metrics = MiningMetrics(examples.categories, params.relative_margin)
    random = np.random.default_rng(params.seed).random(len(examples.pool.chunk), np.float32)
    pools, first = [Pool.of([])], 0
    for found in blocks:
        block = examples.select(np.arange(first, first + len(found.positive_scores)))
        _assert_train(found.chunks[np.isfinite(found.scores)], train, chunks)
        reasons = filter_.reasons(block, first, found, _CANDIDATES_PER_NEGATIVE * size)
        metrics.add_candidates(block, found.chunks, found.scores, found.positive_scores, reasons)
        free = (reasons < 0) & np.isfinite(found.scores)
        outside = group[found.chunks] != group[block.positive_chunk][:, None]
        quota = fractional_quota(first + np.arange(len(block)), params.prefer_other_category * size)
        mined = _mined_pool(free, outside, quota, found, size, params)
        start = examples.pool.offsets[first]
        random_order = random[start : start + len(block.pool.chunk)]
        pool, scores = _merged_pool(block.pool, mined, found, size, params.relative_margin, random_order)
        metrics.add_pools(block, pool, scores, found.positive_scores, found.pool_scores, size)
        pools.append(pool)
        first += len(block)
    return replace(examples, pool=Pool.join(pools)), metrics.of_round()


def _mined_pool(
    free: np.ndarray, outside: np.ndarray, quota: np.ndarray, found: Neighbors, size: int, params: Mine
) -> Pool:
    """Assign candidates to tiers by rank and score, the preferred ones of each anchor first.

    Near ones are hard: the first ``size``, of which ``quota`` from outside the anchor's group. All others are medium.
    """
    near = found.scores >= score_limit(found.positive_scores, params.hard_from)[:, None]
    near &= np.arange(free.shape[1]) < params.hard_ranks
    preferred = free & near & outside
    preferred &= np.cumsum(preferred, axis=1) <= quota[:, None]
    others = free & near & ~preferred
    others &= np.cumsum(others, axis=1) <= (size - preferred.sum(axis=1))[:, None]
    row, column = np.nonzero(preferred | others | (free & ~near))
    order = np.lexsort((column, ~preferred[row, column], row))
    row, column = row[order], column[order]
    return Pool(
        np.cumsum([0, *np.bincount(row, minlength=len(free))], dtype=np.int64),
        ChunkRows(found.chunks[row, column].astype(np.int32)),
        np.where(near[row, column], _HARD, _MEDIUM).astype(np.int8),
        np.where(outside[row, column], _MINED_OUTSIDE, _MINED).astype(np.int8),
        np.round(found.scores[row, column], 6),
        *np.zeros((2, len(row)), np.float32),
    )


def _merged_pool(
    old: Pool, mined: Pool, found: Neighbors, size: int, margin: float, random_order: np.ndarray
) -> tuple[Pool, np.ndarray]:
    """Return the new pools of a block, and the model's score of each of their negatives.

    ``random_order`` holds a random number for each negative of the old pool; the old hard ones that stay are the
    lowest.
    """
    pools, old_size = (old, mined), len(old.chunk)
    columns = {name: np.concatenate([getattr(pool, name) for pool in pools]) for name in COLUMNS}
    anchor = np.concatenate([pool.anchors for pool in pools])
    tier, keys = columns["tier"], anchor * (int(columns["chunk"].max(initial=0)) + 1) + columns["chunk"]
    rows = np.arange(len(anchor))
    hard, medium = (rows[old_size:][mined.tier == tier_index] for tier_index in (_HARD, _MEDIUM))

    safe = np.flatnonzero(found.pool_scores < score_limit(found.positive_scores, margin)[old.anchors])
    safe = safe[~np.isin(keys[safe], keys[hard])]
    old_hard, old_others = safe[tier[safe] == _HARD], safe[tier[safe] != _HARD]
    old_hard = old_hard[np.lexsort((random_order[old_hard], anchor[old_hard]))]

    def fill(candidates: np.ndarray, taken: np.ndarray) -> np.ndarray:
        """Return the first candidates of each anchor, as many as ``taken`` leaves open."""
        missing = size - np.bincount(anchor[taken], minlength=len(old))
        return candidates[rank_in_group(anchor[candidates]) < missing[anchor[candidates]]]

    refill = fill(old_hard, hard)
    medium = medium[~np.isin(keys[medium], keys[np.concatenate([refill, old_others])])]
    medium = fill(medium, old_others[tier[old_others] == _MEDIUM])

    chosen = np.concatenate([hard, refill, old_others, medium])
    chosen = chosen[np.argsort(anchor[chosen], kind="stable")]
    offsets = np.cumsum([0, *np.bincount(anchor[chosen], minlength=len(old))], dtype=np.int64)
    scores = np.concatenate([found.pool_scores, mined.score])[chosen]
    return Pool(offsets, **{name: column[chosen] for name, column in columns.items()}), scores


def _groups(chunks: list[Chunk], groups: list[list[str]]) -> np.ndarray:
    """Return the number of each chunk's group of categories; a category in no group is a group of its own."""
    known = {chunk.category for chunk in chunks}
    group = {name: name for name in known}
    for names in groups:
        for name in names:
            if name not in known:
                raise UserError(f"mine.category_groups: unknown category {name!r}; expected {', '.join(sorted(known))}")
            group[name] = names[0]
    return codes(group[chunk.category] for chunk in chunks)


def _assert_train(rows: np.ndarray, train: np.ndarray, chunks: list[Chunk]) -> None:
    if not train[rows].all():
        splits = {chunks[row].split for row in np.unique(rows[~train[rows]]).tolist()}
        raise AssertionError(f"mining found chunks of split {', '.join(sorted(splits))}; only train may be searched")

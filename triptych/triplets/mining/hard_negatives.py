"""Mine hard negatives from a model's nearest train chunks: positive-aware, and unrelated to the positive."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from triptych.corpus.records import Chunk
from triptych.engine.in_order import in_order
from triptych.errors import UserError
from triptych.ids import ChunkRows, Vectors
from triptych.params.sections import Mine
from triptych.progress import strides
from triptych.retrieval.best_windows import WindowVectors
from triptych.retrieval.dense import DenseIndex
from triptych.retrieval.windows import ChunkSearch
from triptych.triplets.examples import Examples
from triptych.triplets.false_negatives import codes
from triptych.triplets.heuristics.candidates import rank_in_group
from triptych.triplets.mining.candidate_filter import CandidateFilter, Neighbors
from triptych.triplets.mining.mining_metrics import MiningMetrics
from triptych.triplets.negatives import COLUMNS, STRATEGIES, TIERS, Pool, fractional_quota, score_limit

_BLOCK = 4096  # anchors searched and filtered together; affects memory, not results
_CANDIDATES_PER_NEGATIVE = 8  # candidates that reach the expensive filters, for each negative needed
_HARD, _MEDIUM = TIERS.index("hard"), TIERS.index("medium")
_MINED, _MINED_OUTSIDE = STRATEGIES.index("mined"), STRATEGIES.index("mined_cross_category")


@dataclass(frozen=True, slots=True)
class MiningVectors:
    """One model's vectors of anchors and train chunks, of which long ones have several windows."""

    anchors: Vectors  # shape (examples, dimensions)
    passages: Vectors  # shape (windows, dimensions)
    rows: ChunkRows  # int64, shape (train chunks,), ascending
    starts: np.ndarray | None = None  # int64, shape (train chunks + 1,), as in `WindowVectors`; None: a window each

    @property
    def windows(self) -> WindowVectors:
        """The vectors of the passages, grouped by chunk."""
        return (
            WindowVectors.one_each(self.passages) if self.starts is None else WindowVectors(self.passages, self.starts)
        )

    def scores(self, examples: np.ndarray, chunks: np.ndarray) -> np.ndarray:
        """Return the cosine similarity of pairs of example row and chunk row, by the chunk's best window.

        The result is float32 of shape (pairs,).
        """
        return self.best_windows(examples, chunks)[1]

    def best_windows(self, examples: np.ndarray, chunks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the best window of the chunk of each such pair, as row of ``passages``, and its cosine similarity."""
        return self.windows.best(self.anchors, examples, np.searchsorted(self.rows, chunks))


def neighbors(examples: Examples, vectors: MiningVectors, params: Mine) -> Iterator[Neighbors]:
    """Search the train chunks for the anchors by their windows, block by block.

    Raise `UserError` where the model's vectors of all chunks are the same.
    """
    windows = vectors.windows
    if len(vectors.passages) > 1 and np.ptp(vectors.passages, axis=0).max() < 1e-4:
        raise UserError(
            f"mine: the model gives all {len(windows)} train chunks the same vector, so it has collapsed;"
            " lower learning_rate or steps in rounds.train and train that round again"
        )
    index = DenseIndex(vectors.passages, params.exact_up_to)
    search = ChunkSearch(lambda asked, number, _: index.search(asked, number), windows.passage_of_window).search
    starts = strides(len(examples), _BLOCK, "mine", "anchors")
    pieces = (vectors.anchors[start : start + _BLOCK] for start in starts)
    start = 0
    for hits, scores in in_order(lambda asked: search(asked, params.depth), pieces):
        rows = np.arange(start, start + len(hits))
        start += len(hits)
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
    for nearest in blocks:
        block = examples.select(np.arange(first, first + len(nearest.positive_scores)))
        _assert_train(nearest.chunks[np.isfinite(nearest.scores)], train, chunks)
        reasons = filter_.reasons(block, first, nearest, _CANDIDATES_PER_NEGATIVE * size)
        metrics.add_candidates(block, nearest.chunks, nearest.scores, nearest.positive_scores, reasons)
        free = (reasons < 0) & np.isfinite(nearest.scores)
        outside = group[nearest.chunks] != group[block.positive_chunk][:, None]
        quota = fractional_quota(first + np.arange(len(block)), params.prefer_other_category * size)
        mined = _mined_pool(free, outside, quota, nearest, size, params)
        start = examples.pool.offsets[first]
        random_order = random[start : start + len(block.pool.chunk)]
        pool, scores = _merged_pool(block.pool, mined, nearest, size, params.relative_margin, random_order)
        metrics.add_pools(block, pool, scores, nearest.positive_scores, nearest.pool_scores, size)
        pools.append(pool)
        first += len(block)
    return replace(examples, pool=Pool.join(pools)), metrics.of_round()


def _mined_pool(
    free: np.ndarray, outside: np.ndarray, quota: np.ndarray, nearest: Neighbors, size: int, params: Mine
) -> Pool:
    """Assign candidates to tiers by rank and score, the preferred ones of each anchor first.

    Near ones are hard: the first ``size``, of which ``quota`` from outside the anchor's group. All others are medium.
    """
    near = nearest.scores >= score_limit(nearest.positive_scores, params.hard_from)[:, None]
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
        ChunkRows(nearest.chunks[row, column].astype(np.int32)),
        np.where(near[row, column], _HARD, _MEDIUM).astype(np.int8),
        np.where(outside[row, column], _MINED_OUTSIDE, _MINED).astype(np.int8),
        np.round(nearest.scores[row, column], 6),
        *np.zeros((2, len(row)), np.float32),
    )


def _merged_pool(
    old: Pool, mined: Pool, nearest: Neighbors, size: int, margin: float, random_order: np.ndarray
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

    safe = np.flatnonzero(nearest.pool_scores < score_limit(nearest.positive_scores, margin)[old.anchors])
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
    scores = np.concatenate([nearest.pool_scores, mined.score])[chosen]
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

"""Hard negatives from a model's own neighbors: positive-aware, never related to the positive, train side only."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from triptych.corpus.records import Chunk
from triptych.errors import UserError
from triptych.params.sections import Mine
from triptych.progress import strides
from triptych.retrieval.dense import DenseIndex
from triptych.triplets.examples import Examples
from triptych.triplets.false_negatives import RULES, PositivesByAnchor, Relations, codes
from triptych.triplets.heuristics.candidates import Words, rank_in_group
from triptych.triplets.mining.mining_metrics import REASONS, MiningMetrics
from triptych.triplets.negatives import COLUMNS, STRATEGIES, TIERS, Pool

_BLOCK = 4096  # anchors searched and filtered together; memory, not results, depends on it
_SPARE = 8  # candidates kept for each negative that is wanted
_HARD, _MEDIUM = TIERS.index("hard"), TIERS.index("medium")
_MINED, _MINED_OUTSIDE = STRATEGIES.index("mined"), STRATEGIES.index("mined_cross_category")

# Scores of pairs, float32 of shape (pairs,), from rows of the examples and rows of the corpus: a model's opinion.
Scores = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Vectors:
    """What one model makes of anchors and train chunks: unit vectors, float32."""

    anchors: np.ndarray  # shape (examples, dimensions)
    passages: np.ndarray  # shape (train chunks, dimensions)
    rows: np.ndarray  # int64, shape (train chunks,): rows of the corpus, ascending

    def scores(self, examples: np.ndarray, chunks: np.ndarray) -> np.ndarray:
        """Return the cosine similarity of pairs of example and chunk row; float32 of shape (pairs,)."""
        return np.einsum("ij,ij->i", self.anchors[examples], self.passages[np.searchsorted(self.rows, chunks)])


@dataclass(frozen=True, slots=True)
class Neighbors:
    """What a model finds for a block of examples over the train side."""

    chunks: np.ndarray  # int, shape (examples, depth): rows of chunks, best first
    scores: np.ndarray  # float32, shape (examples, depth): cosine similarity to the anchor; -inf: nothing found
    positive: np.ndarray  # float32, shape (examples,): cosine similarity of anchor and positive
    pooled: np.ndarray  # float32, shape (negatives,): cosine similarity of anchor and each negative of its present pool


@dataclass(frozen=True, slots=True)
class CandidateFilter:
    """All that speaks against a candidate."""

    relations: Relations
    answers: PositivesByAnchor
    params: Mine
    words: Words | None = None  # of all chunks, by row of the corpus; None: not compared
    guide: Scores | None = None  # another model that must agree that a candidate is no positive

    def reasons(self, examples: Examples, first: int, found: Neighbors, wanted: int) -> np.ndarray:
        """Return the first reason against each candidate as its place in ``REASONS``, or -1; int8 like ``chunks``.

        ``examples`` are those of the block, ``first`` the row of the first among all. What takes longer than a look is
        asked of the nearest ``wanted`` candidates alone; those behind them are not needed.
        """
        reason = self.relations.rule(examples.positive_chunk[:, None], found.chunks)
        owners = np.repeat(np.arange(len(examples)), reason.shape[1])
        anchor, positive = examples.anchor, examples.positive_chunk
        answered = self.answers.reach(self.relations, anchor, positive, owners, found.chunks.ravel())
        close = found.scores >= below(found.positive, self.params.relative_margin)[:, None]
        skipped = np.broadcast_to(np.arange(reason.shape[1]) < self.params.skip_top, reason.shape)
        for number, speaks in enumerate((answered.reshape(reason.shape), close, skipped), len(RULES)):
            reason[speaks & (reason < 0)] = number
        free = (reason < 0) & np.isfinite(found.scores)
        reason[free & (np.cumsum(free, axis=1) > wanted)] = REASONS.index("not_needed")
        if self.words is not None:
            row, column = np.nonzero((reason < 0) & np.isfinite(found.scores))
            alike = self.words.likeness(positive[row], found.chunks[row, column]) >= self.params.same_words
            reason[row[alike], column[alike]] = REASONS.index("same_words")
        if self.guide is not None:
            row, column = np.nonzero((reason < 0) & np.isfinite(found.scores))
            own = self.guide(first + np.arange(len(examples)), positive)
            agreed = self.guide(first + row, found.chunks[row, column]) < below(own, self.params.guide_margin)[row]
            reason[row[~agreed], column[~agreed]] = REASONS.index("guide")
        return reason


def below(positive: np.ndarray, margin: float) -> np.ndarray:
    """Return the score a negative must stay under: below the positive's, whatever its sign.

    ``margin`` times a positive score (Moreira et al. 2024, NV-Retriever, "TopK-PercPos").
    """
    return positive - (1 - margin) * np.abs(positive)


def neighbors(examples: Examples, vectors: Vectors, params: Mine) -> Iterator[Neighbors]:
    """Search the train chunks for the anchors, block after block.

    Raise `UserError` where the model tells no chunk from another.
    """
    if len(vectors.passages) > 1 and np.ptp(vectors.passages, axis=0).max() < 1e-4:
        raise UserError(
            f"mine: the model gives all {len(vectors.passages)} train chunks the same vector, so it has collapsed;"
            " lower learning_rate or steps in rounds.train and train that round anew"
        )
    index = DenseIndex(vectors.passages, params.exact_up_to)
    for start in strides(len(examples), _BLOCK, "mine", "anchors"):
        rows = np.arange(start, min(start + _BLOCK, len(examples)))
        hits, scores = index.search(vectors.anchors[rows], params.depth)
        here = slice(examples.pool.offsets[rows[0]], examples.pool.offsets[rows[-1] + 1])
        owner = np.repeat(rows, np.diff(examples.pool.offsets)[rows])
        yield Neighbors(
            chunks=vectors.rows[hits],
            scores=scores,
            positive=vectors.scores(rows, examples.positive_chunk[rows]),
            pooled=vectors.scores(owner, examples.pool.chunk[here]),
        )


def mine_hard_negatives(
    examples: Examples, blocks: Iterable[Neighbors], chunks: list[Chunk], filter_: CandidateFilter, size: int
) -> tuple[Examples, dict[str, Any]]:
    """Replace the hard tier by mined negatives; return the examples and the figures of the round.

    ``blocks`` are the neighbors of the examples in their order; ``size`` is wanted of each tier. A candidate is
    taken when nothing speaks against it; the cut by score clears the present pools too. Hard negatives of the round
    before fill what mining leaves short, and candidates too far to be hard fill the medium tier, so that the mix can
    hold.
    """
    params = filter_.params
    group = _groups(chunks, examples, params.category_groups)
    train = np.array([chunk.split == "train" for chunk in chunks], bool)
    figures = MiningMetrics(examples.categories, params.relative_margin)
    random = np.random.default_rng(params.seed).random(len(examples.pool.chunk), np.float32)
    pools, first = [Pool.of([])], 0
    for found in blocks:
        block = examples.chosen(np.arange(first, first + len(found.positive)))
        _assert_train(found.chunks[np.isfinite(found.scores)], train, chunks)
        reasons = filter_.reasons(block, first, found, _SPARE * size)
        figures.candidates(block, found.chunks, found.scores, found.positive, reasons)
        free = (reasons < 0) & np.isfinite(found.scores)
        outside = group[found.chunks] != group[block.positive_chunk][:, None]
        quota = _shared_out(first + np.arange(len(block)), params.prefer_other_category * size)
        mined = _banded(free, outside, quota, found, size, params)
        start = examples.pool.offsets[first]
        lots = random[start : start + len(block.pool.chunk)]
        pool, scores = _assembled(block.pool, mined, found, size, params.relative_margin, lots)
        figures.pools(block, pool, scores, found.positive, found.pooled, size)
        pools.append(pool)
        first += len(block)
    return replace(examples, pool=Pool.join(pools)), figures.of_round()


def _banded(
    free: np.ndarray, outside: np.ndarray, quota: np.ndarray, found: Neighbors, size: int, params: Mine
) -> Pool:
    """Divide candidates by rank and score, the preferred ones of each anchor first.

    Near ones are hard: the first ``size``, of which ``quota`` from outside the anchor's group. All others are medium.
    """
    near = found.scores >= below(found.positive, params.hard_from)[:, None]
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
        found.chunks[row, column].astype(np.int32),
        np.where(near[row, column], _HARD, _MEDIUM).astype(np.int8),
        np.where(outside[row, column], _MINED_OUTSIDE, _MINED).astype(np.int8),
        np.round(found.scores[row, column], 6),
        *np.zeros((2, len(row)), np.float32),
    )


def _assembled(
    old: Pool, mined: Pool, found: Neighbors, size: int, margin: float, lots: np.ndarray
) -> tuple[Pool, np.ndarray]:
    """Return the new pools of a block, and the model's score of each of their negatives.

    ``lots`` holds a random number for each negative of the old pool, by which the old hard ones that stay are drawn.
    """
    pools, turn = (old, mined), len(old.chunk)
    columns = {name: np.concatenate([getattr(one, name) for one in pools]) for name in COLUMNS}
    anchor = np.concatenate([one.anchors for one in pools])
    tier, keys = columns["tier"], anchor * (int(columns["chunk"].max(initial=0)) + 1) + columns["chunk"]
    places = np.arange(len(anchor))
    hard, far = (places[turn:][mined.tier == one] for one in (_HARD, _MEDIUM))

    safe = np.flatnonzero(found.pooled < below(found.positive, margin)[old.anchors])
    safe = safe[~np.isin(keys[safe], keys[hard])]
    spare, rest = safe[tier[safe] == _HARD], safe[tier[safe] != _HARD]
    spare = spare[np.lexsort((lots[spare], anchor[spare]))]

    def first(candidates: np.ndarray, taken: np.ndarray) -> np.ndarray:
        """Return as many candidates of each anchor as are missing beside those taken."""
        missing = size - np.bincount(anchor[taken], minlength=len(old))
        return candidates[rank_in_group(anchor[candidates]) < missing[anchor[candidates]]]

    refill = first(spare, hard)
    far = far[~np.isin(keys[far], keys[np.concatenate([refill, rest])])]
    far = first(far, rest[tier[rest] == _MEDIUM])

    chosen = np.concatenate([hard, refill, rest, far])
    chosen = chosen[np.argsort(anchor[chosen], kind="stable")]
    offsets = np.cumsum([0, *np.bincount(anchor[chosen], minlength=len(old))], dtype=np.int64)
    scores = np.concatenate([found.pooled, mined.score])[chosen]
    return Pool(offsets, **{name: column[chosen] for name, column in columns.items()}), scores


def _shared_out(numbers: np.ndarray, quota: float) -> np.ndarray:
    """Return how many of ``quota``, a fraction, each anchor gets, so that it holds over all of them."""
    return (np.floor((numbers + 1) * quota + 1e-9) - np.floor(numbers * quota + 1e-9)).astype(np.int64)


def _groups(chunks: list[Chunk], examples: Examples, groups: list[list[str]]) -> np.ndarray:
    """Return a number for the group of categories of each chunk; a category that is not named is a group of its own."""
    known = {chunk.category for chunk in chunks}
    group = {name: name for name in known}
    for names in groups:
        for name in names:
            if name not in known:
                raise UserError(f"mine.category_groups: no category {name!r}; there are {', '.join(sorted(known))}")
            group[name] = names[0]
    return codes(group[chunk.category] for chunk in chunks)


def _assert_train(rows: np.ndarray, train: np.ndarray, chunks: list[Chunk]) -> None:
    if not train[rows].all():
        strangers = {chunks[row].split for row in np.unique(rows[~train[rows]]).tolist()}
        raise AssertionError(f"mining met chunks of {', '.join(sorted(strangers))}; only train may be searched")

"""Reject mined candidates that may be right answers: related to a positive, too close to it, or by a guide."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from triptych.ids import ChunkRows, TextIds
from triptych.params.sections import Mine
from triptych.triplets.examples import Examples
from triptych.triplets.false_negatives import RULES, PositivesByAnchor, Relations
from triptych.triplets.heuristics.candidates import Words
from triptych.triplets.mining.mining_metrics import REASONS
from triptych.triplets.negatives import score_limit

# Scores pairs of an example row and a chunk row; float32 of shape (pairs,).
PairScorer = Callable[[np.ndarray, np.ndarray], np.ndarray]
# The window that an example (row) finds of a chunk (row), as text id, for pairs of them.
WindowsFound = Callable[[np.ndarray, np.ndarray], TextIds]
# The Jaccard similarity of the tokens of two chunks (rows), in the windows of each that an example (row) finds.
Overlap = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


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
    windows: Overlap | None = None  # None: each chunk has one window, which ``words`` compares

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
            if self.windows is not None:
                alike |= self.windows(first + row, positives[row], chunks[row, column]) >= params.same_words
            reason[row[alike], column[alike]] = REASONS.index("same_words")
        if self.guide is not None:
            row, column = np.nonzero((reason < 0) & np.isfinite(scores))
            of_positives = self.guide(first + np.arange(len(examples)), positives)
            of_candidates = self.guide(first + row, chunks[row, column])
            agreed = of_candidates < score_limit(of_positives, params.guide_margin)[row]
            reason[row[~agreed], column[~agreed]] = REASONS.index("guide")
        return reason

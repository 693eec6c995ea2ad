"""The hybrid: a dense and a lexical ranking made one, in the way that is best on dev queries."""

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from triptych.corpus.records import Qrels, Run, best, ranked

Method = Literal["zscore", "rrf"]
_RRF_K = 60  # of reciprocal ranks, as Cormack et al. fix it


@dataclass(frozen=True, slots=True)
class Fusion:
    """A way to fuse: the dense ranking weighs ``dense_weight``, the lexical one the rest; 1 leaves the lexical out."""

    method: Method
    dense_weight: float

    def __str__(self) -> str:
        return f"{self.method} with dense weight {self.dense_weight:g}"

    def fuse(self, dense: Run, lexical: Run, depth: int) -> Run:
        """Fuse two runs and keep the best ``depth`` hits of each query.

        Either way hits come best first, equal scores by chunk id ascending; a query that one run lacks gets nothing
        from it, and the order of the dicts changes no bit. Raise ValueError on a weight outside [0, 1] or a depth
        below 1.
        """
        if not 0.0 <= self.dense_weight <= 1.0 or depth < 1:
            raise ValueError(f"expected a weight in [0, 1] and a depth >= 1, got {self.dense_weight} and {depth}")
        scores = _zscores if self.method == "zscore" else _reciprocal_ranks
        return {
            query_id: best(scores(dense.get(query_id, {}), lexical.get(query_id, {}), self.dense_weight), depth)
            for query_id in sorted(dense.keys() | lexical.keys())
        }


def choose_fusion(
    dense: Run, lexical: Run, candidates: Iterable[Fusion], qrels: Qrels, measure: Callable[[Qrels, Run], float]
) -> tuple[Fusion, dict[Fusion, float]]:
    """Return the candidate whose hybrid is best by ``measure`` on ``qrels``, and the mean of each.

    ``measure`` takes qrels and a run, as ``partial(mean_metric, "mrr@10")`` does. The qrels must be dev's, or the
    choice leaks into what is reported. Of equal means the larger dense weight wins, then the candidate named first.
    Raise ValueError without a candidate.
    """
    # Uncut, so that no measure depends on a depth given here.
    means = {one: measure(qrels, one.fuse(dense, lexical, sys.maxsize)) for one in candidates}
    if not means:
        raise ValueError("there must be at least one fusion to choose from")
    return max(means, key=lambda one: (means[one], one.dense_weight)), means


def _zscores(dense: Mapping[str, float], lexical: Mapping[str, float], dense_weight: float) -> dict[str, float]:
    """Add standardized scores: mean 0, population deviation 1 over the list retrieved, all 0 where all are equal.

    A chunk that one list lacks gets that list's lowest standardized score. Source: zero-mean unit-variance
    normalization, Montague & Aslam 2001, "Relevance score normalization for metasearch", CIKM, with CombSUM weighted.
    """
    near, words = _standardized(dense), _standardized(lexical)
    no_near, no_words = min(near.values(), default=0.0), min(words.values(), default=0.0)
    return {
        chunk_id: dense_weight * near.get(chunk_id, no_near) + (1.0 - dense_weight) * words.get(chunk_id, no_words)
        for chunk_id in near.keys() | words.keys()
    }


def _reciprocal_ranks(
    dense: Mapping[str, float], lexical: Mapping[str, float], dense_weight: float
) -> dict[str, float]:
    """Add 1 / (60 + rank), weighted; ranks count from 1, a list that lacks a chunk gives it nothing.

    Source: Cormack, Clarke & Büttcher 2009, "Reciprocal rank fusion outperforms Condorcet and individual rank learning
    methods", SIGIR; theirs is the one with equal weights.
    """
    near, words = (_ranks(scores) for scores in (dense, lexical))
    return {
        chunk_id: dense_weight / (_RRF_K + near.get(chunk_id, math.inf))
        + (1.0 - dense_weight) / (_RRF_K + words.get(chunk_id, math.inf))
        for chunk_id in near.keys() | words.keys()
    }


def _ranks(scores: Mapping[str, float]) -> dict[str, int]:
    return {chunk_id: rank for rank, chunk_id in enumerate(ranked(scores), start=1)}


def _standardized(scores: Mapping[str, float]) -> dict[str, float]:
    # Compared before the deviation is taken: rounding makes that of equal scores tiny, not zero.
    if not scores or min(scores.values()) == max(scores.values()):
        return dict.fromkeys(scores, 0.0)
    # Exact sums do not depend on the order of the dict.
    mean = math.fsum(scores.values()) / len(scores)
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores.values()) / len(scores))
    return {chunk_id: (score - mean) / deviation for chunk_id, score in scores.items()}

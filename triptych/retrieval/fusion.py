"""Hybrid search: fusion of a dense and a lexical run, with the method and weight that are best on dev queries."""

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from triptych.corpus.records import Qrels, Run, best, ranked

Method = Literal["zscore", "rrf"]
_RRF_K = 60  # constant of reciprocal rank fusion, from Cormack et al.


@dataclass(frozen=True, slots=True)
class Fusion:
    """A fusion method and the weight of the dense scores; the lexical ones weigh ``1 - dense_weight``."""

    method: Method
    dense_weight: float

    def __str__(self) -> str:
        return f"{self.method} with dense weight {self.dense_weight:g}"

    def fuse(self, dense: Run, lexical: Run, depth: int) -> Run:
        """Fuse two runs and keep the best ``depth`` hits of each query.

        Hits are sorted best first, equal scores by chunk id ascending. A run that lacks a query adds nothing to it. The
        result does not depend on the order of the dicts. Raise ValueError on a weight outside [0, 1] or a depth below
        1.

        >>> Fusion("rrf", 0.5).fuse({"q": {"a": 0.9, "b": 0.8}}, {"q": {"b": 7.0, "c": 2.0}}, 2)["q"].keys()
        dict_keys(['b', 'a'])
        """
        if not 0.0 <= self.dense_weight <= 1.0 or depth < 1:
            raise ValueError(f"expected a weight in [0, 1] and a depth >= 1, got {self.dense_weight} and {depth}")
        scores = _zscores if self.method == "zscore" else _reciprocal_ranks
        return {
            query_id: best(scores(dense.get(query_id, {}), lexical.get(query_id, {}), self.dense_weight), depth)
            for query_id in sorted(dense.keys() | lexical.keys())
        }


# The best over several sets of queries (docs/experiments.md), of passages alone and with written questions.
PRIOR = Fusion("zscore", 0.6)
PRIOR_WITH_QUESTIONS = Fusion("zscore", 0.7)


def choose_fusion(
    dense: Run, lexical: Run, candidates: Iterable[Fusion], qrels: Qrels, metric: Callable[[Qrels, Run], float]
) -> tuple[Fusion, dict[Fusion, float]]:
    """Return the candidate whose fused run is best by ``metric`` on ``qrels``, and the mean metric of each.

    ``metric`` takes qrels and a run, as ``partial(mean_metric, "mrr@10")`` does. The qrels must be those of dev, or the
    choice leaks into the reported metrics. Of equal means the larger dense weight wins, then the first candidate.
    Raise ValueError without a candidate.
    """
    # Not truncated, so that no metric depends on a depth given here.
    means = {fusion: metric(qrels, fusion.fuse(dense, lexical, sys.maxsize)) for fusion in candidates}
    if not means:
        raise ValueError("expected at least one candidate")
    return max(means, key=lambda fusion: (means[fusion], fusion.dense_weight)), means


def _zscores(dense: Mapping[str, float], lexical: Mapping[str, float], dense_weight: float) -> dict[str, float]:
    """Add standardized scores: mean 0 and population standard deviation 1 over the hits, all 0 if all are equal.

    A chunk that one run lacks gets the lowest standardized score of that run. Source: zero-mean unit-variance
    normalization, Montague & Aslam 2001, "Relevance score normalization for metasearch", CIKM, with CombSUM weighted.
    """
    dense, lexical = _standardized(dense), _standardized(lexical)
    low_dense, low_lexical = min(dense.values(), default=0.0), min(lexical.values(), default=0.0)
    return {
        chunk_id: dense_weight * dense.get(chunk_id, low_dense)
        + (1.0 - dense_weight) * lexical.get(chunk_id, low_lexical)
        for chunk_id in dense.keys() | lexical.keys()
    }


def _reciprocal_ranks(
    dense: Mapping[str, float], lexical: Mapping[str, float], dense_weight: float
) -> dict[str, float]:
    """Add 1 / (60 + rank), weighted; ranks start at 1, and a run that lacks a chunk adds nothing to it.

    Source: Cormack, Clarke & Büttcher 2009, "Reciprocal rank fusion outperforms Condorcet and individual rank learning
    methods", SIGIR, where both weights are equal.
    """
    dense_ranks, lexical_ranks = (_ranks(scores) for scores in (dense, lexical))
    return {
        chunk_id: dense_weight / (_RRF_K + dense_ranks.get(chunk_id, math.inf))
        + (1.0 - dense_weight) / (_RRF_K + lexical_ranks.get(chunk_id, math.inf))
        for chunk_id in dense_ranks.keys() | lexical_ranks.keys()
    }


def _ranks(scores: Mapping[str, float]) -> dict[str, int]:
    return {chunk_id: rank for rank, chunk_id in enumerate(ranked(scores), start=1)}


def _standardized(scores: Mapping[str, float]) -> dict[str, float]:
    # Compare first: rounding makes the standard deviation of equal scores tiny instead of zero.
    if not scores or min(scores.values()) == max(scores.values()):
        return dict.fromkeys(scores, 0.0)
    # fsum is exact, so the order of the dict does not matter.
    mean = math.fsum(scores.values()) / len(scores)
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores.values()) / len(scores))
    return {chunk_id: (score - mean) / deviation for chunk_id, score in scores.items()}

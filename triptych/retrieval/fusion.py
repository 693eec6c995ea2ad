"""The hybrid: dense and lexical scores on one scale, and their weights chosen on dev queries."""

import math
import sys
from collections.abc import Callable, Mapping, Sequence

from triptych.corpus.records import Qrels, Run


def zscore_fusion(dense: Run, lexical: Run, dense_weight: float, depth: int) -> Run:
    """Add the standardized scores of two runs, weighted, and keep the best ``depth`` of each query.

    The dense run weighs ``dense_weight``, the lexical one the rest. Scores are standardized per query and
    run over the list retrieved: mean 0, population deviation 1, or all 0 where every score is equal. A
    chunk that one list lacks gets that list's lowest standardized score; a query that one run lacks gets
    nothing from it. Hits come best first, equal scores by chunk id ascending; the order of the dicts
    changes no bit. Raise ValueError on a weight outside [0, 1] or a depth below 1.

    Source: zero-mean unit-variance normalization, Montague & Aslam 2001, "Relevance score normalization for
    metasearch", CIKM, with CombSUM weighted.
    """
    if not 0.0 <= dense_weight <= 1.0 or depth < 1:
        raise ValueError(f"expected a weight in [0, 1] and a depth >= 1, got {dense_weight} and {depth}")
    return {
        query_id: _fused(dense.get(query_id, {}), lexical.get(query_id, {}), dense_weight, depth)
        for query_id in sorted(dense.keys() | lexical.keys())
    }


def choose_weight(
    dense: Run, lexical: Run, weights: Sequence[float], qrels: Qrels, measure: Callable[[Qrels, Run], float]
) -> tuple[float, dict[float, float]]:
    """Return the dense weight whose hybrid is best by ``measure`` on ``qrels``, and the mean of every weight.

    ``measure`` takes qrels and a run, as ``partial(mean_measure, "mrr@10")`` does: evaluation is a later
    step, which this one must not import. The qrels must be dev's, or the choice leaks into what is
    reported. Of equal means the larger dense weight wins. Raise ValueError without a weight.
    """
    if not weights:
        raise ValueError("there must be at least one dense weight to choose from")
    # Uncut, so that no measure depends on a depth given here.
    means = {weight: measure(qrels, zscore_fusion(dense, lexical, weight, depth=sys.maxsize)) for weight in weights}
    return max(means, key=lambda weight: (means[weight], weight)), means


def _fused(
    dense: Mapping[str, float], lexical: Mapping[str, float], dense_weight: float, depth: int
) -> dict[str, float]:
    near, words = _standardized(dense), _standardized(lexical)
    no_near, no_words = min(near.values(), default=0.0), min(words.values(), default=0.0)
    scores = {
        chunk_id: dense_weight * near.get(chunk_id, no_near) + (1.0 - dense_weight) * words.get(chunk_id, no_words)
        for chunk_id in near.keys() | words.keys()
    }
    best = sorted(scores, key=lambda chunk_id: (-scores[chunk_id], chunk_id))[:depth]
    return {chunk_id: scores[chunk_id] for chunk_id in best}


def _standardized(scores: Mapping[str, float]) -> dict[str, float]:
    # Compared before the deviation is taken: rounding makes that of equal scores tiny, not zero.
    if not scores or min(scores.values()) == max(scores.values()):
        return dict.fromkeys(scores, 0.0)
    # Exact sums do not depend on the order of the dict.
    mean = math.fsum(scores.values()) / len(scores)
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores.values()) / len(scores))
    return {chunk_id: (score - mean) / deviation for chunk_id, score in scores.items()}

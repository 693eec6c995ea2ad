"""Retrieval metrics per query, and metrics of triplets.

trec_eval, behind ``ir_measures``, computes them; hits are ranked here before. trec_eval itself reads scores in single
precision and breaks ties by the larger id, its fallback for ``RR@10`` by the smaller id, so that two metrics of one run
would rank it differently.
"""

import math
from collections.abc import Iterable, Mapping

import ir_measures
import numpy as np
from ir_measures import RR, R, Success, nDCG

from triptych.corpus.records import Qrels, Run, ranked

PerQuery = dict[str, dict[str, float]]  # metric -> query id -> value

_PROVIDED = {
    "recall@1": R @ 1,
    "recall@5": R @ 5,
    "recall@10": R @ 10,
    "recall@50": R @ 50,
    "mrr@10": RR,  # on runs cut at ten: trec_eval has no cutoff for it
    "ndcg@10": nDCG @ 10,
    "success@1": Success @ 1,
}
_MRR_CUTOFF = 10

METRICS = tuple(_PROVIDED)


def per_query(qrels: Qrels, run: Run) -> PerQuery:
    """Compute all `METRICS` for every judged query: metric -> query id -> value in [0, 1].

    A chunk is relevant from grade 1. A judged query that the run lacks scores 0, as does one without a
    relevant chunk; a query without judgments is left out. Hits are ranked by score, equal scores by chunk
    id ascending, whatever the order of the dicts. nDCG takes the grade as gain and log2(rank + 1) as
    discount (Järvelin & Kekäläinen 2002, as in trec_eval). Raise ValueError on a score that is not finite.
    """
    hits_of = {query_id: ranked_finite(query_id, run.get(query_id, {})) for query_id in sorted(qrels)}
    full = {query_id: _descending(hits) for query_id, hits in hits_of.items()}
    cut = {query_id: _descending(hits[:_MRR_CUTOFF]) for query_id, hits in hits_of.items()}
    others = [measure for name, measure in _PROVIDED.items() if name != "mrr@10"]
    values = {(RR, one.query_id): one.value for one in ir_measures.pytrec_eval.iter_calc([RR], qrels, cut)}
    for one in ir_measures.pytrec_eval.iter_calc(others, qrels, full):
        values[one.measure, one.query_id] = one.value
    return {
        name: {query_id: float(values[measure, query_id]) for query_id in hits_of}
        for name, measure in _PROVIDED.items()
    }


def mean(values: Mapping[str, float], query_ids: Iterable[str]) -> float:
    """Average one metric over some queries.

    The sum is exact (`math.fsum`), so the result does not depend on the order of the queries. Raise
    ValueError without a query and KeyError on a query without judgments.
    """
    selected = [values[query_id] for query_id in query_ids]
    if not selected:
        raise ValueError("a mean needs at least one query")
    return math.fsum(selected) / len(selected)


def mean_metric(measure: str, qrels: Qrels, run: Run) -> float:
    """Average one of `METRICS` over all judged queries."""
    return mean(per_query(qrels, run)[measure], qrels)


def triplet_metrics(positive: np.ndarray, negative: np.ndarray) -> dict[str, float]:
    """Summarize cosine similarities of anchors to their positives and negatives.

    Both are float arrays of shape (triplets,). An anchor that is equally similar to both counts
    as wrong, as in sentence-transformers' ``TripletEvaluator``. Raise ValueError on arrays that are empty,
    not finite or not of one shape.
    """
    if positive.ndim != 1 or positive.shape != negative.shape or not positive.size:
        raise ValueError(f"expected two equal shapes (triplets,), got {positive.shape} and {negative.shape}")
    # Float64, because a mean of a million half-precision similarities drifts.
    near, far = positive.astype(np.float64), negative.astype(np.float64)
    if not (np.isfinite(near).all() and np.isfinite(far).all()):
        raise ValueError("similarities must be finite")
    return {
        "triplet_accuracy": float(np.mean(near > far)),
        "mean_positive_similarity": float(near.mean()),
        "mean_negative_similarity": float(far.mean()),
        "margin": float(np.mean(near - far)),
    }


def ranked_finite(query_id: str, hits: Mapping[str, float]) -> list[str]:
    """Return the chunks of a query's hits as `ranked` does; raise ValueError on a score that is not finite."""
    for chunk_id, score in hits.items():
        if not math.isfinite(score):
            raise ValueError(f"query {query_id!r}: the score of chunk {chunk_id!r} is {score}, not finite")
    return ranked(hits)


def _descending(ranked: list[str]) -> dict[str, float]:
    # Small whole numbers are exact in single precision and never tie.
    return {chunk_id: float(len(ranked) - rank) for rank, chunk_id in enumerate(ranked)}

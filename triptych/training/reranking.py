"""Reranking with a trained cross-encoder, as far as dev trusts it."""

from collections.abc import Callable, Sequence

import numpy as np
from sentence_transformers import CrossEncoder

from triptych.corpus.records import Qrels, Run, best
from triptych.retrieval.reranking import Reranking, choose_reranking
from triptych.tokens.pairs import PairStore
from triptych.training.judging import Judging
from triptych.training.reranker import pair_scores


def rerank(
    model: CrossEncoder,
    store: PairStore,
    judging: Judging,
    first: Run,
    dev: Qrels,
    candidates: Sequence[Reranking],
    measure: Callable[[Qrels, Run], float],
) -> tuple[Run, Reranking]:
    """Return the runs of a first stage with their best hits in the order of the candidate that is best on ``dev``.

    Queries of other splits are scored as deep as that one asks, and not at all where it leaves the order as it is.
    """
    on_dev = {query: first[query] for query in dev}
    scores = _scores(model, store, judging, on_dev, max(one.depth for one in candidates), "rerank: dev")
    chosen, _ = choose_reranking(on_dev, scores, candidates, dev, measure)
    if not chosen.weight:
        return first, chosen
    others = {query: hits for query, hits in first.items() if query not in dev}
    return chosen.rerank(first, scores | _scores(model, store, judging, others, chosen.depth, "rerank: test")), chosen


def _scores(model: CrossEncoder, store: PairStore, judging: Judging, run: Run, depth: int, label: str) -> Run:
    """Score the best hits of each query."""
    query_text = dict(zip((query.query_id for query in judging.queries), judging.query_texts.tolist(), strict=True))
    passage = dict(zip((chunk.chunk_id for chunk in judging.chunks), judging.passages.tolist(), strict=True))
    names = [(query, chunk) for query, hits in run.items() for chunk in best(hits, depth)]
    pairs = np.array([(query_text[query], passage[chunk]) for query, chunk in names], np.int64).reshape(-1, 2)
    found: Run = {query: {} for query in run}
    for (query, chunk), score in zip(
        names, pair_scores(model, store, pairs, judging.precision, label).tolist(), strict=True
    ):
        found[query][chunk] = score
    return found

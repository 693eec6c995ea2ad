"""Scores of a run's best hits by a cross-encoder."""

import numpy as np
from sentence_transformers import CrossEncoder

from triptych.corpus.records import Run, best
from triptych.encoding.encode_windows import Closest
from triptych.evaluators.rerank_runs import Scorer
from triptych.evaluators.retrieval_evaluator import RetrievalEvaluator
from triptych.reranker.cross_encoder import pair_scores
from triptych.tokens.pair_store import PairStore


def cross_encoder_scorer(
    model: CrossEncoder, store: PairStore, evaluator: RetrievalEvaluator, closest: Closest | None = None
) -> Scorer:
    """Return a scorer of pairs of query and passage, of which it reads the window that is ``closest`` to the query."""

    def score(run: Run, depth: int, split: str) -> Run:
        ids = [(query, chunk) for query, hits in run.items() for chunk in best(hits, depth)]
        text_of_query, text_of_chunk = evaluator.text_of_query(), evaluator.text_of_chunk()
        pairs = np.array([(text_of_query[query], text_of_chunk[chunk]) for query, chunk in ids], np.int64)
        pairs = pairs.reshape(-1, 2)
        if closest is not None:
            pairs[:, 1] = closest(pairs[:, 0], pairs[:, 1])
        values = pair_scores(model, store, pairs, evaluator.precision, f"rerank: {split}")
        scores: Run = {query: {} for query in run}
        for (query, chunk), value in zip(ids, values.tolist(), strict=True):
            scores[query][chunk] = value
        return scores

    return score

"""What a stored index loses against an exact search in float32."""

from collections.abc import Sequence

import numpy as np

from triptych.corpus.records import Qrels, Query
from triptych.evaluation.metrics import mean_metric
from triptych.retrieval.dense import search
from triptych.retrieval.rankings import deepest, to_run
from triptych.retrieval.vector_index import StoredIndex

_BEST = 10


def fidelity(
    stored: StoredIndex,
    passages: np.ndarray,
    questions: np.ndarray,
    queries: Sequence[Query],
    chunk_ids: Sequence[str],
    qrels: Qrels,
    depth: int,
) -> dict[str, dict[str, float]]:
    """Return mrr@10 of both on the queries, and which share of the exact search's ten best the index has in its own.

    ``passages`` and ``questions`` are the float32 vectors of chunks and queries; ``depth`` hits are asked for, as a
    search does.
    """
    deep = deepest(queries, max(depth, _BEST))
    exact, ours = search(questions, passages, deep), stored.search(questions, deep)
    pairs = zip(exact[0][:, :_BEST], ours[0][:, :_BEST], strict=True)
    shared = float(np.mean([len(np.intersect1d(*pair)) / len(pair[0]) for pair in pairs]))
    mrr = [mean_metric("mrr@10", qrels, to_run(queries, chunk_ids, *found, _BEST)) for found in (exact, ours)]
    return {"float32": {"mrr@10": mrr[0]}, "index": {"mrr@10": mrr[1], "recall@10": shared}}

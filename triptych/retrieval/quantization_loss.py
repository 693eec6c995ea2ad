"""The loss of a stored index against an exact search in float32."""

from collections.abc import Sequence

import numpy as np

from triptych.corpus.records import Qrels, Query
from triptych.evaluation.metrics import mean_metric
from triptych.ids import Vectors
from triptych.retrieval.dense import DenseIndex
from triptych.retrieval.quantization import truncated
from triptych.retrieval.rankings import search_depth, to_run
from triptych.retrieval.vector_index import VectorIndex
from triptych.retrieval.windows import ChunkSearch, IndexedQuestions

_BEST = 10


def quantization_loss(
    index: VectorIndex,
    vectors: Vectors | np.ndarray,
    chunk_of_window: np.ndarray,
    chunk_of_question: np.ndarray,
    query_vectors: Vectors | np.ndarray,
    queries: Sequence[Query],
    chunk_ids: Sequence[str],
    qrels: Qrels,
    depth: int,
    dimensions: int | None = None,
) -> dict[str, dict[str, float]]:
    """Return mrr@10 of both searches on the queries, and the recall@10 of the index against the exact search.

    ``vectors`` are those that the index was built from: of windows, then of questions. Both search to ``depth``, as the
    index does in use. The index has the first ``dimensions`` of them, or all.
    """
    search_to = search_depth(queries, max(depth, _BEST))
    flat = DenseIndex(vectors, len(vectors))
    exact, stored = (
        ChunkSearch(search, chunk_of_window, IndexedQuestions(chunk_of_question, read)).search(asked, search_to)
        for search, read, asked in (
            (lambda asked, number, _: flat.search(asked, number), flat.vectors, query_vectors),
            (index.search, index.vectors, truncated(query_vectors, dimensions)),
        )
    )
    pairs = zip(exact[0][:, :_BEST], stored[0][:, :_BEST], strict=True)
    recall = float(np.mean([len(np.intersect1d(*pair)) / len(pair[0]) for pair in pairs]))
    mrr = [mean_metric("mrr@10", qrels, to_run(queries, chunk_ids, *hits, _BEST)) for hits in (exact, stored)]
    return {"float32": {"mrr@10": mrr[0]}, "index": {"mrr@10": mrr[1], "recall@10": recall}}

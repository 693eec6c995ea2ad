"""From hits to runs: query id → chunk id → score, without the chunks a query excludes."""

from collections.abc import Sequence

import numpy as np

from triptych.corpus.records import Query, Run
from triptych.retrieval.lexical import LexicalIndex


def to_run(queries: Sequence[Query], chunk_ids: Sequence[str], rows: np.ndarray, scores: np.ndarray, depth: int) -> Run:
    """Keep the best ``depth`` hits of each query after leaving out what it excludes.

    ``rows`` and ``scores`` are of shape (queries, hits) as the indexes return them. Ask an index for
    `deepest` hits, so that exclusion never leaves a query short.
    """
    run: Run = {}
    for query, hits, values in zip(queries, rows.tolist(), scores.tolist(), strict=True):
        excluded = set(query.exclude)
        kept = [
            (chunk_ids[row], score) for row, score in zip(hits, values, strict=True) if chunk_ids[row] not in excluded
        ]
        run[query.query_id] = dict(kept[:depth])
    return run


def deepest(queries: Sequence[Query], depth: int) -> int:
    """Return how many hits to ask for so that each query keeps ``depth`` after exclusion."""
    return depth + max((len(query.exclude) for query in queries), default=0)


def lexical_run(index: LexicalIndex, queries: Sequence[Query], depth: int) -> Run:
    """Rank the chunks of an index by BM25 for each query; chunks without a term of the query are no hits."""
    rows, scores = index.search([query.text for query in queries], deepest(queries, depth))
    run = to_run(queries, index.chunk_ids, rows, scores, depth)
    return matching(run)


def matching(run: Run) -> Run:
    """Leave out of a lexical ranking the chunks that share no term with the query."""
    return {query: {chunk: score for chunk, score in hits.items() if score > 0} for query, hits in run.items()}

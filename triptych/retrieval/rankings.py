"""Convert search results to runs (query id → chunk id → score) without the chunks that a query excludes."""

from collections.abc import Sequence

import numpy as np

from triptych.corpus.records import Query, Run
from triptych.retrieval.lexical import LexicalIndex


def to_run(queries: Sequence[Query], chunk_ids: Sequence[str], rows: np.ndarray, scores: np.ndarray, depth: int) -> Run:
    """Keep the best ``depth`` hits of each query that it does not exclude.

    ``rows`` and ``scores`` have shape (queries, hits), as the indexes return them. Search for `search_depth` hits, so
    that ``depth`` remain.
    """
    run: Run = {}
    for query, hits, values in zip(queries, rows.tolist(), scores.tolist(), strict=True):
        excluded = set(query.exclude)
        kept = [
            (chunk_ids[row], score) for row, score in zip(hits, values, strict=True) if chunk_ids[row] not in excluded
        ]
        run[query.query_id] = dict(kept[:depth])
    return run


def search_depth(queries: Sequence[Query], depth: int) -> int:
    """Return the number of hits to search for so that each query keeps ``depth`` after exclusion."""
    return depth + max((len(query.exclude) for query in queries), default=0)


def lexical_run(index: LexicalIndex, queries: Sequence[Query], depth: int) -> Run:
    """Return the run of an index for some queries by BM25; chunks that share no term with a query are left out."""
    rows, scores = index.search([query.text for query in queries], search_depth(queries, depth))
    run = to_run(queries, index.chunk_ids, rows, scores, depth)
    return drop_unmatched(run)


def drop_unmatched(run: Run) -> Run:
    """Remove the chunks that share no term with the query from a lexical run.

    >>> drop_unmatched({"q": {"a": 1.5, "b": 0.0}})
    {'q': {'a': 1.5}}
    """
    return {query: {chunk: score for chunk, score in hits.items() if score > 0} for query, hits in run.items()}

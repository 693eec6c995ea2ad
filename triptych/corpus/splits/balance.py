"""Splits with the shares that were asked: several orders of the documents are tried."""

import numpy as np

from triptych.corpus.chunk_table import CorpusColumns
from triptych.corpus.queries.labeled_query import LabeledQuery
from triptych.corpus.splits.by_document import assign_splits
from triptych.corpus.splits.held_out import answers_alone
from triptych.corpus.splits.shares import MAX_DIFFERENCE, chunk_shares
from triptych.params.sections import Split

_ORDERS = 20  # orders of the documents that are tried where the shares are not as asked


def assigned(
    columns: CorpusColumns,
    clusters: np.ndarray,
    document_ids: np.ndarray,
    queries: list[LabeledQuery],
    params: Split,
    kept: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return document and split of each chunk. Queries with a split fix the documents of their answers.

    If the shares suffer, only the answers themselves are fixed, as documents of their own. ``kept`` as in
    `assign_splits`.
    """
    codes = balanced(columns, document_ids, queries, params, kept)
    given = [one for one in queries if one.split is not None]
    if given and _distance(codes, params) > MAX_DIFFERENCE:
        alone = answers_alone(given, columns, clusters, document_ids)
        of_answers = balanced(columns, alone, queries, params, kept)
        if _distance(of_answers, params) < _distance(codes, params):
            return alone, of_answers
    return document_ids, codes


def balanced(
    columns: CorpusColumns,
    document_ids: np.ndarray,
    queries: list[LabeledQuery],
    params: Split,
    kept: np.ndarray | None = None,
) -> np.ndarray:
    """Return the splits of the first order of the documents that gives the shares, or else of the best order."""
    best: np.ndarray | None = None
    for attempt in range(_ORDERS):
        seed = params.seed + attempt * 1_000_003
        codes = assign_splits(columns, document_ids, queries, params.fractions, seed, kept)
        if best is None or _distance(codes, params) < _distance(best, params):
            best = codes
        if _distance(best, params) <= MAX_DIFFERENCE:
            break
    assert best is not None
    return best


def _distance(codes: np.ndarray, params: Split) -> float:
    """Return the largest difference of a share to the fraction that was asked."""
    return max(abs(share - getattr(params.fractions, split)) for split, share in chunk_shares(codes).items())

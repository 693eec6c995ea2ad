"""Chunks and queries of each split and category, and a check that there are enough to evaluate every category."""

import numpy as np

from triptych.corpus.chunk_table import CorpusColumns
from triptych.corpus.queries.labeled_query import LabeledQuery
from triptych.corpus.records import SPLITS
from triptych.errors import UserError
from triptych.params.sections import Split

Counts = dict[str, dict[str, dict[str, int]]]  # split -> category -> chunks, queries -> number


def count_by_category(
    columns: CorpusColumns, split_codes: np.ndarray, queries: dict[str, list[LabeledQuery]]
) -> Counts:
    """Count the chunks and queries of each split and category."""
    shape = (len(SPLITS), len(columns.categories))
    chunk_counts, query_counts = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    np.add.at(chunk_counts, (split_codes, columns.category), 1)
    column = {name: index for index, name in enumerate(columns.categories)}
    for code, split in enumerate(SPLITS):
        np.add.at(query_counts[code], [column[one.query.category] for one in queries[split]], 1)
    return {
        split: {
            category: {"chunks": int(chunk_counts[code, index]), "queries": int(query_counts[code, index])}
            for category, index in column.items()
        }
        for code, split in enumerate(SPLITS)
    }


def check_query_counts(counts: Counts, params: Split, document_ids: np.ndarray, clusters: np.ndarray) -> list[str]:
    """Return a warning for each category with few dev or test queries; raise `UserError` where there are too few."""
    problems, warnings = [], []
    for category in counts["train"]:
        if counts["train"][category]["chunks"] == 0:
            number = sum(counts[split][category]["chunks"] for split in SPLITS)
            problems.append(f"category {category!r} has {number} chunks, none of which could go to train")
        for split in ("dev", "test"):
            queries = counts[split][category]["queries"]
            few = f"category {category!r} has {queries} {split} queries, fewer than"
            if queries < params.min_queries:
                problems.append(f"{few} {params.min_queries}")
            elif queries < params.warn_queries:
                warnings.append(f"{few} {params.warn_queries}: only large differences will show")
    if problems:
        document, cluster = (float(np.bincount(ids).max() / len(ids)) for ids in (document_ids, clusters))
        cause = _cause(document, cluster, params)
        raise UserError(
            "\n  ".join([f"not enough queries to evaluate every category{cause}", *problems])
            + "\n  add questions (split.queries), join categories (ingest.sources), or lower split.min_queries"
        )
    return warnings


def _cause(document: float, cluster: float, params: Split) -> str:
    """Explain why the split failed if one document or cluster is too large, given the share of chunks of each."""
    if document <= 0.2:
        return ""
    cause = f"; the largest document contains {document:.0%} of the chunks"
    if cluster > 0.2:
        near = f"{cluster:.0%} are near-duplicates of each other"
        return f"{cause}, {near}: raise split.near_duplicates.threshold, or use other texts"
    if params.group_titles:
        return f"{cause}: set split.group_titles: false"
    return f"{cause}: give each page its own filename"

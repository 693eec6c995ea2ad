"""Whether every category can be judged: chunks to learn from, and enough dev and test queries."""

import numpy as np

from triptych.corpus.chunk_table import Columns
from triptych.corpus.queries.written_queries import JudgedQuery
from triptych.corpus.records import SPLITS
from triptych.errors import UserError
from triptych.params.sections import Split

Counts = dict[str, dict[str, dict[str, int]]]  # split -> category -> chunks, queries -> number


def count(columns: Columns, sides: np.ndarray, placed: dict[str, list[JudgedQuery]]) -> Counts:
    """Count the chunks and queries of each split and category."""
    shape = (len(SPLITS), len(columns.categories))
    chunks, queries = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    np.add.at(chunks, (sides, columns.category), 1)
    place = {name: index for index, name in enumerate(columns.categories)}
    for side, split in enumerate(SPLITS):
        np.add.at(queries[side], [place[item.query.category] for item in placed[split]], 1)
    return {
        split: {
            category: {"chunks": int(chunks[side, index]), "queries": int(queries[side, index])}
            for category, index in place.items()
        }
        for side, split in enumerate(SPLITS)
    }


def thin_categories(counts: Counts, params: Split, document_ids: np.ndarray, clusters: np.ndarray) -> list[str]:
    """Return a warning for each category with few dev or test queries; refuse one that could not be judged."""
    problems, warnings = [], []
    for category in counts["train"]:
        if counts["train"][category]["chunks"] == 0:
            number = sum(counts[split][category]["chunks"] for split in SPLITS)
            problems.append(f"category {category!r} has {number} chunks, none of which could go to train")
        for split in ("dev", "test"):
            queries = counts[split][category]["queries"]
            said = f"category {category!r} has {queries} {split} queries, fewer than"
            if queries < params.min_queries:
                problems.append(f"{said} {params.min_queries}")
            elif queries < params.warn_queries:
                warnings.append(f"{said} {params.warn_queries}: only large differences will show")
    if problems:
        document, cluster = (float(np.bincount(one).max() / len(one)) for one in (document_ids, clusters))
        held = _held(document, cluster, params)
        raise UserError(
            "\n  ".join([f"not enough queries to judge every category{held}", *problems])
            + "\n  add questions (split.queries), join categories (ingest.sources), or lower split.min_queries"
        )
    return warnings


def _held(document: float, cluster: float, params: Split) -> str:
    """Name what binds so many chunks that they cannot be dealt: the largest document's and cluster's share of all."""
    if document <= 0.2:
        return ""
    held = f"; the largest document holds {document:.0%} of the chunks"
    if cluster > 0.2:
        near = f"{cluster:.0%} are near-duplicates of each other"
        return f"{held}, {near}: raise split.near_duplicates.threshold, or bring other texts"
    if params.group_titles:
        return f"{held}: set split.group_titles: false"
    return f"{held}: give each page its own filename"

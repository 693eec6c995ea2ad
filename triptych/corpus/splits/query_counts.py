"""Chunks and queries of each split and category; categories with too few test queries are judged together."""

from dataclasses import replace

import numpy as np

from triptych.corpus.chunk_table import CorpusColumns
from triptych.corpus.queries.labeled_query import LabeledQuery
from triptych.corpus.records import FEWEST_DOCUMENTS, SMALL_CATEGORIES, SPLITS, category_label
from triptych.params.sections import Split

Counts = dict[str, dict[str, dict[str, int]]]  # split -> category -> chunks, queries -> number
_SHOWN = 5  # categories named in a line
_LINES = 8  # warnings of one kind that are printed one by one


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


def small_categories(
    counts: Counts, test: list[LabeledQuery], columns: CorpusColumns, document_ids: np.ndarray, min_queries: int
) -> list[str]:
    """Return the categories with fewer than ``min_queries`` test queries, or with some about too few documents.

    None if there is only one category. ``test`` are the test queries.
    """
    if len(counts["test"]) == 1:
        return []
    documents: dict[str, set[int]] = {name: set() for name in counts["test"]}
    rows = columns.rows([min(one.relevant) for one in test])
    for one, document in zip(test, document_ids[rows].tolist(), strict=True):
        documents[one.query.category].add(document)
    fewest = min(FEWEST_DOCUMENTS, min_queries)
    return [
        name
        for name, numbers in counts["test"].items()
        if numbers["queries"] < min_queries or len(documents[name]) < fewest
    ]


def pooled(queries: dict[str, list[LabeledQuery]], small: list[str]) -> dict[str, list[LabeledQuery]]:
    """Return the queries under the names of the categories that they are judged in.

    That is `SMALL_CATEGORIES` for small categories. A category with the name of the row of all has another label.
    """
    names = dict.fromkeys(small, SMALL_CATEGORIES)

    def judged(one: LabeledQuery) -> LabeledQuery:
        category = names.get(one.query.category, category_label(one.query.category))
        return one if category == one.query.category else replace(one, query=replace(one.query, category=category))

    return {split: [judged(one) for one in of_split] for split, of_split in queries.items()}


def count_warnings(counts: Counts, params: Split, small: list[str]) -> list[str]:
    """Return sentences about categories with few dev or test queries, and about those without train chunks."""
    warnings = []
    if small:
        names = some([f"{name!r} ({counts['test'][name]['queries']})" for name in small])
        warnings.append(
            f"{len(small)} {'category has' if len(small) == 1 else 'categories have'} fewer than {params.min_queries}"
            f" test queries (or {min(FEWEST_DOCUMENTS, params.min_queries)} documents that they are about): {names};"
            f" judged together as {SMALL_CATEGORIES!r}, about which no claim is made; for a claim, add questions"
            " (split.queries, `triptych label`) or join categories (ingest.sources)"
        )
    untrained = [name for name, numbers in counts["train"].items() if not numbers["chunks"]]
    if untrained:
        names = some([repr(name) for name in untrained])
        warnings.append(f"no chunk of category {names} is in train: it is searched and judged, not learned")
    few = [
        f"category {name!r} has {counts[split][name]['queries']} {split} queries, fewer than {params.warn_queries}:"
        " only large differences will show"
        for name in counts["train"]
        if name not in small
        for split in ("dev", "test")
        if counts[split][name]["queries"] < params.warn_queries
    ]
    if len(few) > _LINES:
        few = [*few[:_LINES], f"{len(few) - _LINES} more splits of categories have fewer than {params.warn_queries}"]
    return warnings + few


def some(names: list[str]) -> str:
    """Return the first names, and the number of the others."""
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")

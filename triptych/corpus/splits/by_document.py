"""Split into train, dev and test by whole documents, and check for leaks."""

from collections import Counter
from hashlib import sha256

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from triptych.corpus.chunk_table import CorpusColumns
from triptych.corpus.duplicates.near_duplicates import NearDuplicateClusters, renumber
from triptych.corpus.queries.labeled_query import LabeledQuery
from triptych.corpus.records import SPLITS
from triptych.corpus.texts import normalized
from triptych.ids import ChunkRows
from triptych.params.sections import Fractions

_SMALL = 10  # documents: categories with fewer are balanced together


def group_documents(
    columns: CorpusColumns, clusters: np.ndarray, queries: list[LabeledQuery], titles: np.ndarray | None
) -> np.ndarray:
    """Return the document id of each chunk, int32 of shape (chunks,). A document belongs to a single split.

    A document joins the chunks of a file, of a near-duplicate cluster, the answers of a query and chunks with equal
    numbers in ``titles``, which are about similar things (``numpy.max``, ``DataFrame.max``).
    """
    rows = np.arange(len(columns))
    edges = []
    for groups in (columns.file, clusters, *([] if titles is None else [titles])):
        _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
        edges.append((rows, first[inverse]))
    answers = [(chunk_id, min(query.relevant)) for query in queries for chunk_id in query.relevant]
    edges.append((columns.rows([chunk_id for chunk_id, _ in answers]), columns.rows([first for _, first in answers])))
    left, right = (np.concatenate(ends) for ends in zip(*edges, strict=True))
    graph = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(len(columns), len(columns)))
    return renumber(connected_components(graph, directed=False)[1])


def assign_splits(
    columns: CorpusColumns,
    document_ids: np.ndarray,
    queries: list[LabeledQuery],
    fractions: Fractions,
    seed: int,
    kept: np.ndarray | None = None,
) -> np.ndarray:
    """Return the split of each chunk as its index in `SPLITS`: int8 of shape (chunks,).

    Documents are assigned one by one, in an order given by seed and ids, not by rows or size: large documents
    contain the look-alikes, and a split with most of them would be harder than the others. Each goes to the split
    in which the chunks and queries of its categories are furthest below their fraction; small categories count as one.
    Splits that the user set for queries have priority: a document that answers a test query goes to test, else dev,
    else train; the other documents fill up what is missing. ``kept`` has the split that each chunk keeps, int8 with -1
    for none, which comes before all that; the chunks of a document keep the same one.
    """
    names = columns.categories
    group = _balanced_groups(columns, document_ids)
    content = np.zeros((int(document_ids.max()) + 1, 2 * len(names)))
    np.add.at(content, (document_ids, group[columns.category]), 1)
    answers = rows_of_answers(queries, columns)
    query_documents = document_ids[_answer_rows(queries, columns)]
    query_columns = np.array([len(names) + group[names.index(one.query.category)] for one in queries], dtype=np.int64)
    np.add.at(content, (query_documents, query_columns), 1)
    fixed: dict[int, int] = {}
    for query, rows in zip(queries, answers, strict=True):
        for document in document_ids[rows].tolist() if query.split is not None else []:
            fixed[document] = max(SPLITS.index(query.split or "train"), fixed.get(document, 0))
    if kept is not None:
        fixed |= dict(zip(document_ids[kept >= 0].tolist(), kept[kept >= 0].tolist(), strict=True))
    totals = np.maximum(content.sum(axis=0), 1)
    targets = np.array([[getattr(fractions, split)] for split in SPLITS]) * totals
    assigned = np.zeros_like(targets)
    empty = targets.sum(axis=1) == 0
    codes = np.zeros(len(content), dtype=np.int8)
    order = _shuffled(columns, document_ids, seed)
    for document in sorted(order, key=lambda one: one not in fixed):
        if document in fixed:
            code = fixed[document]
        else:
            deficit = ((1 - assigned / np.maximum(targets, 1)) * content[document] / totals).sum(axis=1)
            code = int(np.argmax(np.where(empty, -np.inf, deficit)))
        codes[document] = code
        assigned[code] += content[document]
    return codes[document_ids]


def _balanced_groups(columns: CorpusColumns, document_ids: np.ndarray) -> np.ndarray:
    """Return for each category the number of the one that it is balanced with: itself, or the first small one.

    The one or two documents of a small category cannot have the fractions; those of all small categories can.
    """
    pairs = np.unique(np.stack([columns.category.astype(np.int64), document_ids]), axis=1)
    small = np.flatnonzero(np.bincount(pairs[0], minlength=len(columns.categories)) < _SMALL)
    group = np.arange(len(columns.categories))
    group[small] = small[:1]
    return group


def _shuffled(columns: CorpusColumns, document_ids: np.ndarray, seed: int) -> list[int]:
    """Return document ids in the order of a hash of the seed and the smallest chunk id of each."""
    by_id = np.argsort(columns.rank())
    _, first = np.unique(document_ids[by_id], return_index=True)
    smallest = columns.chunk_id.take(by_id[first]).to_pylist()
    keys = [sha256(f"{seed}:{chunk_id}".encode()).digest() for chunk_id in smallest]
    return sorted(range(len(keys)), key=keys.__getitem__)


def count_leaks(
    clusters: NearDuplicateClusters,
    document_ids: np.ndarray,
    split_codes: np.ndarray,
    queries: dict[str, list[LabeledQuery]],
) -> dict[str, int]:
    """Count the texts, near-duplicate clusters, documents and query texts that occur in more than one split."""
    texts_by_split = ({normalized(one.query.text) for one in of_split} for of_split in queries.values())
    number_of_splits = Counter(text for texts in texts_by_split for text in texts)
    return {
        "text": _in_several_splits(clusters.text, split_codes),
        "cluster": _in_several_splits(clusters.cluster, split_codes),
        "document": _in_several_splits(document_ids, split_codes),
        "query": sum(number > 1 for number in number_of_splits.values()),
    }


def _in_several_splits(groups: np.ndarray, split_codes: np.ndarray) -> int:
    """Count the groups with members in several splits."""
    pairs = np.unique(groups.astype(np.int64) * len(SPLITS) + split_codes)
    return int((np.bincount(pairs // len(SPLITS)) > 1).sum())


def assign_queries(
    queries: list[LabeledQuery], columns: CorpusColumns, split_codes: np.ndarray, anywhere: bool = False
) -> tuple[dict[str, list[LabeledQuery]], Counter[str]]:
    """Assign each query to the split of its answers; also return the number of dropped queries by reason.

    A query is dropped if its author chose a split without an answer, or if a query with the same text is in another
    split. With ``anywhere``, queries that judge only have their answers in any split.
    """
    by_split: dict[str, list[LabeledQuery]] = {split: [] for split in SPLITS}
    dropped: Counter[str] = Counter()
    split_of_text: dict[str, str] = {}
    for query, rows in zip(queries, rows_of_answers(queries, columns), strict=True):
        codes = split_codes[rows].tolist()
        split = query.split or SPLITS[codes[0]]
        if not anywhere and SPLITS.index(split) not in codes:
            dropped["answer_in_another_split"] += 1
        elif split_of_text.setdefault(normalized(query.query.text), split) != split:
            dropped["same_text_in_another_split"] += 1
        else:
            by_split[split].append(query)
    return by_split, dropped


def rows_of_answers(queries: list[LabeledQuery], columns: CorpusColumns) -> list[ChunkRows]:
    """Return the rows of the answers of each query, in the order of their ids."""
    ids = [sorted(query.relevant) for query in queries]
    rows = columns.rows([chunk_id for of_query in ids for chunk_id in of_query])
    return [ChunkRows(one) for one in np.split(rows, np.cumsum([len(of_query) for of_query in ids])[:-1])][: len(ids)]


def _answer_rows(queries: list[LabeledQuery], columns: CorpusColumns) -> ChunkRows:
    """Return the row of the first answer of each query."""
    return columns.rows([min(query.relevant) for query in queries])

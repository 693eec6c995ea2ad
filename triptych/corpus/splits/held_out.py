"""Queries that judge and do not teach, and answers of dev and test queries that must not be trained on."""

from collections import defaultdict
from dataclasses import replace
from hashlib import sha256

import numpy as np

from triptych.corpus.chunk_table import CorpusColumns
from triptych.corpus.duplicates.near_duplicates import renumber
from triptych.corpus.queries.labeled_query import LabeledQuery
from triptych.corpus.records import SPLITS
from triptych.corpus.splits.by_document import rows_of_answers
from triptych.params.sections import Fractions

_JUDGING = ("test", "dev")  # of equal deficits, test comes first
_MOST = 0.25  # share of the queries that are kept together because they are about one document


def judge_only(
    queries: list[LabeledQuery], columns: CorpusColumns, document_ids: np.ndarray, fractions: Fractions, seed: int
) -> list[LabeledQuery]:
    """Return the queries with split dev or test, in the ratio of these fractions in every category.

    Queries about one document go to one split, unless they are more than a quarter of all. A query with a split keeps
    it. Answers may be chunks of any split: such queries are never trained on.
    """
    shares = np.array([getattr(fractions, split) for split in _JUDGING])
    shares = shares / shares.sum() if shares.sum() else np.array([1.0, 0.0])
    names = columns.categories
    category = [names.index(one.query.category) for one in queries]
    totals = np.maximum(np.bincount(np.array(category, dtype=np.int64), minlength=len(names)), 1)
    targets, assigned = shares[:, None] * totals, np.zeros((2, len(names)))
    splits: dict[int, str] = {}
    groups: dict[str, list[int]] = defaultdict(list)
    documents = document_ids[columns.rows([min(one.relevant) for one in queries])].tolist()
    frequency = np.bincount(documents, minlength=1) if documents else np.zeros(1)
    for index, (query, document) in enumerate(zip(queries, documents, strict=True)):
        if query.split is not None:
            splits[index] = query.split
            if query.split in _JUDGING:
                assigned[_JUDGING.index(query.split), category[index]] += 1
        else:
            alone = frequency[document] > max(1, _MOST * len(queries))
            groups[query.query.query_id if alone else f"document {document}"].append(index)

    def key(indices: list[int]) -> bytes:
        return sha256(f"{seed}:{min(queries[index].query.query_id for index in indices)}".encode()).digest()

    for indices in sorted(groups.values(), key=key):
        content = np.bincount([category[index] for index in indices], minlength=len(names))
        deficit = ((1 - assigned / np.maximum(targets, 1e-9)) * content / totals).sum(axis=1)
        code = int(np.argmax(np.where(shares == 0, -np.inf, deficit)))
        assigned[code] += content
        splits |= dict.fromkeys(indices, _JUDGING[code])
    return [replace(query, split=splits[index]) for index, query in enumerate(queries)]


def answers_alone(
    queries: list[LabeledQuery], columns: CorpusColumns, clusters: np.ndarray, document_ids: np.ndarray
) -> np.ndarray:
    """Return documents in which the answers, each with its near-duplicates, are documents of their own: int32."""
    answers = np.isin(clusters, clusters[np.concatenate(rows_of_answers(queries, columns))])
    return renumber(np.where(answers, document_ids.max() + 1 + clusters, document_ids))


def hold_out_answers(
    queries: list[LabeledQuery],
    columns: CorpusColumns,
    clusters: np.ndarray,
    document_ids: np.ndarray,
    split_codes: np.ndarray,
) -> tuple[list[LabeledQuery], np.ndarray, np.ndarray, int]:
    """Move answers of dev and test queries out of the splits before theirs; return queries, codes, documents, moved.

    Only queries whose answers are in several splits, or not in the split that their author chose, are concerned. Such a
    query gets the split of its author, else that of its first answer. The chunks that answer it leave their documents,
    together with their near-duplicates, and are documents of their own, so that no text is in two splits. A train query
    keeps only its answers in train. ``split_codes`` are indices in `SPLITS`; ``moved`` counts chunks.
    """
    codes, documents = split_codes.copy(), document_ids.copy()
    if not queries:
        return queries, codes, documents, 0
    rows = rows_of_answers(queries, columns)
    wanted = np.zeros(int(clusters.max()) + 1, dtype=codes.dtype)
    spread: dict[int, str] = {}
    for index, (query, answers) in enumerate(zip(queries, rows, strict=True)):
        split = query.split or SPLITS[codes[answers[0]]]
        if len({*codes[answers].tolist(), SPLITS.index(split)}) > 1:
            spread[index] = split
            np.maximum.at(wanted, clusters[answers], SPLITS.index(split))
    moved = wanted[clusters] > codes
    codes = np.maximum(codes, wanted[clusters])
    documents[moved] = int(documents.max()) + 1 + clusters[moved]
    kept = list(queries)
    for index, split in spread.items():
        relevant = queries[index].relevant
        if split == "train":
            chunks = zip(sorted(relevant), codes[rows[index]].tolist(), strict=True)
            relevant = {one: relevant[one] for one, code in chunks if SPLITS[code] == "train"} or relevant
        kept[index] = replace(queries[index], relevant=relevant, split=split)
    return kept, codes, documents, int(moved.sum())

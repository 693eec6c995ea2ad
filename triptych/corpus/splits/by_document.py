"""Train, dev and test by whole documents, and the proof that nothing leaks."""

from collections import Counter
from hashlib import sha256

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from triptych.corpus.chunk_table import Columns
from triptych.corpus.duplicates.near_duplicates import NearDuplicateClusters, renumber
from triptych.corpus.queries.written_queries import JudgedQuery
from triptych.corpus.records import SPLITS
from triptych.corpus.texts import normalized
from triptych.params.sections import Fractions


def documents(columns: Columns, clusters: np.ndarray, judged: list[JudgedQuery], group_titles: bool) -> np.ndarray:
    """Return the number of the document each chunk belongs to, which stays on one side: int32 of shape (chunks,).

    Chunks are joined by file, by near-duplicate cluster, by a query that has several of them as answers and,
    where titles name things (``numpy.max``, ``DataFrame.max``), by equal title.
    """
    rows = np.arange(len(columns))
    edges = []
    for groups in (columns.file, clusters, *([columns.title] if group_titles else [])):
        _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
        edges.append((rows, first[inverse]))
    several = [item for item in judged if len(item.relevant) > 1]
    answers = [(one, min(item.relevant)) for item in several for one in item.relevant]
    edges.append((columns.rows([one for one, _ in answers]), columns.rows([other for _, other in answers])))
    left, right = (np.concatenate(ends) for ends in zip(*edges, strict=True))
    graph = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(len(columns), len(columns)))
    return renumber(connected_components(graph, directed=False)[1])


def assign(
    columns: Columns, document_ids: np.ndarray, judged: list[JudgedQuery], fractions: Fractions, seed: int
) -> np.ndarray:
    """Return the place of each chunk's split in `SPLITS`: int8 of shape (chunks,).

    Documents come in an order that seed and ids decide, not rows and not size: large documents are the ones
    with look-alikes, and a split that got them all would be harder than the others. Each goes where chunks and
    queries of its categories are furthest below their share. Splits that the user gave to queries have
    precedence: a document that answers a test query is test, else dev, else train.
    """
    names = columns.categories
    content = np.zeros((int(document_ids.max()) + 1, 2 * len(names)))
    np.add.at(content, (document_ids, columns.category), 1)
    asked = document_ids[_answer(judged, columns)]
    np.add.at(content, (asked, [len(names) + names.index(item.query.category) for item in judged]), 1)
    given: dict[int, int] = {}
    for item, document in zip(judged, asked.tolist(), strict=True):
        if item.split is not None:
            given[document] = max(SPLITS.index(item.split), given.get(document, 0))
    totals = np.maximum(content.sum(axis=0), 1)
    wanted = np.array([[getattr(fractions, split)] for split in SPLITS]) * totals
    have = np.zeros_like(wanted)
    empty = wanted.sum(axis=1) == 0
    chosen = np.zeros(len(content), dtype=np.int8)
    for document in _shuffled(columns, document_ids, seed):
        if document in given:
            side = given[document]
        else:
            room = ((1 - have / np.maximum(wanted, 1)) * content[document] / totals).sum(axis=1)
            side = int(np.argmax(np.where(empty, -np.inf, room)))
        chosen[document] = side
        have[side] += content[document]
    return chosen[document_ids]


def _shuffled(columns: Columns, document_ids: np.ndarray, seed: int) -> list[int]:
    """Return documents in the order of a hash of the seed and the smallest id in each."""
    by_id = np.argsort(columns.rank())
    _, first = np.unique(document_ids[by_id], return_index=True)
    smallest = columns.chunk_id.take(by_id[first]).to_pylist()
    keys = [sha256(f"{seed}:{chunk_id}".encode()).digest() for chunk_id in smallest]
    return sorted(range(len(keys)), key=keys.__getitem__)


def leaks(
    found: NearDuplicateClusters, document_ids: np.ndarray, sides: np.ndarray, queries: dict[str, list[JudgedQuery]]
) -> dict[str, int]:
    """Count what train shares with dev or test, and dev with test: texts, clusters, documents, query texts."""
    asked = Counter(text for items in queries.values() for text in {normalized(item.query.text) for item in items})
    return {
        "text": _shared(found.text, sides),
        "cluster": _shared(found.cluster, sides),
        "document": _shared(document_ids, sides),
        "query": sum(splits > 1 for splits in asked.values()),
    }


def _shared(groups: np.ndarray, sides: np.ndarray) -> int:
    """Count the groups that have members in several splits."""
    pairs = np.unique(groups.astype(np.int64) * len(SPLITS) + sides)
    return int((np.bincount(pairs // len(SPLITS)) > 1).sum())


def place(
    judged: list[JudgedQuery], columns: Columns, sides: np.ndarray
) -> tuple[dict[str, list[JudgedQuery]], Counter[str]]:
    """Give each query the split of its answers; one whose author wanted it elsewhere is dropped and counted."""
    placed: dict[str, list[JudgedQuery]] = {split: [] for split in SPLITS}
    dropped: Counter[str] = Counter()
    owner: dict[str, str] = {}
    for item, side in zip(judged, sides[_answer(judged, columns)].tolist(), strict=True):
        split = SPLITS[side]
        if item.split is not None and item.split != split:
            dropped["answer_in_another_split"] += 1
        elif owner.setdefault(normalized(item.query.text), split) != split:
            dropped["same_text_in_another_split"] += 1
        else:
            placed[split].append(item)
    return placed, dropped


def _answer(judged: list[JudgedQuery], columns: Columns) -> np.ndarray:
    """Return the row of one answer of each query: all of them lie in one document."""
    return columns.rows([min(item.relevant) for item in judged])

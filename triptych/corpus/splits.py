"""Train, dev and test by whole documents, and the proof that nothing leaks."""

from collections import Counter
from collections.abc import Iterable
from hashlib import sha256

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from triptych.corpus.near_duplicates import renumber
from triptych.corpus.queries import Judged
from triptych.corpus.records import Chunk
from triptych.corpus.texts import normalized
from triptych.params import Fractions

SPLITS = ("train", "dev", "test")


def documents(chunks: list[Chunk], clusters: np.ndarray, judged: list[Judged], group_titles: bool) -> np.ndarray:
    """Return the number of the document each chunk belongs to, which stays on one side: int32 of shape (chunks,).

    Chunks are joined by file, by near-duplicate cluster, by a query that has several of them as answers and,
    where titles name things (``numpy.max``, ``DataFrame.max``), by equal title.
    """
    row = {chunk.chunk_id: index for index, chunk in enumerate(chunks)}
    groups: list[Iterable[object]] = [
        [("file", chunk.category, chunk.filename) for chunk in chunks],
        [("cluster", number) for number in clusters.tolist()],
    ]
    if group_titles:
        groups.append([("title", normalized(chunk.title) or chunk.chunk_id) for chunk in chunks])
    first: dict[object, int] = {}
    edges = [(index, first.setdefault(key, index)) for keys in groups for index, key in enumerate(keys)]
    edges += [(row[one], row[min(item.relevant)]) for item in judged for one in item.relevant]
    left, right = np.array(edges).T
    graph = coo_array((np.ones(len(edges), dtype=np.int8), (left, right)), shape=(len(chunks), len(chunks)))
    return renumber(connected_components(graph, directed=False)[1])


def assign(
    chunks: list[Chunk], document_ids: np.ndarray, judged: list[Judged], fractions: Fractions, seed: int
) -> list[str]:
    """Return the split of each chunk.

    Documents come in an order that seed and ids decide, not rows and not size: large documents are the ones
    with look-alikes, and a split that got them all would be harder than the others. Each goes where chunks and
    queries of its categories are furthest below their share. Splits that the user gave to queries have
    precedence: a document that answers a test query is test, else dev, else train.
    """
    row = {chunk.chunk_id: index for index, chunk in enumerate(chunks)}
    names = sorted({chunk.category for chunk in chunks})
    content = np.zeros((int(document_ids.max()) + 1, 2 * len(names)))
    keys = [""] * len(content)
    for chunk, document in zip(chunks, document_ids.tolist(), strict=True):
        content[document, names.index(chunk.category)] += 1
        keys[document] = min(keys[document] or chunk.chunk_id, chunk.chunk_id)
    given: dict[int, str] = {}
    for item in judged:
        document = int(document_ids[row[min(item.relevant)]])
        content[document, len(names) + names.index(item.query.category)] += 1
        if item.split is not None:
            given[document] = max(item.split, given.get(document, ""), key=("", *_BY_CLAIM).index)
    order = sorted(range(len(keys)), key=lambda document: sha256(f"{seed}:{keys[document]}".encode()).digest())
    totals = np.maximum(content.sum(axis=0), 1)
    wanted = np.array([[getattr(fractions, split)] for split in SPLITS]) * totals
    have = np.zeros_like(wanted)
    empty = wanted.sum(axis=1) == 0
    chosen = np.zeros(len(content), dtype=np.int64)
    for document in order:
        if document in given:
            side = SPLITS.index(given[document])
        else:
            room = ((1 - have / np.maximum(wanted, 1)) * content[document] / totals).sum(axis=1)
            side = int(np.argmax(np.where(empty, -np.inf, room)))
        chosen[document] = side
        have[side] += content[document]
    return [SPLITS[side] for side in chosen[document_ids]]


_BY_CLAIM = ("train", "dev", "test")  # a later name has the stronger claim on a document


def leaks(chunks: list[Chunk], queries: dict[str, list[Judged]]) -> dict[str, int]:
    """Count what train shares with dev or test, and dev with test: texts, clusters, documents, query texts."""
    seen: dict[str, dict[object, set[str]]] = {kind: {} for kind in ("text", "cluster", "document", "query")}
    for chunk in chunks:
        seen["text"].setdefault(sha256(normalized(chunk.content).encode()).digest(), set()).add(chunk.split)
        seen["cluster"].setdefault(chunk.cluster_id, set()).add(chunk.split)
        seen["document"].setdefault(chunk.document_id, set()).add(chunk.split)
    for split, items in queries.items():
        for item in items:
            seen["query"].setdefault(normalized(item.query.text), set()).add(split)
    return {kind: sum(len(splits) > 1 for splits in found.values()) for kind, found in seen.items()}


def place(judged: list[Judged], chunks: list[Chunk]) -> tuple[dict[str, list[Judged]], Counter[str]]:
    """Give each query the split of its answers; one whose author wanted it elsewhere is dropped and counted."""
    split_of = {chunk.chunk_id: chunk.split for chunk in chunks}
    placed: dict[str, list[Judged]] = {split: [] for split in SPLITS}
    dropped: Counter[str] = Counter()
    owner: dict[str, str] = {}
    for item in judged:
        split = split_of[min(item.relevant)]
        if item.split is not None and item.split != split:
            dropped["answer_in_another_split"] += 1
        elif owner.setdefault(normalized(item.query.text), split) != split:
            dropped["same_text_in_another_split"] += 1
        else:
            placed[split].append(item)
    return placed, dropped

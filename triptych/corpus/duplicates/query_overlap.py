"""Overlap of test queries with train queries and with written questions: the nearest one of each test query."""

from typing import Any

import numpy as np
from scipy.sparse import csr_array

from triptych.corpus.duplicates.shingles import ShingleSets, shingle_sets
from triptych.corpus.records import Query
from triptych.corpus.texts import normalized
from triptych.corpus.written_questions import WrittenQuestion

NEARLY = 0.8  # similarity of words from which a written question nearly equals a query
_POSTINGS = 500  # words in more train queries than this propose no candidates
_ROWS = 1024  # test queries looked up at a time
_SHOWN = 10


def nearest(test: list[str], train: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the index in ``train`` of the text nearest to each of ``test`` (-1: none), and their similarity.

    The similarity is the Jaccard similarity of the sets of words. Both arrays have the shape (test,): int64 and
    float64. Two texts with a similarity of 0.5 or more share one of any ``size // 2 + 1`` words of either (prefix
    filtering, Chaudhuri et al. 2006), so only the posting lists of the rarest words are read; a nearest text with a
    lower similarity may be missed.

    >>> indices, similarity = nearest(["sort a list", "plot"], ["join tables", "sort a long list"])
    >>> indices.tolist(), similarity.tolist()
    ([1, -1], [0.75, 0.0])
    """
    sets = shingle_sets(test + train, words=1)
    left, right = _candidates(sets, len(test))
    scores = sets.jaccard(left, right + len(test))
    order = np.lexsort((right, -scores, left))
    matched, first = np.unique(left[order], return_index=True)
    indices, similarity = np.full(len(test), -1), np.zeros(len(test))
    indices[matched], similarity[matched] = right[order][first], scores[order][first]
    return indices, similarity


def _candidates(sets: ShingleSets, tests: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of a test and a train text that share one of the test text's rarest words in train."""
    _, words = np.unique(sets.hashes, return_inverse=True)
    sizes = sets.sizes()
    table = csr_array((np.ones(len(words), np.int32), words, sets.offsets), shape=(len(sets), int(words.max()) + 1))
    postings = table[tests:].T.tocsr()  # word x train text
    frequency = np.diff(postings.indptr)
    rows, words = np.repeat(np.arange(tests), sizes[:tests]), words[: sets.offsets[tests]]
    order = np.lexsort((words, frequency[words], frequency[words] == 0, rows))
    rows, words = rows[order], words[order]
    rare = np.arange(len(rows)) - sets.offsets[rows] <= sizes[rows] // 2
    rare &= frequency[words] <= _POSTINGS
    ones = np.ones(int(rare.sum()), np.int32)
    rarest = csr_array((ones, (rows[rare], words[rare])), shape=(tests, postings.shape[0]))
    pairs = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    for start in range(0, tests, _ROWS):
        left, right = (rarest[start : start + _ROWS] @ postings).nonzero()
        pairs.append((left.astype(np.int64) + start, right.astype(np.int64)))
    return np.concatenate([left for left, _ in pairs]), np.concatenate([right for _, right in pairs])


def query_overlap_metrics(test: list[Query], train: list[Query]) -> dict[str, Any]:
    """Return the distribution of the similarity of test queries to their nearest train query, and the closest pairs."""
    metrics: dict[str, Any] = {"test_queries": len(test), "train_queries": len(train)}
    if not test or not train:
        return metrics
    test, train = (sorted(queries, key=lambda query: query.query_id) for queries in (test, train))
    indices, similarity = nearest([query.text for query in test], [query.text for query in train])
    for percent in (50, 90, 95, 99):
        metrics[f"p{percent}"] = float(np.percentile(similarity, percent, method="higher"))
    metrics["max"] = float(similarity.max())
    metrics["at_least_0.5"] = float((similarity >= 0.5).mean())
    metrics["closest"] = [
        {
            "similarity": float(similarity[row]),
            "test": {test[row].query_id: test[row].text},
            "train": {train[indices[row]].query_id: train[indices[row]].text},
        }
        for row in np.argsort(-similarity, kind="stable")[:_SHOWN].tolist()
        if indices[row] >= 0
    ]
    return metrics


def written_overlap_metrics(test: list[Query], written: list[WrittenQuestion]) -> dict[str, Any]:
    """Count the test queries that a written question equals, or nearly equals, and show the closest pairs.

    Equal are texts that differ in case and white space alone; nearly equal are those with at least `NEARLY` of their
    distinct words in common. Such a query is not independent of what is taught or indexed.
    """
    metrics: dict[str, Any] = {"test_queries": len(test), "written_questions": len(written)}
    if not test or not written:
        return metrics
    test = sorted(test, key=lambda query: query.query_id)
    texts = {normalized(question.text) for question in written}
    equal = np.array([normalized(query.text) in texts for query in test])
    indices, similarity = nearest([query.text for query in test], [question.text for question in written])
    metrics["equal"] = int(equal.sum())
    metrics["nearly_equal"] = int((~equal & (similarity >= NEARLY)).sum())
    metrics["closest"] = [
        {
            "similarity": float(similarity[row]),
            "test": {test[row].query_id: test[row].text},
            "written": {written[indices[row]].chunk_id: written[indices[row]].text},
        }
        for row in np.argsort(-similarity, kind="stable")[:_SHOWN].tolist()
        if indices[row] >= 0
    ]
    return metrics

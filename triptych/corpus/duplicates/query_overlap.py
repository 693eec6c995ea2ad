"""How close the test queries are to those that are learned from: the nearest train query of each."""

from typing import Any

import numpy as np
from scipy.sparse import csr_array

from triptych.corpus.duplicates.shingles import ShingleSets, shingle_sets
from triptych.corpus.records import Query

_POSTINGS = 500  # a word of more train queries than this proposes no candidate
_ROWS = 1024  # test queries looked up at a time
_SHOWN = 10


def nearest(test: list[str], train: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the place in ``train`` of the text nearest to each in ``test`` (-1: none), and its similarity.

    Similarity is Jaccard's, of the sets of words: int64 and float64 of shape (test,). A text that is at least 0.5
    similar to another shares one of any ``size // 2 + 1`` of its words (prefix filtering, Chaudhuri et al. 2006), so
    the lists of the rarest words alone are read; a nearest text that is less similar may be missed.
    """
    sets = shingle_sets(test + train, words=1)
    left, right = _candidates(sets, len(test))
    found = sets.jaccard(left, right + len(test))
    order = np.lexsort((right, -found, left))
    asked, first = np.unique(left[order], return_index=True)
    places, similarity = np.full(len(test), -1), np.zeros(len(test))
    places[asked], similarity[asked] = right[order][first], found[order][first]
    return places, similarity


def _candidates(sets: ShingleSets, tests: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of a test text and a train text that share one of the rarest words that the latter have at all."""
    _, words = np.unique(sets.hashes, return_inverse=True)
    sizes = sets.sizes()
    table = csr_array((np.ones(len(words), np.int32), words, sets.offsets), shape=(len(sets), int(words.max()) + 1))
    lists = table[tests:].T.tocsr()  # word x train text
    frequency = np.diff(lists.indptr)
    rows, words = np.repeat(np.arange(tests), sizes[:tests]), words[: sets.offsets[tests]]
    order = np.lexsort((words, frequency[words], frequency[words] == 0, rows))
    rows, words = rows[order], words[order]
    rare = np.arange(len(rows)) - sets.offsets[rows] <= sizes[rows] // 2
    rare &= frequency[words] <= _POSTINGS
    asked = csr_array((np.ones(int(rare.sum()), np.int32), (rows[rare], words[rare])), shape=(tests, lists.shape[0]))
    pairs = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    for start in range(0, tests, _ROWS):
        left, right = (asked[start : start + _ROWS] @ lists).nonzero()
        pairs.append((left.astype(np.int64) + start, right.astype(np.int64)))
    return np.concatenate([one for one, _ in pairs]), np.concatenate([other for _, other in pairs])


def query_overlap_metrics(test: list[Query], train: list[Query]) -> dict[str, Any]:
    """Return the distribution of the similarity of test queries to their nearest train query, and the closest."""
    figures: dict[str, Any] = {"test_queries": len(test), "train_queries": len(train)}
    if not test or not train:
        return figures
    test, train = (sorted(queries, key=lambda query: query.query_id) for queries in (test, train))
    places, similarity = nearest([query.text for query in test], [query.text for query in train])
    for percent in (50, 90, 95, 99):
        figures[f"p{percent}"] = float(np.percentile(similarity, percent, method="higher"))
    figures["max"] = float(similarity.max())
    figures["at_least_0.5"] = float((similarity >= 0.5).mean())
    figures["closest"] = [
        {
            "similarity": float(similarity[row]),
            "test": {test[row].query_id: test[row].text},
            "train": {train[places[row]].query_id: train[places[row]].text},
        }
        for row in np.argsort(-similarity, kind="stable")[:_SHOWN].tolist()
        if places[row] >= 0
    ]
    return figures

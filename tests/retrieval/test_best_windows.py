"""The window of a passage that answers a query, by definition, in any blocks."""

import numpy as np
import pytest

from triptych.retrieval import best_windows
from triptych.retrieval.best_windows import WindowVectors


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def windows():
    random = np.random.default_rng(3)
    passage_of_window = np.repeat(np.arange(9), random.integers(1, 6, 9))
    vectors = unit(random.normal(size=(len(passage_of_window), 6)))
    return WindowVectors.of(vectors, passage_of_window, 9), unit(random.normal(size=(5, 6)))


@pytest.mark.parametrize("block", [1, 7, 10_000])
def test_the_best_window_of_each_pair_is_the_closest(windows, block, monkeypatch):
    monkeypatch.setattr(best_windows, "_BLOCK", block)
    vectors, queries = windows
    pairs = np.array([(query, passage) for query in range(5) for passage in (8, 0, 3, 3)])
    best, scores = vectors.best(queries, *pairs.T)
    for (query, passage), row, score in zip(pairs, best, scores, strict=True):
        of_passage = np.flatnonzero(vectors.passage_of_window == passage)
        cosines = vectors.vectors[of_passage] @ queries[query]
        assert row == of_passage[np.argmax(cosines)]
        assert score == pytest.approx(cosines.max(), abs=1e-6)


def test_of_equal_windows_the_first_is_taken():
    windows = WindowVectors.of(np.ones((5, 1), np.float32), np.array([0, 0, 1, 1, 1]), 2)
    best, _ = windows.best(np.ones((1, 1), np.float32), np.zeros(2, int), np.array([1, 0]))
    assert best.tolist() == [2, 0]


def test_without_pairs_nothing_is_returned(windows):
    best, scores = windows[0].best(windows[1], np.empty(0, int), np.empty(0, int))
    assert (len(best), len(scores)) == (0, 0)


def test_with_one_window_each_scores_are_those_of_a_plain_product(windows):
    vectors, queries = windows
    plain = WindowVectors.one_each(vectors.vectors)
    pairs = np.random.default_rng(1).integers(0, [[5], [len(plain)]], (2, 40))
    best, scores = plain.best(queries, *pairs)
    np.testing.assert_array_equal(best, pairs[1])
    np.testing.assert_array_equal(scores, np.einsum("ij,ij->i", queries[pairs[0]], vectors.vectors[pairs[1]]))

"""Chunks found by their best windows."""

import numpy as np
import pytest

from triptych.retrieval.dense import DenseIndex
from triptych.retrieval.vector_index import VectorIndex
from triptych.retrieval.windows import ChunkSearch


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def windows():
    random = np.random.default_rng(5)
    chunk_of_window = np.repeat(np.arange(30), random.integers(1, 40, 30))
    return unit(random.normal(size=(len(chunk_of_window), 8))), chunk_of_window, unit(random.normal(size=(7, 8)))


def expected(windows, depth, among=None):
    """Return rows and scores by brute force."""
    vectors, chunk_of_window, queries = windows
    best = np.array([[(queries[q] @ vectors[chunk_of_window == c].T).max() for c in range(30)] for q in range(7)])
    if among is not None:
        best[:, np.setdiff1d(np.arange(30), among)] = -np.inf
    order = np.argsort(-best, axis=1, kind="stable")[:, :depth]
    return order, np.take_along_axis(best, order, axis=1)


@pytest.mark.parametrize("depth", [1, 5, 29, 30])
def test_every_chunk_comes_once_at_its_best_window(windows, depth):
    vectors, chunk_of_window, queries = windows
    index = DenseIndex(vectors)
    search = ChunkSearch(lambda asked, number, _: index.search(asked, number), chunk_of_window)
    rows, scores = search.search(queries, depth)
    np.testing.assert_array_equal(rows, expected(windows, depth)[0])
    np.testing.assert_allclose(scores, expected(windows, depth)[1], atol=1e-6)
    assert search.search(queries, 99)[0].shape == (7, 30)


def test_a_chunk_that_fills_the_list_does_not_hide_the_others():
    vectors = unit(np.concatenate([np.tile([[1.0, 0.0]], (50, 1)), [[1.0, 0.5], [1.0, 0.9]]]))
    index = DenseIndex(vectors)
    search = ChunkSearch(lambda asked, number, _: index.search(asked, number), np.repeat([0, 1, 2], [50, 1, 1]))
    rows, _ = search.search(np.array([[1.0, 0.0]], np.float32), 3)
    assert rows.tolist() == [[0, 1, 2]]


def test_a_stored_index_is_searched_among_some_chunks(windows):
    vectors, chunk_of_window, queries = windows
    index = VectorIndex.build(vectors, "float32", 100.0, 1)
    among = np.array([2, 3, 11, 29])
    rows, _ = ChunkSearch(index.search, chunk_of_window).search(queries, 10, among)
    np.testing.assert_array_equal(rows, expected(windows, 4, among)[0])


def test_equal_scores_come_by_row():
    index = DenseIndex(unit(np.ones((6, 4))))
    search = ChunkSearch(lambda asked, number, _: index.search(asked, number), np.array([0, 0, 1, 1, 2, 2]))
    assert search.search(unit(np.ones((1, 4))), 2)[0].tolist() == [[0, 1]]


def test_with_one_window_for_each_chunk_the_hits_are_those_of_the_index(windows):
    vectors, _, queries = windows
    index = DenseIndex(vectors)
    search = ChunkSearch(lambda asked, number, _: index.search(asked, number), np.arange(len(vectors)))
    for found, plain in zip(search.search(queries, 5), index.search(queries, 5), strict=True):
        np.testing.assert_array_equal(found, plain)

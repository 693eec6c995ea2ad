"""Chunks found by their best windows."""

import numpy as np
import pytest

from triptych.retrieval.dense import DenseIndex
from triptych.retrieval.question_scores import WEIGHT
from triptych.retrieval.vector_index import VectorIndex
from triptych.retrieval.windows import ChunkSearch, IndexedQuestions


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


DIMENSIONS, CHUNKS = 16, 60


@pytest.fixture
def asked():
    """Vectors of windows and questions in uneven numbers, the chunk of each, and queries."""
    random = np.random.default_rng(8)
    of_window = np.repeat(np.arange(CHUNKS), random.integers(1, 4, CHUNKS))
    of_question = np.repeat(np.arange(CHUNKS), random.choice([0, 0, 1, 2, 30], CHUNKS))
    vectors = unit(random.normal(size=(len(of_window) + len(of_question), DIMENSIONS)))
    return vectors, of_window, of_question, unit(random.normal(size=(9, DIMENSIONS)))


def combined(asked, among=None):
    """Return the score of each chunk for each query by brute force."""
    vectors, of_window, of_question, queries = asked
    similarities = queries @ vectors.T
    scores = np.full((len(queries), CHUNKS), -np.inf)
    for chunk in range(CHUNKS) if among is None else among:
        window = similarities[:, : len(of_window)][:, of_window == chunk].max(axis=1)
        question = similarities[:, len(of_window) :][:, of_question == chunk].max(axis=1, initial=-2)
        scores[:, chunk] = np.maximum(window, (1 - WEIGHT) * window + WEIGHT * question)
    return scores


def assert_best(found, scores, depth):
    rows, values = found
    assert rows.shape == values.shape == (len(scores), depth)
    best = -np.sort(-scores, axis=1)[:, :depth]
    np.testing.assert_allclose(values, best, atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(scores, rows, axis=1), best, atol=1e-6)
    assert all(len(set(hits)) == depth for hits in rows.tolist())


@pytest.mark.parametrize("depth", [1, 3, 20, CHUNKS])
def test_no_hit_is_lost_where_chunks_have_questions(asked, depth):
    vectors, of_window, of_question, queries = asked
    index = DenseIndex(vectors)
    search = ChunkSearch(
        lambda query_vectors, number, _: index.search(query_vectors, number),
        of_window,
        IndexedQuestions(of_question, index.vectors),
    )
    assert_best(search.search(queries, depth), combined(asked), depth)


def test_the_search_goes_on_where_the_best_vectors_are_those_of_questions():
    angles = np.radians([60, *[89] * 40, *[58] * 40])  # of 41 windows, and of a question for each window but the first
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    index = DenseIndex(vectors)
    search = ChunkSearch(
        lambda asked, number, _: index.search(asked, number),
        np.arange(41),
        IndexedQuestions(np.arange(1, 41), index.vectors),
    )
    rows, scores = search.search(np.array([[1.0, 0.0]], np.float32), 2)
    assert rows.tolist() == [[0, 1]]
    assert scores[0].tolist() == pytest.approx([0.5, 0.42743], abs=1e-4)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8", "binary"])
def test_a_stored_index_finds_what_its_own_vectors_score(asked, precision):
    vectors, of_window, of_question, queries = asked
    index = VectorIndex.build(vectors, precision, 100.0, 50)
    questions = IndexedQuestions(of_question, index.vectors)
    stored = index.vectors(np.arange(len(vectors)))
    among = np.array([0, 1, 7, 8, 30, 55])
    for some, depth in ((None, 10), (among, 6)):
        found = ChunkSearch(index.search, of_window, questions).search(queries, 10, some)
        assert_best(found, combined((stored, of_window, of_question, queries), some), depth)


def test_without_questions_the_hits_are_those_of_the_windows(windows):
    vectors, chunk_of_window, queries = windows
    index = DenseIndex(vectors)
    none = IndexedQuestions(np.empty(0, np.int64), index.vectors)
    plain, without = (
        ChunkSearch(lambda asked, number, _: index.search(asked, number), chunk_of_window, questions)
        for questions in (None, none)
    )
    for found, expected_ones in zip(without.search(queries, 9), plain.search(queries, 9), strict=True):
        np.testing.assert_array_equal(found, expected_ones)

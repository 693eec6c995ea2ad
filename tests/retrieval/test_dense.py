"""Dense search: exact against the definition, approximate above a size, ties and short corpora."""

import numpy as np
import pytest

from triptych.retrieval.dense import DenseIndex, search


def unit(number, seed, clusters=40):
    """Return unit vectors around some centers, as a model's are."""
    random = np.random.default_rng(seed)
    centers = np.random.default_rng(9).standard_normal((clusters, 24))
    made = centers[random.integers(0, clusters, number)] + 0.4 * random.standard_normal((number, 24))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def test_exact_search_is_the_definition():
    queries, passages = unit(50, 1), unit(3000, 2)
    rows, scores = search(queries, passages, 20)
    products = queries @ passages.T
    assert (rows == np.argsort(-products, axis=1, kind="stable")[:, :20]).all()
    assert scores == pytest.approx(np.take_along_axis(products, rows, axis=1), abs=1e-6)


def test_equal_scores_are_ranked_by_row():
    passages = np.tile(unit(1, 3), (5, 1))
    rows, _ = search(unit(2, 4), passages, 3)
    assert rows.tolist() == [[0, 1, 2], [0, 1, 2]]


def test_fewer_passages_than_depth_are_all_found():
    rows, scores = search(unit(3, 5), unit(4, 6), 50)
    assert rows.shape == scores.shape == (3, 4)
    assert (np.sort(rows, axis=1) == np.arange(4)).all()


def test_approximate_search_finds_nearly_the_same_and_always_the_same():
    queries, passages = unit(200, 1), unit(5000, 2)
    exact, _ = search(queries, passages, 10)
    index = DenseIndex(passages, exact_up_to=4999)
    rows, scores = index.search(queries, 10)
    shared = np.mean([len(set(one) & set(other)) / 10 for one, other in zip(exact, rows, strict=True)])
    assert 0.9 < shared < 1.0  # it is approximate, and good
    again = DenseIndex(passages, exact_up_to=4999).search(queries, 10)
    assert np.array_equal(rows, again[0])
    assert np.array_equal(scores, again[1])


def test_approximate_search_that_finds_too_few_says_so():
    passages = unit(400, 2)
    rows, scores = DenseIndex(passages, exact_up_to=10).search(unit(3, 1), 400)
    assert ((rows == -1) == np.isneginf(scores)).all()
    assert (rows == -1).any()

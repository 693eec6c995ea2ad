"""Each precision against an exact search: its recall, its size, and that the file alone can be searched."""

import faiss
import numpy as np
import pytest

from triptych.retrieval.dense import search
from triptych.retrieval.quantization import Scales
from triptych.retrieval.vector_index import VectorIndex

BYTES = {"float32": 4 * 256, "float16": 2 * 256, "int8": 256, "binary": 2 * 256 + 32}
# Of near neighbors among 3,000 made vectors; the benchmark has the figures of real ones.
RECALL = {"float32": 1.0, "float16": 0.999, "int8": 0.98, "binary": 0.98}


def unit(drawn):
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def material():
    draw = np.random.default_rng(5)
    spread = np.linspace(0.2, 2.0, 256)  # dimensions of a model are of different size
    centers = draw.standard_normal((50, 256)) * spread
    passages = unit(centers[draw.integers(50, size=3000)] + draw.standard_normal((3000, 256)) * spread)
    return passages, unit(passages[:200] + 0.05 * draw.standard_normal((200, 256)) * spread)


@pytest.fixture
def opened(material, tmp_path):
    def call(precision, rescore=10, percentile=100.0):
        size = VectorIndex.build(material[0], precision, percentile, rescore).save(tmp_path)
        return VectorIndex.open(tmp_path, rescore), size

    return call


def recall(found, exact):
    return np.mean([len(set(ours) & set(wanted)) / len(wanted) for ours, wanted in zip(found, exact, strict=True)])


@pytest.mark.parametrize("precision", RECALL)
def test_what_is_found_and_how_much_it_takes(material, opened, precision):
    passages, queries = material
    exact, _ = search(queries, passages, 10)
    index, size = opened(precision)
    found, scores = index.search(queries, 10)
    assert recall(found, exact) >= RECALL[precision]
    assert BYTES[precision] <= size / len(passages) < BYTES[precision] * 1.02
    assert np.all(np.diff(scores, axis=1) <= 0)
    true = np.einsum("qd,qkd->qk", queries, passages[found])
    assert np.abs(scores - true).max() < (0.01 if precision == "int8" else 1e-3)  # bits are rescored by float16


@pytest.mark.parametrize("precision", RECALL)
def test_the_file_is_mapped_not_read(opened, precision):
    index, _ = opened(precision)
    assert not index._vectors.codes.is_owned
    assert index._bits is None or not index._bits.xb.is_owned


def test_int8_scores_are_those_of_our_scales_and_plain_faiss_reads_them(material, opened, tmp_path):
    passages, queries = material
    scales = Scales.calibrate(passages, 99.0)
    wanted = np.sort(queries @ scales.vectors(scales.codes(passages)).T, axis=1)[:, ::-1][:, :10]
    _, scores = opened("int8", percentile=99.0)[0].search(queries, 10)
    assert np.allclose(scores, wanted, atol=1e-6)
    plain, _ = faiss.read_index(str(tmp_path / "vectors.faiss")).search(queries, 10)
    assert np.allclose(plain, wanted, atol=1e-6)


def test_bits_alone_find_less_than_bits_rescored(material, opened):
    passages, queries = material
    exact, _ = search(queries, passages, 10)
    few, many = (recall(opened("binary", rescore)[0].search(queries, 10)[0], exact) for rescore in (1, 10))
    assert few < many - 0.1


@pytest.mark.parametrize("precision", RECALL)
def test_a_search_among_some_rows_finds_the_best_of_these(material, opened, precision):
    _, queries = material
    among = np.arange(7, 3000, 150)
    found, scores = opened(precision)[0].search(queries, 50, among)
    assert found.shape == (200, len(among))
    assert np.all(np.sort(found, axis=1) == among)
    assert np.isfinite(scores).all()


def test_equal_vectors_come_in_the_order_of_their_rows(tmp_path):
    one = unit(np.ones((1, 16)))
    rows, _ = VectorIndex.build(np.repeat(one, 5, axis=0), "int8", 100.0, 1).search(one, 3)
    assert rows.tolist() == [[0, 1, 2]]

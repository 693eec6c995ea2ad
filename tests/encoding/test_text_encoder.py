"""Plain texts: prompts, truncation and normalization are those of the saved model, and those that a search applies."""

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from tiny_families import make_embedder

from triptych.encoding.text_encoder import TextEncoder, load_saved
from triptych.serving.numpy_encoder import TorchEncoder

TEXTS = ["sort", "Return the inverse of a matrix, or raise an error.", "the sum of the values over an axis " * 12]


@pytest.fixture(params=["bert", "modernbert", "qwen3"])
def folder(request, tmp_path):
    make_embedder(tmp_path / "plain", request.param, TEXTS)
    model = SentenceTransformer(str(tmp_path / "plain"), device="cpu")
    model.prompts = {"query": "sort the axis ", "document": "return a matrix "}
    model.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    return tmp_path / "model"


def test_queries_and_passages_have_the_vectors_of_the_model_itself(folder, tmp_path):
    model = load_saved(folder)
    encoder = TextEncoder(model, "fp32", "test")
    settings = {"normalize_embeddings": True, "show_progress_bar": False}
    np.testing.assert_allclose(encoder.queries(TEXTS), model.encode_query(TEXTS, **settings), atol=1e-5)
    passages = encoder.passages(TEXTS, tmp_path / "vectors")
    np.testing.assert_allclose(passages, model.encode_document(TEXTS, **settings), atol=1e-5)
    assert np.abs(passages - encoder.queries(TEXTS)).max() > 1e-3


def test_a_search_encodes_queries_the_same(folder):
    vectors = TextEncoder(load_saved(folder), "fp32", "test").queries(TEXTS)
    np.testing.assert_allclose(TorchEncoder(folder).encode(TEXTS), vectors, atol=1e-5)

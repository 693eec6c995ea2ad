"""Queries without PyTorch: only for models whose vectors were checked to be the same."""

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Dense
from tiny_families import FAMILIES, WIDTH, make_embedder

from triptych.encoding.numpy_encoder_check import numpy_encoder_settings
from triptych.serving.numpy_encoder import NumpyEncoder

TEXTS = ["sort", "Return the Inverse of a matrix, or raise an error.", "the sum of the values over an axis " * 9]


@pytest.fixture
def saved(tmp_path):
    """Save a tiny embedder; return its folder and the model that loads from it."""

    def call(family, *more, prompt=""):
        make_embedder(tmp_path, family, TEXTS, *more)
        model = SentenceTransformer(str(tmp_path), device="cpu")
        model.prompts = {"query": prompt, "document": ""}
        return tmp_path, model

    return call


@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_vectors_are_those_of_sentence_transformers(saved, family):
    folder, model = saved(family, prompt="query: ")
    settings = numpy_encoder_settings(folder, model)
    assert settings is not None
    assert settings.pooling == FAMILIES[family].pooling
    expected = model.encode_query(TEXTS, normalize_embeddings=True)
    vectors = NumpyEncoder(folder, settings).encode(TEXTS)
    assert vectors.dtype == np.float32
    assert np.abs(vectors - expected).max() < 1e-5


@pytest.mark.parametrize("family", ["distilbert", "mpnet", "modernbert", "qwen3"])
def test_other_families_are_left_to_sentence_transformers(saved, family):
    assert numpy_encoder_settings(*saved(family)) is None


def test_a_model_with_a_layer_after_its_pooling_is_left_too(saved):
    assert numpy_encoder_settings(*saved("bert", Dense(WIDTH, WIDTH))) is None


def test_a_model_with_other_vectors_is_left_too(saved):
    folder, model = saved("bert")
    assert numpy_encoder_settings(folder, model) is not None
    model[0].model.encoder.layer[1].output.dense.weight.data *= 1.1
    assert numpy_encoder_settings(folder, model) is None

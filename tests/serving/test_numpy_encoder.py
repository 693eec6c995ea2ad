"""`NumpyEncoder` encodes texts together, to the bit as each alone, and as the saved model does."""

import shutil

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from transformers import BertConfig, BertModel

from triptych.serving import numpy_encoder
from triptych.serving.numpy_encoder import NumpyEncoder, NumpyEncoderSettings

TEXTS = ["mask", "", "the inverse of rfft " * 40, "where a condition is met", "naïve 表", *map(str, range(40))] * 2


@pytest.fixture(scope="module")
def saved(tiny_model, tmp_path_factory):
    """A saved model of the usual width, whose products are not small."""
    folder = tmp_path_factory.mktemp("wide") / "model"
    shutil.copytree(tiny_model, folder)
    tiny = BertConfig.from_pretrained(folder)
    shape = {"hidden_size": 384, "intermediate_size": 768, "num_attention_heads": 6, "num_hidden_layers": 2}
    config = BertConfig(vocab_size=tiny.vocab_size, max_position_embeddings=64, initializer_range=0.3, **shape)
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("tokens", [100, 1024])
def test_texts_together_are_as_each_alone_and_as_the_saved_model(saved, monkeypatch, tokens):
    monkeypatch.setattr(numpy_encoder, "_TOKENS", tokens)
    encoder = NumpyEncoder(saved, NumpyEncoderSettings(64, "mean", "inverse "))
    batches = encoder._groups([len(encoder._ids("inverse " + text)) for text in TEXTS])
    assert max(map(len, batches)) > 1
    together = encoder.encode(TEXTS)
    assert np.array_equal(together, np.concatenate([encoder.encode([text]) for text in TEXTS]))
    model = SentenceTransformer(str(saved), device="cpu")
    expected = model.encode(TEXTS, prompt="inverse ", normalize_embeddings=True)
    assert np.abs(together - expected).max() < 1e-5
    for ours, text in zip(encoder.tokens(TEXTS[:5]), TEXTS, strict=False):
        theirs = model.encode(text, prompt="inverse ", output_value="token_embeddings").numpy()
        assert np.abs(ours - theirs / np.linalg.norm(theirs, axis=1, keepdims=True)).max() < 1e-5

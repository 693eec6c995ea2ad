"""Encoding texts of the token store: the model's own vectors, in order, each text once."""

import numpy as np
import pytest
import torch

from triptych.encoding import encode_texts
from triptych.encoding.encode_texts import encode
from triptych.errors import UserError
from triptych.models.loading import load_base
from triptych.tokens.token_store import open_store, write_store
from triptych.tokens.tokenizing import tokenize, truncate

MAX_LENGTH = 24


@pytest.fixture(scope="module")
def model(tiny_model, params_with):
    return load_base(params_with(**{"model.base": str(tiny_model)}).model)


@pytest.fixture(scope="module")
def texts(tiny_corpus):
    return [chunk.content[: 20 + 30 * (row % 9)] for row, chunk in enumerate(tiny_corpus.chunks)]


@pytest.fixture(scope="module")
def store(model, texts, params_with, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    rows = truncate(model.tokenizer, tokenize(model.tokenizer, texts, params_with().tokenize), MAX_LENGTH)
    metadata = {"max_length": MAX_LENGTH, "padding_side": "right", "pad_token_id": model.tokenizer.pad_token_id}
    write_store(folder, rows, metadata | {"tokenizer_sha256": "abc"})
    return open_store(folder, "abc")


@pytest.fixture
def batches(model, monkeypatch):
    """Make batches small, and record the lengths of the texts of each."""
    seen = []
    original = encode_texts.batches
    monkeypatch.setitem(encode_texts.TOKENS_PER_BATCH, model.device.type, 200)

    def recorded(lengths, tokens):
        for rows, size in original(lengths, tokens):
            seen.append([int(length) for length in lengths[rows]])
            assert size * (-(-max(seen[-1]) // 8) * 8) <= tokens
            yield rows, size

    monkeypatch.setattr(encode_texts, "batches", recorded)
    return seen


def test_vectors_are_those_of_the_model_itself(model, store, texts, batches):
    vectors = encode(model, store, np.arange(len(texts)), "fp32", "test")
    length, model.max_seq_length = model.max_seq_length, MAX_LENGTH
    own = model.encode(texts, show_progress_bar=False)
    model.max_seq_length = length
    assert len(batches) > 3
    assert abs(vectors - own).max() < 1e-5


def test_order_is_that_of_the_ids(model, store, texts, batches):
    ids = np.arange(len(texts))
    forward = encode(model, store, ids, "fp32", "test")
    assert encode(model, store, ids[::-1].copy(), "fp32", "test")[::-1] == pytest.approx(forward, abs=1e-6)
    assert abs(forward[0] - forward[1]).max() > 0.01


def test_repeated_text_is_encoded_once_and_its_vectors_are_equal(model, store, batches):
    vectors = encode(model, store, np.array([3, 1, 3, 3]), "fp32", "test")
    assert sum(len(batch) for batch in batches) == 2
    assert np.array_equal(vectors[0], vectors[2])
    assert np.array_equal(vectors[0], vectors[3])


def test_vectors_have_length_one_though_the_model_does_not_normalize(model, store, texts):
    bare = torch.nn.Sequential(*list(model)[:-1])
    bare.device, bare.get_embedding_dimension = model.device, model.get_embedding_dimension
    vectors = encode(bare, store, np.arange(len(texts)), "fp32", "test")
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert vectors.dtype == np.float32


def test_batches_begin_with_the_longest_and_stay_within_the_budget(model, store, texts, batches):
    encode(model, store, np.arange(len(texts)), "fp32", "test")
    lengths = [length for batch in batches for length in batch]
    assert lengths == sorted(lengths, reverse=True)
    assert sorted(lengths) == sorted(map(len, {tuple(store[row].tolist()) for row in range(len(texts))}))
    assert max(len(batch) * batch[0] for batch in batches) <= 200


def test_text_longer_than_the_budget_is_a_batch_of_its_own(model, store, monkeypatch):
    monkeypatch.setitem(encode_texts.TOKENS_PER_BATCH, model.device.type, 1)
    assert encode(model, store, np.array([0, 1]), "fp32", "test").shape == (2, 32)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_vector_of_a_text_does_not_depend_on_the_texts_beside_it(model, store, texts, precision):
    every = encode(model, store, np.arange(len(texts)), precision, "test")
    for some in (np.arange(3), np.arange(len(texts))[::-2], np.array([7])):
        assert encode(model, store, some, precision, "test").tobytes() == every[some].tobytes()


def test_vectors_that_are_not_finite_are_refused_with_the_remedy(store, tiny_model, params_with):
    broken = load_base(params_with(**{"model.base": str(tiny_model)}).model)
    with torch.no_grad():
        broken[0].model.embeddings.word_embeddings.weight[5:] = float("nan")
    with pytest.raises(UserError, match=r"mine: chunks: the model gives \d+ of 3 texts .* not finite"):
        encode(broken, store, np.arange(3), "fp32", "mine: chunks")


def test_no_texts_give_no_vectors(model, store):
    assert encode(model, store, np.array([], dtype=np.int64), "fp32", "test").shape == (0, 32)

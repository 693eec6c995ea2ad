"""A published model loads without Triptych, and is the one that was judged."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from triptych.artifacts import writing
from triptych.models.adapter import Blend
from triptych.models.loading import load_base
from triptych.models.publishing import publish

TEXTS = ["Compute the inverse of a matrix.", "Return the discrete Fourier transform", "sort"]


@pytest.fixture
def params(tiny_model, params_with):
    return lambda **changes: params_with(**{"model.base": str(tiny_model)} | changes).model


@pytest.fixture
def tuned(params):
    """Return a blend of the base with random changes of all its weights."""
    model = load_base(params())
    torch.manual_seed(1)
    return Blend(model, {name: 0.1 * torch.randn_like(one) for name, one in model.named_parameters()})


def vectors(model):
    return model.encode(TEXTS, show_progress_bar=False)


def test_published_model_loads_plainly_and_gives_the_same_vectors(tuned, params, tmp_path):
    publish(tuned, 0.5, tmp_path, "# Card\n")
    loaded = SentenceTransformer(str(tmp_path), device="cpu")
    assert vectors(loaded) == pytest.approx(vectors(tuned.at(0.5)), abs=1e-6)
    assert loaded.max_seq_length == tuned.model.max_seq_length
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == "# Card\n"


def test_published_folder_is_not_in_use_when_it_is_renamed(tuned, params, tmp_path):
    with writing(tmp_path / "embedder") as out:  # tests/windows_rules.py refuses it otherwise
        publish(tuned, 1.0, out, "")
    assert (tmp_path / "embedder/model.safetensors").exists()


def test_base_is_published_as_it_is(params, tmp_path):
    publish(Blend(load_base(params()), {}), 0.0, tmp_path, "")
    assert np.array_equal(vectors(SentenceTransformer(str(tmp_path), device="cpu")), vectors(load_base(params())))


def test_tuned_model_that_is_the_base_is_not_published(params, tmp_path):
    with pytest.raises(AssertionError, match="the tuned model gives the base model's vectors"):
        publish(Blend(load_base(params()), {}), 1.0, tmp_path, "")


def test_model_whose_file_is_not_what_is_in_memory_is_not_published(tuned, params, tmp_path):
    def turned(_module, _inputs, out):
        out["sentence_embedding"] = out["sentence_embedding"].flip(-1)

    tuned.model[2].register_forward_hook(turned)  # lost on the way to the disk
    with pytest.raises(AssertionError, match="does not give the vectors of the model in memory"):
        publish(tuned, 1.0, tmp_path, "")


def test_prompts_travel_with_the_model(tuned, params, tmp_path):
    prompts = {"model.query_prompt": "query: ", "model.passage_prompt": "passage: "}
    tuned.model.prompts = load_base(params(**prompts)).prompts
    publish(tuned, 1.0, tmp_path, "")
    loaded = SentenceTransformer(str(tmp_path), device="cpu")
    prefixed = loaded.encode([f"query: {text}" for text in TEXTS])
    assert loaded.encode_query(TEXTS) == pytest.approx(prefixed, abs=1e-6)
    assert loaded.encode_document(TEXTS) == pytest.approx(
        loaded.encode([f"passage: {text}" for text in TEXTS]), abs=1e-6
    )

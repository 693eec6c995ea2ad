"""Every model family: what an adapter is put on, and that prompts, pooling and padding survive from tokens to disk."""

import shutil

import numpy as np
import pytest
import tiny_families
import torch
from hand_made import TRAIN
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Dense
from transformers import AutoModel

from stages import tokenize_texts, train
from triptych.encoding.encode_texts import encode
from triptych.errors import UserError
from triptych.models.adapter import Blend, difference, make_trainable, save_trained
from triptych.models.loading import load_base, tokenizer_fingerprint
from triptych.models.lora_targets import FAMILIES, adapter_targets
from triptych.models.publishing import publish
from triptych.models.round_loading import load_round
from triptych.params.load import load_params
from triptych.tokens.token_store import open_store
from triptych.triplets.examples import read_texts

TOKENIZE = (
    "--texts data/triplets/texts --examples data/triplets/embedder"
    " --tokens data/tokens --round data/triplets/round0 --base models/base"
)


@pytest.fixture(scope="module")
def words(tiny_corpus):
    return [chunk.content for chunk in tiny_corpus.chunks]


@pytest.fixture
def project(prepared, tmp_path, write_params, monkeypatch, words):
    """Return a project folder whose base model is a tiny one of a family, run up to tokenize."""

    def make(family, **changes):
        shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
        tiny_families.make_embedder(tmp_path / "base", family, words)
        prompts = tiny_families.FAMILIES[family]
        fixed = {
            "model.base": "./base",
            "model.query_prompt": prompts.query_prompt,
            "model.passage_prompt": prompts.passage_prompt,
            "tokenize.max_length": 48,
            "train.batch_size": 8,
            "train.precision": "fp32",
            "train.loss": "softmax",
            "rounds.train.round0": {"previous": "base", "steps": 2, "learning_rate": 0.05},
        }
        path = write_params(tmp_path, **(fixed | changes))
        monkeypatch.chdir(tmp_path)
        tokenize_texts.main(TOKENIZE.split())
        return load_params(path)

    return make


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("family", tiny_families.FAMILIES)
def test_published_model_gives_plainly_what_was_trained_and_judged_on_the_token_store(project, tmp_path, family):
    params = project(family)
    train.main(TRAIN.split())
    base = load_base(params.model)
    store = open_store(tmp_path / "data/tokens", tokenizer_fingerprint(base))
    base.max_seq_length = store.metadata["max_length"]
    blend = Blend(load_base(params.model), difference(base, tmp_path / "models/round0"))
    tuned = blend.at(1.0)
    tuned.max_seq_length = base.max_seq_length
    (tmp_path / "published").mkdir()
    publish(blend, 1.0, tmp_path / "published", "# Card\n")

    plain = SentenceTransformer(str(tmp_path / "published"), device="cpu")
    roles, texts = read_texts(tmp_path / "data/triplets/texts")
    chosen = {role: [row for row, one in enumerate(roles) if one == role][:40] for role in ("query", "passage")}
    for role, embed in (("query", plain.encode_query), ("passage", plain.encode_document)):
        ours = encode(tuned, store, np.array(chosen[role]), "fp32", role)
        theirs = unit(embed([texts[row] for row in chosen[role]], show_progress_bar=False))
        assert abs(ours - theirs).max() < 1e-5, role
        assert abs(ours - encode(base, store, np.array(chosen[role]), "fp32", role)).max() > 1e-2
    lengths = store.lengths[chosen["passage"]]
    assert lengths.max() == 48 > lengths.min()  # some were cut, some are padded
    assert plain.tokenizer.padding_side == ("left" if tiny_families.FAMILIES[family].decoder else "right")
    assert plain[1].pooling_mode == tiny_families.FAMILIES[family].pooling


def test_stage_trains_on_a_quantized_base_with_checkpointing(project, tmp_path, caplog):
    changes = {"load_in": "4bit", "gradient_checkpointing": True, "attention": "sdpa", "optimizer": "adamw_8bit"}
    params = project("qwen3", **{f"train.{key}": value for key, value in changes.items()})
    train.main(TRAIN.split())
    assert [line for line in caplog.messages if line.startswith("train.")] == []
    change = difference(load_base(params.model), tmp_path / "models/round0")
    assert any(name.endswith("mlp.down_proj.weight") for name in change)
    assert load_round(tmp_path / "models/round0", params.model)[1].method == "lora"


def test_texts_of_a_decoder_end_with_the_token_it_pools_however_long_they_are(project, tmp_path):
    params = project("qwen3")
    base = load_base(params.model)
    store = open_store(tmp_path / "data/tokens", tokenizer_fingerprint(base))
    end = base.tokenizer("sort")["input_ids"][-1]
    assert {int(store[row][-1]) for row in range(len(store.lengths))} == {end}


def test_prompts_stand_before_the_tokens_of_each_role(project, tmp_path):
    params = project("xlm-roberta")
    tokenizer = load_base(params.model).tokenizer
    store = open_store(tmp_path / "data/tokens", tokenizer_fingerprint(load_base(params.model)))
    roles, _ = read_texts(tmp_path / "data/triplets/texts")
    for role in ("query", "passage"):
        opening = tokenizer(f"{role}: ")["input_ids"][:-1]
        rows = [row for row, one in enumerate(roles) if one == role]
        assert all(store[row][: len(opening)].tolist() == opening for row in rows)


def linear_layers(model):
    return {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}


@pytest.mark.parametrize("family", FAMILIES)
def test_auto_takes_every_linear_layer_of_the_blocks_and_nothing_else(family):
    with torch.device("meta"):
        model = AutoModel.from_config(tiny_families.config_of(family))
    ends = adapter_targets(model, "auto")
    taken = {name for name in linear_layers(model) if name.rpartition(".")[2] in ends and "pooler" not in name}
    left = linear_layers(model) - taken
    assert taken
    assert all("pooler" in name or name == "embeddings_project" for name in left)


def test_unknown_family_is_told_which_layers_there_are(params_with):
    with torch.device("meta"):
        model = AutoModel.from_config(tiny_families.config_of("phi3"))
    with pytest.raises(UserError, match=r"family 'phi3'.* down_proj, gate_up_proj, o_proj, qkv_proj; set train\.lora"):
        adapter_targets(model, "auto")
    assert adapter_targets(model, "all-linear") == "all-linear"
    assert adapter_targets(model, ["qkv_proj"]) == ["qkv_proj"]


@pytest.mark.parametrize(
    ("targets", "named"),
    [
        (["q_proj", "FAKE"], "q_proj, FAKE"),  # peft stops with a traceback
        (["query", "FAKE"], "FAKE"),  # peft ignores the second
        (["attention"], "attention"),  # a block, not a layer
        (["pooler.dense"], "pooler.dense"),  # never tuned beside an adapter
    ],
)
def test_targets_that_fit_no_layer_are_refused_with_those_that_exist(params_with, tiny_model, targets, named):
    params = params_with(**{"model.base": str(tiny_model), "train.lora.target_modules": targets})
    with pytest.raises(UserError) as error:
        make_trainable(load_base(params.model), params.train, None)
    assert str(error.value).startswith(f"train.lora.target_modules: {named}: no layer of this model")
    assert "its linear layers are dense, key, query, value;" in str(error.value)


@pytest.mark.parametrize("targets", [["query", "value"], ["attention.self.query", "value"]])
def test_targets_that_fit_are_adapted(params_with, tiny_model, targets):
    params = params_with(**{"model.base": str(tiny_model), "train.lora.target_modules": targets})
    model = load_base(params.model)
    make_trainable(model, params.train, None)
    adapted = {name.split(".lora_")[0] for name, _ in model.named_parameters() if ".lora_" in name}
    assert {name.rpartition(".")[2] for name in adapted} == {"query", "value"}


def test_auto_and_all_linear_are_the_same_adapter(params_with, tiny_model, tmp_path):
    weights = []
    for targets in ("auto", "all-linear"):
        params = params_with(**{"model.base": str(tiny_model), "train.lora.target_modules": targets})
        model = load_base(params.model)
        torch.manual_seed(3)
        make_trainable(model, params.train, None)
        (tmp_path / targets).mkdir()
        save_trained(model, params.train, tmp_path / targets)
        weights.append((tmp_path / targets / "adapter_model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_dense_layer_behind_the_transformer_is_not_trained_beside_an_adapter(params_with, words, tmp_path):
    tiny_families.make_embedder(tmp_path, "bert", words, Dense(tiny_families.WIDTH, 16))
    params = params_with(**{"model.base": str(tmp_path)})
    model = load_base(params.model)
    make_trainable(model, params.train, None)
    assert {name.partition(".")[0] for name, one in model.named_parameters() if one.requires_grad} == {"0"}

"""Cross-encoders of every family: their inputs, what trains in them, and that the saved one scores the same."""

import json

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder

from triptych.artifacts import writing
from triptych.errors import UserError
from triptych.models.loading import load_base
from triptych.params.load import load_params
from triptych.reranker.cross_encoder import load_reranker, pair_scores, probes, save_reranker
from triptych.reranker.pair_format import pair_store
from triptych.reranker.saved_reranker import model_of
from triptych.triplets.examples import read_texts

FAMILIES = ["fresh", "bert", "xlm-roberta", "modernbert", "qwen3"]
LENGTH = {"qwen3": 200}


@pytest.mark.parametrize("family", FAMILIES)
def test_pairs_are_those_of_the_model_itself(params_of, tmp_path, family):
    params = params_of(family)
    model = load_reranker(model_of(params))
    store = pair_store(
        model, tmp_path / "data/triplets/texts", tmp_path / "data/tokens", params, params.train_reranker.max_length
    )
    roles, texts = read_texts(tmp_path / "data/triplets/texts")
    queries, passages = ([row for row, role in enumerate(roles) if role == one] for one in ("query", "passage"))
    shortest = [min(rows, key=lambda row: len(texts[row])) for rows in (queries, passages)]
    pairs = np.array([*zip(queries[:40], passages[:40], strict=True), shortest])
    model.max_seq_length = params.train_reranker.max_length
    theirs, ours = model.preprocess([(texts[first], texts[second]) for first, second in pairs]), store.pad(pairs)
    width = theirs["input_ids"].shape[1]
    cut = slice(-width, None) if family == "qwen3" else slice(0, width)
    for name in ("input_ids", "attention_mask", *(["token_type_ids"] if family in {"fresh", "bert"} else [])):
        np.testing.assert_array_equal(ours[name][:, cut], theirs[name].numpy())
    lengths = store.lengths(pairs)
    assert lengths.max() == params.train_reranker.max_length > lengths.min()
    np.testing.assert_array_equal(lengths, theirs["attention_mask"].sum(dim=1).numpy())
    assert (store.opening > 0) == (family == "fresh")  # the embedder's own token store


@pytest.mark.parametrize("family", FAMILIES)
def test_adapter_and_head_train_in_float32_and_the_saved_model_scores_as_in_memory(short_lists, tmp_path, family):
    model, store, trained, weights, examples = short_lists(family)
    assert all(one.dtype == torch.float32 for one in weights.values())
    head = [name for name in weights if "modules_to_save" in name]
    assert bool(head) == (family != "qwen3")
    assert any("lora_" in name for name in weights)
    if family in {"fresh", "bert"}:
        assert {"pooler", "classifier"} == {name.split(".modules_to_save")[0].rpartition(".")[2] for name in head}
    assert len(trained.losses) == 4
    assert None not in trained.losses
    texts = read_texts(tmp_path / "data/triplets/texts")[1]
    pairs = probes(examples, texts)
    with writing(tmp_path / "saved") as out:  # which tests/windows_rules.py refuses if the saved file is still mapped
        assert save_reranker(model, store, pairs, out, "# Card\n") < 1e-5
    plain = CrossEncoder(str(tmp_path / "saved"), device="cpu")
    assert plain.max_seq_length == store.max_length
    scores = plain.predict(list(pairs.values()), activation_fn=torch.nn.Identity())
    np.testing.assert_allclose(scores, pair_scores(model, store, np.array(list(pairs)), "fp32", ""), atol=1e-4)
    untrained = pair_scores(load_reranker(model_of(load_params())), store, np.array(list(pairs)), "fp32", "")
    assert np.abs(scores - untrained).max() > 1e-3


def test_a_saved_reranker_with_other_scores_than_in_memory_is_an_error(short_lists, tmp_path, monkeypatch):
    model, store, _, _, examples = short_lists()
    pairs = probes(examples, read_texts(tmp_path / "data/triplets/texts")[1])
    moved = {pair: (second, first) for pair, (first, second) in pairs.items()}
    (tmp_path / "saved").mkdir()
    with pytest.raises(AssertionError, match="differ by"):
        save_reranker(model, store, moved, tmp_path / "saved", "# Card\n")


def test_a_reranker_trained_in_bf16_is_compared_in_float32(short_lists, tmp_path):
    model, store, _, _, examples = short_lists(**{"train.precision": "bf16"})
    with torch.no_grad():
        model[0].model.get_parameter("classifier.modules_to_save.default.weight").mul_(50.0)  # scores far apart
    pairs = probes(examples, read_texts(tmp_path / "data/triplets/texts")[1])
    (tmp_path / "saved").mkdir()
    assert save_reranker(model, store, pairs, tmp_path / "saved", "# Card\n") < 1e-5


def test_all_weights_train_with_method_full(short_lists):
    _, _, _, weights, _ = short_lists(**{"train_reranker.method": "full", "train_reranker.learning_rate": 1.0e-3})
    assert {"0.model.bert.pooler.dense.weight", "0.model.classifier.weight"} <= weights.keys()


def test_the_reranker_starts_with_the_weights_of_an_embedder(params_of):
    params = params_of("fresh")
    embedder = load_base(params.model)
    with torch.no_grad():
        embedder[0].model.encoder.layer[0].output.dense.weight.add_(1.0)
    started, plain = load_reranker(params.model, embedder), load_reranker(params.model)
    name = "encoder.layer.0.output.dense.weight"
    assert torch.equal(started[0].model.bert.state_dict()[name], embedder[0].model.state_dict()[name])
    assert not torch.equal(plain[0].model.bert.state_dict()[name], embedder[0].model.state_dict()[name])
    assert torch.equal(started[0].model.classifier.weight, plain[0].model.classifier.weight)


def test_a_decoder_computes_only_the_logits_of_the_last_token(params_of, tmp_path):
    params = params_of("qwen3")
    model = load_reranker(model_of(params))
    store = pair_store(model, tmp_path / "data/triplets/texts", tmp_path / "data/tokens", params, 200)
    seen = []
    model[1].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]["causal_logits"].shape[1]))
    pair_scores(model, store, np.array([[0, 1], [0, 2]]), "fp32", "")
    assert set(seen) == {1}


def test_a_chat_template_without_query_and_document_is_refused(params_of, tmp_path):
    params = params_of("qwen3")
    for path in ("chat_template.jinja",):
        (tmp_path / "qwen3" / path).write_text("{{ messages[0].content }}", encoding="utf-8")
    with pytest.raises(UserError, match="does not use the roles query and document"):
        pair_store(
            load_reranker(model_of(params)), tmp_path / "data/triplets/texts", tmp_path / "data/tokens", params, 200
        )


def test_tokens_that_begin_with_prompts_are_not_used_for_pairs(params_of, tmp_path):
    params, path = params_of("fresh"), tmp_path / "data/tokens/metadata.json"
    metadata = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(metadata | {"prompts": {"query": "query: ", "passage": ""}}), encoding="utf-8")
    model, length = load_reranker(model_of(params)), params.train_reranker.max_length
    assert pair_store(model, tmp_path / "data/triplets/texts", tmp_path / "data/tokens", params, length).opening == 0


def test_a_length_with_no_room_for_texts_is_refused(params_of, tmp_path):
    params = params_of("qwen3")
    with pytest.raises(UserError, match=r"guide_max_length: 24 tokens, of which the model needs"):
        pair_store(
            load_reranker(model_of(params)), tmp_path / "data/triplets/texts", tmp_path / "data/tokens", params, 24
        )


def test_a_missing_model_is_a_user_error(params_of):
    params = params_of("fresh", **{"train_reranker.base": "./nowhere"})
    with pytest.raises(UserError, match=r"\./nowhere is not a folder with a model"):
        load_reranker(model_of(params))


@pytest.mark.parametrize("family", ["fresh", "modernbert", "qwen3"])
def test_attention_and_checkpointing_of_section_train_hold_for_a_reranker_too(short_lists, family, caplog):
    model, _, trained, _, _ = short_lists(family, **{"train.gradient_checkpointing": True, "train.attention": "sdpa"})
    assert model[0].model.is_gradient_checkpointing
    assert model[0].model.config._attn_implementation == "sdpa"
    assert not [line for line in caplog.messages if "does not work here" in line]
    assert None not in trained.losses


def test_a_reranker_trains_compiled_and_is_saved_as_it_was(short_lists, caplog, monkeypatch):
    compiler, compiled, runs = torch.compile, [], []
    monkeypatch.setattr(torch, "compile", lambda *args, **kwargs: compiler(*args, **kwargs, backend="eager"))

    def touch(model):
        model.register_forward_pre_hook(lambda *_: compiled.append("forward" in vars(model[0].model)))

    for compiling in (False, True):
        model, _, trained, _, _ = short_lists("fresh", touch=touch, **{"train.torch_compile": compiling})
        runs.append(trained.losses)
        assert "forward" not in vars(model[0].model)
    assert any(compiled)
    assert not [line for line in caplog.messages if "does not work here" in line]
    assert runs[1] == pytest.approx(runs[0], rel=1e-5)

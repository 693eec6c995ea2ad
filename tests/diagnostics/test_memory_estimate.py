"""The memory estimate compared with the memory that a real model takes."""

import json

import pytest
import tiny_families
import torch
from transformers import AutoModel
from typer.testing import CliRunner

from triptych.cli import app
from triptych.diagnostics.memory_estimate import activations, empty_model, estimate
from triptych.models.adapter import make_trainable
from triptych.models.loading import load_base


@pytest.mark.parametrize("family", ["bert", "distilbert", "mpnet", "xlm-roberta", "modernbert", "qwen3"])
def test_activations_are_what_a_forward_pass_keeps_within_a_factor_of_1_5(family):
    config = tiny_families.config_of(family, num_hidden_layers=4)
    model = AutoModel.from_config(config, attn_implementation="eager").train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor  # held, so that its memory is not reused
        return tensor

    ids = torch.randint(1, 60, (16, 64))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = model(input_ids=ids, attention_mask=torch.ones_like(ids))
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    measured = sum(one.untyped_storage().nbytes() for pointer, one in kept.items() if pointer not in weights)
    assert out is not None
    assert 1 / 1.5 < activations(config, 16, 64, 4) / measured < 1.5


def test_weights_gradients_and_moments_are_those_of_training(params_with, tiny_model):
    params = params_with(**{"model.base": str(tiny_model), "train.precision": "fp32"})
    estimates = {one.method: one for one in estimate(empty_model(params.model), params.train, 8, 32)}
    for method in ("lora", "full"):
        model = load_base(params.model)
        everything = sum(parameter.numel() for parameter in model.parameters())
        make_trainable(model, params.train.model_copy(update={"method": method}), None)
        trained = sum(one.numel() for one in model.parameters() if one.requires_grad)
        assert estimates[method].trained == trained
        assert estimates[method].gradients == 4 * trained
        assert estimates[method].optimizer == 8 * trained
        assert estimates[method].weights == 4 * (everything + (trained if method == "lora" else 0))
    assert estimates["lora, 4bit base"].weights < estimates["lora, 8bit base"].weights < estimates["lora"].weights


@pytest.fixture
def estimated(tmp_path, monkeypatch, write_params, tiny_model):
    write_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    return lambda *more: CliRunner().invoke(app, ["estimate", str(tiny_model), *more])


def test_command_prints_what_fits(estimated):
    assert estimated("--memory", "16").output.count("yes") == 4
    assert estimated("--memory", "0.001").output.count("no") >= 4


def test_command_prints_bytes_as_json(estimated):
    one, more = (json.loads(estimated("--json", "--batch", size).stdout) for size in ("8", "16"))
    assert [row["method"] for row in one] == ["full", "lora", "lora, 8bit base", "lora, 4bit base"]
    assert [row["activations"] * 2 for row in one] == [row["activations"] for row in more]


def test_text_length_is_that_of_params_or_of_the_token_store(estimated, tmp_path, write_params):
    assert "96 texts of 128 tokens per batch" in estimated().output
    assert "96 texts of 32 tokens per batch" in estimated("--length", "32").output
    write_params(tmp_path, **{"tokenize.max_length": "auto"})
    assert "96 texts of 256 tokens per batch" in estimated().output
    metadata = tmp_path / "data/tokens/metadata.json"
    metadata.parent.mkdir(parents=True)
    metadata.write_text('{"max_length": 48}', encoding="utf-8")
    assert "96 texts of 48 tokens per batch" in estimated().output
    metadata.write_text("{", encoding="utf-8")
    assert estimated().stderr.startswith("error: data/tokens/metadata.json is damaged (")


@pytest.mark.parametrize(
    ("option", "value", "code"),
    [("--memory", "0", 1), ("--memory", "-4", 1), ("--memory", "nan", 1), ("--length", "0", 2), ("--batch", "-1", 2)],
)
def test_invalid_numbers_are_refused(estimated, option, value, code):
    result = estimated(option, value)
    assert result.exit_code == code
    assert option in result.stderr
    assert "Traceback" not in result.output


def test_missing_model_is_one_message(tmp_path, monkeypatch, write_params):
    write_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn/modules.json").write_text("[]", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    expected = "expected a folder with config.json or modules.json"
    for path, message in (
        ("./nowhere", f"MODEL: nowhere is missing; {expected}"),
        ("params.yaml", f"MODEL: params.yaml is a file; {expected}"),
        ("empty", f"MODEL: empty has neither config.json nor modules.json; {expected}"),
        ("torn", "torn: its config could not be read"),
    ):
        result = CliRunner().invoke(app, ["estimate", path])
        assert result.exit_code == 1
        assert result.stderr.startswith(f"error: {message}")

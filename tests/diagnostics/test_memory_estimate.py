"""The memory estimate compared with the memory that a real model takes."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
import tiny_families
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModel
from typer.testing import CliRunner

from benchmarks.memory import rows, shapes
from triptych.cli import app
from triptych.diagnostics.kept_activations import kept_for_backward, one_layer
from triptych.diagnostics.memory_estimate import GIB, empty_model, estimate
from triptych.models.adapter import make_trainable
from triptych.models.loading import base_weights, load_base
from triptych.models.precision import autocast
from triptych.training.fast.merged_lora import merged

FORMS = {
    "full": (torch.float32, "fp32", False, False),
    "full, autocast": (torch.float32, "bf16", False, False),
    "lora": (torch.float32, "bf16", True, True),
    "lora, library's layers": (torch.float32, "bf16", True, False),
    "lora, half-precision base": (torch.bfloat16, "bf16", True, False),
    "lora, half-precision base, no autocast": (torch.bfloat16, "fp32", True, False),
}  # dtype of the base, precision, adapter, merged LoRA layers


def transformer(config, dtype, lora):
    """Return a real or, on the meta device, an empty model that trains, without dropout."""
    model = AutoModel.from_config(config, dtype=dtype)
    if lora:
        settings = LoraConfig(
            r=8, target_modules="all-linear", exclude_modules=".*pooler.*" if "bert" in config.model_type else None
        )
        model = get_peft_model(model, settings)
    return model.eval()


def kept_bytes(model, precision, fast, texts, length):
    """Return what autograd keeps of a real forward pass, without the weights."""
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor  # held, so that its memory is not reused
        return tensor

    ids = torch.randint(1, 60, (texts, length))
    with (
        autocast(precision, torch.device("cpu")),
        merged(model) if fast else nullcontext(),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
    ):
        out = model(input_ids=ids)
    assert out is not None
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    return sum(one.untyped_storage().nbytes() for pointer, one in kept.items() if pointer not in weights)


@pytest.mark.parametrize(
    ("family", "form"),
    [
        *(("bert", form) for form in FORMS),
        *((family, "lora, half-precision base") for family in ("distilbert", "mpnet", "modernbert", "qwen3")),
        ("qwen3", "full, autocast"),
        ("modernbert", "lora"),
    ],
)
def test_activations_are_what_autograd_keeps_of_a_real_forward_pass(family, form):
    dtype, precision, lora, fast = FORMS[form]
    config = tiny_families.config_of(family, num_hidden_layers=12)
    measured = kept_bytes(transformer(config, dtype, lora), precision, fast, 16, 64)
    with torch.device("meta"):
        empty = transformer(one_layer(config, 64), dtype, lora)
    kept = kept_for_backward(empty, 12, 64, precision, fast=fast)
    assert kept.copies + 16 * kept.text == pytest.approx(measured, rel=0.1)


@pytest.mark.parametrize("family", ["bert", "qwen3"])
def test_with_checkpointing_the_inputs_of_the_layers_are_kept(params_with, family):
    config = tiny_families.config_of(family, num_hidden_layers=12)
    model = transformer(config, torch.float32, lora=False).train()
    model.activation_checkpointing_enable({"use_reentrant": True})  # this form of it shows autograd what it keeps
    measured = kept_bytes(model, "fp32", False, 16, 64)
    train = params_with(**{"train.precision": "fp32"}).train
    with torch.device("meta"):
        empty = AutoModel.from_config(config)
    full = estimate(empty, train, 16, 64)[0]
    layer = (full.activations - full.checkpointed) / 11  # all layers' activations but one
    assert full.checkpointed - layer == pytest.approx(measured, rel=0.5)
    assert full.checkpointed < 0.4 * full.activations


def test_weights_gradients_and_moments_are_those_of_training(params_with, tiny_model):
    params = params_with(**{"model.base": str(tiny_model), "train.precision": "fp32"})
    estimates = {one.method: one for one in estimate(empty_model(params.model), params.train, 8, 32)}
    forms = {"full": "full", "lora": "full", **{f"lora, {one} base": one for one in ("8bit", "4bit")}}
    for method, load_in in (forms | {"lora, half-precision base": "bf16"}).items():
        changes = {"method": method.partition(",")[0], "load_in": load_in}
        train = params.train.model_copy(update=changes)
        model = load_base(params.model, weights=base_weights(train))
        make_trainable(model, train, None)
        trained = sum(one.numel() for one in model.parameters() if one.requires_grad)
        assert estimates[method].trained == trained
        assert estimates[method].gradients == 4 * trained
        assert estimates[method].optimizer == 8 * trained
        in_memory = sum(one.nbytes for one in model.parameters())
        assert estimates[method].weights == pytest.approx(in_memory, rel=0.02 if "bit" in method else 0.0)


def test_more_tokens_than_a_micro_batch_take_no_more(params_with, tiny_model):
    params = params_with(**{"model.base": str(tiny_model), "train.micro_batch_tokens": 256})
    empty = empty_model(params.model)
    some, more = (estimate(empty, params.train, texts, 32)[1].activations for texts in (8, 800))
    assert 0 < some == more


def test_a_model_of_4_billion_weights_trains_in_16_gib_beside_a_base_in_half_precision(params_with):
    train = params_with(**{"train.micro_batch_tokens": 4096}).train
    with torch.device("meta"):
        model = AutoModel.from_config(shapes()["Qwen3-Embedding-4B"])
    estimates = {one.method: one.total_checkpointed / GIB for one in estimate(model, train, 128, 128)}
    assert estimates["lora"] > 16.0
    assert estimates["lora, half-precision base"] < 12.0
    assert estimates["lora, 4bit base"] < estimates["lora, 8bit base"] < estimates["lora, half-precision base"]


def test_table_of_the_docs_is_what_the_benchmark_prints():
    lines = list(rows("MiniLM-L6", shapes()["MiniLM-L6"], 16.0))
    text = (Path(__file__).parents[2] / "docs/benchmarks.md").read_text(encoding="utf-8")
    assert len(lines) == 5
    assert [line for line in lines if line not in text] == []


@pytest.fixture
def estimated(tmp_path, monkeypatch, write_params, tiny_model):
    write_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    return lambda *more: CliRunner().invoke(app, ["estimate", str(tiny_model), *more])


def test_command_prints_what_fits(estimated):
    assert estimated("--memory", "16").output.count("yes") == 10
    assert estimated("--memory", "0.001").output.count("no") >= 10


def test_command_prints_bytes_as_json(estimated):
    one, more = (json.loads(estimated("--json", "--batch", size).stdout) for size in ("8", "16"))
    assert [row["method"] for row in one] == [
        "full",
        "lora",
        "lora, half-precision base",
        "lora, 8bit base",
        "lora, 4bit base",
    ]
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

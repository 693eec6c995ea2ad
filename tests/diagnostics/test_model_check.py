"""`triptych diagnose`: damaged files, and the module where NaN or Inf begin."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from triptych.cli import app
from triptych.models.adapter import make_trainable, save_trained
from triptych.models.loading import describe, load_base
from triptych.models.round_record import RoundRecord, write_round_record

WEIGHT = "encoder.layer.1.intermediate.dense.weight"


@pytest.fixture
def model(tiny_model, tmp_path, monkeypatch, write_params):
    """Return a copy of the tiny model in a project folder."""
    shutil.copytree(tiny_model, tmp_path / "tiny")
    write_params(tmp_path, **{"model.base": "./tiny"})
    monkeypatch.chdir(tmp_path)
    return tmp_path / "tiny"


def diagnosed(folder):
    return CliRunner().invoke(app, ["diagnose", str(folder)])


def poison(file, name, value):
    weights = load_file(file)
    weights[name][0, 0] = value
    save_file(weights, file, metadata={"format": "pt"})


def test_intact_model_is_finite_everywhere(model):
    result = diagnosed(model)
    assert result.exit_code == 0
    assert "fp32: finite everywhere; embeddings: mean " in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_poisoned_weight_and_the_module_that_it_breaks_are_named(model, value):
    poison(model / "model.safetensors", WEIGHT, value)
    result = diagnosed(model)
    assert result.exit_code == 1
    assert f"{WEIGHT} contains 1 values that are NaN or Inf" in result.stderr
    assert (
        "fp32: the first module that outputs NaN or Inf is 0.model.encoder.layer.1.intermediate.dense" in result.stderr
    )


def test_weights_that_overflow_are_found_though_each_is_finite(model):
    poison(model / "model.safetensors", WEIGHT, 3e38)
    poison(model / "model.safetensors", "encoder.layer.1.output.dense.weight", 3e38)
    result = diagnosed(model)
    assert result.exit_code == 1
    assert "values that are NaN or Inf" not in result.stderr
    assert "the first module that outputs NaN or Inf is 0.model.encoder.layer.1." in result.stderr


def test_round_is_its_adapter_on_the_base(model, params_with, tmp_path):
    params = params_with(**{"model.base": "./tiny"})
    base = load_base(params.model)
    record = RoundRecord("lora", describe(params.model, base), 32, 1.0, "round0", None)
    make_trainable(base, params.train, None)
    folder = tmp_path / "models" / "round0"
    folder.mkdir(parents=True)
    save_trained(base, params.train, folder)
    write_round_record(folder, record)
    assert diagnosed(folder).exit_code == 0
    file = folder / "adapter_model.safetensors"
    name = next(name for name in load_file(file) if "layer.1" in name and "lora_B" in name and "query" in name)
    poison(file, name, torch.nan)
    result = diagnosed(folder)
    assert result.exit_code == 1
    assert name in result.stderr
    assert "NaN or Inf is 0.model.encoder.layer.1.attention.self.query" in result.stderr


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_file_that_cannot_be_read_is_named(model, damage):
    file = model / "model.safetensors"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    else:
        file.unlink()
    result = diagnosed(model)
    assert result.exit_code == 1
    assert ("model.safetensors: cannot be read" if damage == "cut" else "no weights (*.safetensors)") in result.stderr
    assert "Traceback" not in result.output


def test_missing_folder_is_one_message(model):
    result = diagnosed("nowhere")
    assert result.exit_code == 1
    assert result.stderr == "error: nowhere is not a folder with a model\n"

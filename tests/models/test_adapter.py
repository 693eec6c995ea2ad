"""What trains, what is kept of it, and how it is blended with the base."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from triptych.errors import UserError
from triptych.models.adapter import Blend, difference, make_trainable, save_trained
from triptych.models.loading import load_base

TEXTS = ["Compute the inverse of a matrix.", "Return the discrete Fourier transform", "sort"]
METHODS = ["lora", "full"]


@pytest.fixture
def base(tiny_model, params_with):
    params = params_with(**{"model.base": str(tiny_model)}).model
    return lambda: load_base(params)


@pytest.fixture
def settings(params_with):
    return lambda method="lora", **changes: (
        params_with(**{"train.method": method} | {f"train.{key}": value for key, value in changes.items()}).train
    )


@pytest.fixture
def trained(base, settings, tmp_path):
    """Return a model whose trainable weights were moved, and the folder where they were saved."""

    def make(method="lora", seed=1):
        model, folder = base(), tmp_path / f"{method}{seed}"
        torch.manual_seed(seed)
        make_trainable(model, settings(method), None)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.05 * torch.randn_like(parameter))
        folder.mkdir()
        save_trained(model, settings(method), folder)
        return model.eval(), folder

    return make


def vectors(model):
    return model.encode(TEXTS, show_progress_bar=False)


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def trainable(model):
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_only_the_adapter_trains_with_lora(base, settings):
    model = base()
    make_trainable(model, settings(), None)
    assert trainable(model)
    assert all("lora_" in name for name in trainable(model))


@pytest.mark.parametrize("method", METHODS)
def test_what_trains_is_float32_though_the_base_is_kept_in_half(base, settings, method):
    model = base()
    model[0].model.to(torch.bfloat16)
    make_trainable(model, settings(method), None)
    assert {parameter.dtype for parameter in trainable(model).values()} == {torch.float32}
    kept = {parameter.dtype for parameter in model.parameters() if not parameter.requires_grad}
    assert kept == {torch.bfloat16}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("modules", ["all-linear", ["query", "dense"]])
def test_pooler_that_no_bi_encoder_reads_does_not_train(base, settings, method, modules):
    model = base()
    make_trainable(model, settings(method, **{"lora.target_modules": modules}), None)
    assert [name for name, _ in model.named_parameters() if "pooler" in name]
    assert [name for name in trainable(model) if "pooler" in name] == []


def test_fresh_adapter_changes_nothing(base, settings):
    model = base()
    make_trainable(model, settings(), None)
    assert np.array_equal(vectors(model.eval()), vectors(base()))


@pytest.mark.parametrize("method", METHODS)
def test_round_continues_what_the_round_before_has_trained(base, settings, trained, method):
    before, folder = trained(method)
    model = base()
    make_trainable(model, settings(method), folder)
    assert equal(trainable(model), trainable(before))
    assert np.array_equal(vectors(model.eval()), vectors(before))


@pytest.mark.parametrize("method", METHODS)
def test_round_of_another_method_is_refused(base, settings, trained, method):
    _, folder = trained(method)
    other = METHODS[1 - METHODS.index(method)]
    with pytest.raises(UserError, match=f"was not trained with train.method: {other}"):
        make_trainable(base(), settings(other), folder)


def test_adapter_is_equal_bytes_under_any_hash_seed(base, settings, tiny_model, write_params, tmp_path):
    code = """
import sys, torch
from pathlib import Path
from triptych.params.load import load_params
from triptych.models.adapter import make_trainable, save_trained
from triptych.models.loading import load_base
params = load_params(Path(sys.argv[1]))
model = load_base(params.model)
torch.manual_seed(1)
make_trainable(model, params.train, None)
save_trained(model, params.train, Path(sys.argv[2]))
"""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    path = write_params(tmp_path, **{"model.base": str(tiny_model)})
    environment = os.environ | {"PYTHONHASHSEED": seed}
    subprocess.run([sys.executable, "-c", code, str(path), str(there)], env=environment, check=True, timeout=120)
    model = base()
    torch.manual_seed(1)
    make_trainable(model, settings(), None)
    save_trained(model, settings(), here)
    one, other = ({file.name: file.read_bytes() for file in folder.iterdir()} for folder in (here, there))
    assert one.keys() == {"adapter_config.json", "adapter_model.safetensors"}
    assert one == other


def test_saved_adapter_names_no_place_of_this_machine(trained, tiny_model):
    _, folder = trained()
    text = (folder / "adapter_config.json").read_text(encoding="utf-8")
    assert json.loads(text)["base_model_name_or_path"] is None
    assert str(tiny_model.parent) not in text


@pytest.mark.parametrize("method", METHODS)
def test_difference_leaves_the_base_as_it_was(base, trained, method):
    _, folder = trained(method)
    model, untouched = base(), base()
    difference(model, folder)
    assert equal(state(model), state(untouched))
    assert type(model[0].model) is type(untouched[0].model)


@pytest.mark.parametrize("method", METHODS)
def test_difference_holds_what_training_changed_and_nothing_else(base, trained, method):
    _, folder = trained(method)
    change = difference(base(), folder)
    assert change
    assert change.keys() <= base().state_dict().keys()
    assert all(value.any() and value.dtype == torch.float32 for value in change.values())
    assert [name for name in change if "pooler" in name] == []


@pytest.mark.parametrize("method", METHODS)
def test_strength_zero_is_the_base_exactly(base, trained, method):
    _, folder = trained(method)
    model = base()
    blend = Blend(model, difference(model, folder))
    blend.at(1.0)
    blend.at(0.3)
    assert equal(state(blend.at(0.0)), state(base()))


@pytest.mark.parametrize("method", METHODS)
def test_strength_one_is_the_tuned_model(base, trained, method):
    tuned, folder = trained(method)
    model = base()
    found = vectors(Blend(model, difference(model, folder)).at(1.0))
    assert found == pytest.approx(vectors(tuned), abs=1e-5)
    assert abs(found - vectors(base())).max() > 1e-2


def test_strength_is_the_scale_of_the_adapter(base, trained):
    tuned, folder = trained()
    for module in tuned[0].model.modules():
        if hasattr(module, "scale_layer"):
            module.scale_layer(0.25)
    model = base()
    found = vectors(Blend(model, difference(model, folder)).at(0.25))
    assert found == pytest.approx(vectors(tuned), abs=1e-5)
    assert abs(found - vectors(base())).max() > 1e-3


def test_blend_does_not_depend_on_the_strength_before(base, trained):
    _, folder = trained()
    model = base()
    blend = Blend(model, difference(model, folder))
    first = state(blend.at(0.5))
    blend.at(1.0)
    assert equal(state(blend.at(0.5)), first)


def test_folder_without_trained_weights_is_refused(base, tmp_path):
    with pytest.raises(UserError, match="was not trained with"):
        difference(base(), tmp_path)


def test_an_adapter_begins_the_same_in_every_process_and_leaves_chance_as_it_was(tiny_model, params_with):
    params = params_with(**{"model.base": str(tiny_model)})
    made = []
    for seed in (1, 2):
        model = load_base(params.model)
        torch.manual_seed(seed)
        make_trainable(model, params.train, None)
        made.append({name: one for name, one in model.named_parameters() if "lora_A" in name})
        after = torch.rand(1)
        torch.manual_seed(seed)
        assert torch.equal(after, torch.rand(1))
    assert all(torch.equal(one, made[1][name]) for name, one in made[0].items())

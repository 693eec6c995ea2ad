"""The form of a base model's weights: half precision and quantized, beside an adapter, and saved."""

import bitsandbytes
import numpy as np
import pytest
import torch
from peft import PeftModel
from sentence_transformers import SentenceTransformer

from triptych.errors import OutOfMemoryError, UserError
from triptych.models import loading
from triptych.models.adapter import AdapterBlend, make_trainable, save_trained
from triptych.models.loading import (
    base_weights,
    describe,
    encoder_parameters,
    load_base,
    load_frozen,
    load_without_weights,
)
from triptych.models.publishing import publish
from triptych.models.round_loading import load_base_of, load_merged, load_round
from triptych.models.round_record import RoundRecord, copy_round, read_round_record, write_round_record
from triptych.models.weight_form import FULL, WeightForm, form_of, saved_form
from triptych.training.fast.merged_lora import factors_of

TEXTS = ["Compute the inverse of a matrix.", "Return the discrete Fourier transform", "sort"]
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "8bit": torch.float32, "4bit": torch.float32}
FORMS = {load_in: WeightForm(load_in, str(dtype).removeprefix("torch.")) for load_in, dtype in DTYPES.items()}
LAYERS = {"8bit": bitsandbytes.nn.Linear8bitLt, "4bit": bitsandbytes.nn.Linear4bit}


@pytest.fixture
def params(tiny_model, params_with):
    return lambda **changes: params_with(**{"model.base": str(tiny_model), "train.precision": "fp32"} | changes)


@pytest.fixture
def trained_round(params, tmp_path):
    """Write a round that was trained beside a base in some form; return its folder, the params, and the model."""

    def make(load_in):
        settings = params(**{"train.load_in": load_in})
        model = load_frozen(settings.model, base_weights(settings.train))
        base, folder = describe(settings.model, model), tmp_path / load_in
        make_trainable(model, settings.train, None)
        torch.manual_seed(1)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    parameter.add_(0.1 * torch.randn_like(parameter))
        folder.mkdir()
        save_trained(model, settings.train, folder)
        record = RoundRecord("lora", base, 64, 1.0, load_in, None, form_of(model))
        write_round_record(folder, record)
        return folder, settings, model.eval()

    return make


def vectors(model):
    return np.float32(model.encode(TEXTS, show_progress_bar=False))


def likeness(one, other):
    return float((one * other).sum(axis=1).min())


@pytest.mark.parametrize("load_in", DTYPES)
def test_base_is_loaded_in_the_form_that_the_params_name(params, load_in):
    settings = params(**{"train.load_in": load_in})
    assert base_weights(settings.train) == FORMS[load_in]
    model = load_base(settings.model, weights=FORMS[load_in])
    assert form_of(model) == FORMS[load_in]
    layers = [one for one in model.modules() if type(one) in (torch.nn.Linear, *LAYERS.values())]
    assert len(layers) > 10
    if load_in in LAYERS:
        assert {type(one) for one in layers} == {LAYERS[load_in]}
    else:
        assert {one.weight.dtype for one in layers} == {DTYPES[load_in]}
    assert describe(settings.model, model) == describe(settings.model, load_base(settings.model))
    assert likeness(vectors(model), vectors(load_base(settings.model))) > (0.8 if load_in == "4bit" else 0.98)


def test_quantized_weights_have_the_dtype_of_the_precision_beside_them(params, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    settings = params(**{"train.load_in": "4bit", "train.precision": "bf16"})
    model = load_base(settings.model, weights=base_weights(settings.train))
    assert form_of(model) == WeightForm("4bit", "bfloat16")
    assert next(one for one in model.modules() if type(one) is LAYERS["4bit"]).compute_dtype == torch.bfloat16


@pytest.mark.parametrize("load_in", DTYPES)
def test_strength_scales_the_adapter_and_leaves_the_base_as_it_is(params, trained_round, load_in):
    folder, settings, trained = trained_round(load_in)
    blend, record = load_round(folder, settings.model)
    assert isinstance(blend, AdapterBlend)
    assert record.weights == form_of(blend.model) == FORMS[load_in]
    base = load_base(settings.model, weights=record.weights)
    assert np.array_equal(vectors(blend.model), vectors(trained))  # as it was trained, to the last bit
    half = vectors(blend.at(0.5))
    assert np.array_equal(vectors(blend.at(0.0)), vectors(base))
    assert np.array_equal(vectors(blend.at(0.5)), half)
    assert likeness(half, vectors(base)) < 0.9999 > likeness(half, vectors(trained))
    assert not any(one.requires_grad for one in blend.model.parameters())
    assert not any(factors_of(one) for one in blend.model.modules())  # merging would copy what was to be saved


@pytest.mark.parametrize("load_in", DTYPES)
def test_published_model_loads_plainly_in_half_precision_and_gives_what_was_evaluated(trained_round, tmp_path, load_in):
    folder, settings, trained = trained_round(load_in)
    out = tmp_path / "published"
    out.mkdir()
    publish(load_round(folder, settings.model)[0], 1.0, out, "# Card\n")
    loaded = SentenceTransformer(str(out), device="cpu")
    assert likeness(vectors(loaded), vectors(trained)) > 0.995
    assert {one.dtype for one in loaded.parameters()} == {DTYPES[load_in]}
    assert {type(one) for one in loaded.modules()} & {PeftModel, *LAYERS.values()} == set()
    assert saved_form(out).dtype == FORMS[load_in].dtype
    assert form_of(load_base(settings.model.model_copy(update={"base": str(out)}), weights=saved_form(out))) == (
        FORMS[load_in] if load_in not in LAYERS else FULL
    )


@pytest.mark.parametrize("load_in", ["bf16", "8bit", "4bit"])
def test_base_that_was_not_tuned_is_published_plainly_too(trained_round, tmp_path, load_in):
    folder, settings, _ = trained_round(load_in)
    (tmp_path / "published").mkdir()
    publish(load_base_of(folder, settings.model), 0.0, tmp_path / "published", "")
    loaded = SentenceTransformer(str(tmp_path / "published"), device="cpu")
    assert likeness(vectors(loaded), vectors(load_base(settings.model, weights=FORMS[load_in]))) > 0.995
    assert {type(one) for one in loaded.modules()} & set(LAYERS.values()) == set()


def test_merged_round_has_the_weights_of_the_base_by_their_names(trained_round):
    folder, settings, trained = trained_round("4bit")
    merged = load_merged(folder, settings.model)
    assert merged.state_dict().keys() == load_base(settings.model).state_dict().keys()
    assert likeness(vectors(merged), vectors(trained)) > 0.995


def test_published_model_that_is_not_the_one_in_memory_is_refused(trained_round, tmp_path):
    folder, settings, _ = trained_round("bf16")
    blend, _ = load_round(folder, settings.model)
    blend.model[0].model.disable_adapter_layers()  # what is evaluated is then not what is merged
    with pytest.raises(AssertionError, match="does not give the vectors of the model in memory"):
        publish(blend, 1.0, tmp_path, "")


@pytest.mark.parametrize("load_in", ["bf16", "fp16", "8bit"])
def test_frozen_base_cannot_train_itself(params, load_in):
    with pytest.raises(UserError, match=rf"load_in: {load_in} freezes the base model.* set method: lora"):
        params(**{"train.load_in": load_in, "train.method": "full"})


def test_record_of_a_full_base_is_written_as_before_and_that_of_another_form_is_read_back(tmp_path):
    record = RoundRecord("lora", {"base": "m"}, 64, 0.5, "round0", 0.6)
    write_round_record(tmp_path, record)
    assert "weights" not in (tmp_path / "round.json").read_text(encoding="utf-8")
    assert read_round_record(tmp_path) == record
    other = RoundRecord("base", {"base": "m"}, 64, 0.0, "base", None, FORMS["8bit"])
    write_round_record(tmp_path, other)
    assert read_round_record(tmp_path) == other


def test_base_that_takes_the_place_of_a_round_is_evaluated_in_the_form_of_the_params(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "round0").mkdir()
    write_round_record(tmp_path / "base", RoundRecord("base", {"base": "m"}, 64, 0.0, "base", None))
    assert copy_round(tmp_path / "round0", tmp_path / "base", FORMS["bf16"]).weights == FORMS["bf16"]
    assert read_round_record(tmp_path / "round0").weights == FORMS["bf16"]


def test_model_that_does_not_fit_is_one_message_that_names_what_to_set(params, monkeypatch):
    def no_room(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore")

    monkeypatch.setattr(loading, "SentenceTransformer", no_room)
    for load_in, remedy in (("full", "set train.load_in: bf16, 8bit or 4bit, or take"), ("4bit", "2.00 GiB); take")):
        settings = params(**{"train.load_in": load_in})
        with pytest.raises(OutOfMemoryError, match="does not fit into memory") as raised:
            load_frozen(settings.model, base_weights(settings.train))
        assert remedy in str(raised.value)
        assert "\n" not in str(raised.value)


def test_model_without_weights_has_the_tokenizer_and_the_shape(params):
    settings = params()
    empty, base = load_without_weights(settings.model), load_base(settings.model)
    assert {one.device.type for one in empty.parameters()} == {"meta"}
    assert describe(settings.model, empty) == describe(settings.model, base)
    assert encoder_parameters(empty) == encoder_parameters(base)
    assert (empty.max_seq_length, empty.prompts) == (base.max_seq_length, base.prompts)

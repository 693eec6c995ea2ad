"""Training steps for real, on a tiny model: every loss, method and optimizer moves what it should."""

import shutil

import pytest
import torch

from triptych.corpus.records import read_chunks
from triptych.errors import UserError
from triptych.models.adapter import Blend, difference, make_trainable, save_trained
from triptych.models.loading import load_base, tokenizer_fingerprint
from triptych.params.load import load_params
from triptych.params.sections import TrainRound
from triptych.tokens.token_store import open_store
from triptych.training.data.training_data import prepare_training_data
from triptych.training.loop.trainer import train
from triptych.triplets.examples import read_examples
from triptych.triplets.views import VIEWS


@pytest.fixture
def trained(prepared, tmp_path, write_params, monkeypatch):
    """Train a few steps with changed params; return the model before and after, and the curve."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def run(steps=12, learning_rate=0.01, negatives="stored", **changes):
        fixed = {"model.base": "./tiny", "train.batch_size": 8, "train.precision": "fp32", "train.loss": "softmax"}
        params = load_params(
            write_params(tmp_path, **(fixed | {f"train.{key}": value for key, value in changes.items()}))
        )
        model = load_base(params.model)
        store = open_store(tmp_path / "data/tokens", tokenizer_fingerprint(model))
        examples = read_examples(tmp_path / "data/triplets/round0/examples.parquet")
        make_trainable(model, params.train, None)
        round_params = TrainRound(previous="base", steps=steps, learning_rate=learning_rate, negatives=negatives)
        training_data = prepare_training_data(
            tmp_path / "data/corpus",
            tmp_path / "data/triplets/texts",
            store,
            examples,
            tmp_path / "models/base",
            params,
            round_params,
            1,
        )
        curve = train(model, training_data, params.train, learning_rate).curve
        out = tmp_path / "out"
        out.mkdir()
        save_trained(model, params.train, out)
        return difference(load_base(params.model), out), curve, params

    return run


@pytest.mark.parametrize("loss", ["triplet", "softmax"])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_training_changes_the_transformer_and_not_the_pooler(trained, loss, method):
    # At ten times the rate all weights together would collapse, and the run would end early.
    change, curve, _ = trained(loss=loss, method=method, learning_rate={"lora": 0.01, "full": 0.001}[method])
    assert change
    assert not [name for name in change if "pooler" in name]
    assert all(torch.isfinite(value).all() for value in change.values())
    assert [point.step for point in curve] == [10]


def test_in_batch_negatives_train_the_model_and_are_refused_for_triplet_loss(trained):
    _, curve, _ = trained(steps=150, negatives="batch")
    assert curve[-1].loss < 0.8 * curve[0].loss
    with pytest.raises(UserError, match=r"loss triplet needs stored negatives; set negatives: stored"):
        trained(negatives="batch", loss="triplet")


def test_phases_train_on_stored_negatives_in_the_first_round_too(prepared, asked_about, tiny_model, write_params):
    chunk = read_chunks(prepared / "data/corpus/chunks.parquet")[0]
    folder = asked_about([("How do I compute a transform?", chunk.chunk_id)])

    def data(phases, loss="auto"):
        views = {"train.loss": loss, "triplets.views": dict.fromkeys(VIEWS, 0.0) | {"lead": 0.5, "generated": 0.5}}
        params = load_params(write_params(folder, **{"model.base": "./tiny", "train.batch_size": 8} | views))
        store = open_store(folder / "data/tokens", tokenizer_fingerprint(load_base(params.model)))
        examples = read_examples(folder / "data/triplets/round0/examples.parquet")
        round_params = TrainRound(previous="base", steps=6, learning_rate=0.01, phases=phases)
        texts = folder / "data/triplets/texts"
        base = folder / "models/base"
        return prepare_training_data(folder / "data/corpus", texts, store, examples, base, params, round_params, 1)

    assert data([]).loss == "distill"
    phased = data(["easy", "hard"])
    assert phased.loss == "softmax"
    assert [set(phased.schedule.rows(batch)["tier"].tolist()) for batch in range(6)] == [{0}] * 3 + [{2}] * 3
    with pytest.raises(UserError, match=r"loss distill has none; set train\.loss: softmax"):
        data(["easy"], loss="distill")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"negatives": "batch"}, "phases: they choose among stored negatives; set negatives: stored"),
        ({"negatives": "stored", "steps": 2}, "phases: 3 phases need as many steps, got steps: 2"),
    ],
)
def test_phases_that_cannot_be_are_refused(write_params, tmp_path, changes, message):
    given = {f"rounds.train.round0.{name}": value for name, value in changes.items()}
    with pytest.raises(UserError, match=message):
        load_params(write_params(tmp_path, **given | {"rounds.train.round0.phases": ["easy", "medium", "hard"]}))


def test_eight_bit_adamw_trains_on_this_machine(trained):
    change, _, _ = trained(optimizer="adamw_8bit")
    assert change


def test_accumulated_batches_train_too(trained):
    change, _, _ = trained(gradient_accumulation_steps=2, steps=6)
    assert change


def test_the_same_seed_trains_the_same_weights(trained, tmp_path):
    first, _, _ = trained()
    shutil.rmtree(tmp_path / "out")
    torch.manual_seed(99)
    again, _, _ = trained()
    assert set(first) == set(again)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_nan_loss_stops_the_run_with_advice(trained, monkeypatch):
    monkeypatch.setattr("triptych.training.fast.grad_cache.normalize", lambda vectors, dim: vectors * float("nan"))
    with pytest.raises(UserError, match=r"3 steps in a row failed, the last is step 3: .* Lower learning_rate"):
        trained()


def test_a_nan_loss_under_deepspeed_stops_the_run_at_once(trained, monkeypatch):
    monkeypatch.setattr("triptych.training.fast.grad_cache.normalize", lambda vectors, dim: vectors * float("nan"))
    monkeypatch.setattr("triptych.training.recovery.step_guard.holds_whole_model", lambda accelerator: False)
    with pytest.raises(UserError, match=r"train: step 1: what came out is not finite; under DeepSpeed a step cannot"):
        trained()


def test_training_lowers_the_loss(trained):
    _, curve, _ = trained(steps=60, loss="softmax", curriculum=0.0)
    assert curve[-1].loss < curve[0].loss


def test_half_strength_is_half_of_the_change(trained):
    change, _, params = trained()
    base = load_base(params.model)
    before = {name: value.clone() for name, value in base.state_dict().items()}
    half = Blend(base, change).at(0.5).state_dict()
    assert all(torch.allclose(half[name], before[name] + 0.5 * value, atol=1e-6) for name, value in change.items())

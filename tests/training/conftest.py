"""Short runs of training for real, on the tiny model."""

import shutil
from typing import NamedTuple

import pytest

from triptych.training.trainer import Trained


class Ran(NamedTuple):
    """A run, and the weights that trained in it."""

    weights: dict
    trained: Trained
    model: object


@pytest.fixture
def short_run(prepared, tmp_path, write_params, monkeypatch):
    """Train a few steps with changed params: ``short_run(steps, checkpoints, **changes)``; may be called again."""
    from triptych.params_file import load_params
    from triptych.tokens.store import open_store
    from triptych.training.adapter import make_trainable
    from triptych.training.base import load_base, tokenizer_fingerprint
    from triptych.training.material import prepare
    from triptych.training.trainer import train
    from triptych.triplets.examples import read_examples

    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def run(steps=5, checkpoints=None, touch=None, learning_rate=0.001, **changes):
        fixed = {"model.base": "./tiny", "train.batch_size": 8, "train.precision": "fp32", "train.loss": "softmax"}
        changed = {f"train.{key}": value for key, value in changes.items()}
        params = load_params(write_params(tmp_path, **(fixed | changed)))
        model = load_base(params.model)
        store = open_store(tmp_path / "data/tokens", tokenizer_fingerprint(model))
        examples = read_examples(tmp_path / "data/triplets/round0/examples.parquet", "tokenize")
        make_trainable(model, params.train, None)
        material = prepare(tmp_path / "data/tokens", store, examples, tmp_path / "models/base", params, steps, 1)
        if touch is not None:
            touch(model)
        trained = train(model, material, params.train, learning_rate, checkpoints)
        weights = {name: one.detach().clone() for name, one in model.named_parameters() if one.requires_grad}
        return Ran(weights, trained, model)

    return run

"""Short real trainings of random models on the CPU and on a GPU; they need no stage, no model and no network.

`benchmarks.gpu` runs these tests on machines without the packages of the stages before training, and therefore without
the fixtures of ``tests/conftest.py``: use none of them here.
"""

from contextlib import contextmanager
from typing import NamedTuple

import pytest
import torch
from transformers import TrainerCallback

from benchmarks.gpu_workload import make_rows, write_model
from triptych.models.adapter import make_trainable
from triptych.params.sections import Model, Train
from triptych.training.loop.accelerations import load_to_train
from triptych.training.loop.trainer import TrainingResult, train


@contextmanager
def computing_on(name):
    """Compute on a device; on the CPU also where there is a GPU."""
    with pytest.MonkeyPatch.context() as patch:
        if name == "cpu":
            patch.setattr(torch.cuda, "is_available", lambda: False)
        yield


def _device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    with computing_on(request.param):
        yield torch.device(request.param)


CUDA = pytest.param("cuda", marks=pytest.mark.gpu)
device = pytest.fixture(params=["cpu", CUDA])(_device)
gpu = pytest.fixture(params=[CUDA])(_device)


class Ran(NamedTuple):
    """The result of a run, its model, and the weights that it trained."""

    trained: TrainingResult
    model: object
    weights: dict
    optimizer: object  # of the library, without accelerate's wrapper

    @property
    def losses(self):
        return torch.tensor(self.trained.losses)


class _Optimizer(TrainerCallback):
    def on_train_begin(self, args, state, control, optimizer, **kwargs):
        self.optimizer = optimizer.optimizer


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """Return the folder of a random model with a name of `benchmarks.gpu_workload.SHAPES`."""
    folder = tmp_path_factory.mktemp("models")
    return lambda name: write_model(name, folder / name)


@pytest.fixture
def short_run(model_folder):
    """Train some steps: ``short_run(shape, steps=..., touch=..., callbacks=..., rows=..., **changes of train)``."""

    def run(shape="tiny-bert", steps=6, learning_rate=1e-2, touch=None, callbacks=(), rows=None, **changes):
        settings = Train(**{"batch_size": 8, "precision": "fp32"} | changes)
        rows = rows or make_rows(shape, settings.batch_size, steps, 32, distinct=8)
        model = load_to_train(Model(base=str(model_folder(shape))), settings)
        make_trainable(model, settings, None)
        if touch is not None:
            touch(model)
        kept = _Optimizer()
        trained = train(model, rows.training_data, settings, learning_rate, callbacks=[kept, *callbacks])
        weights = {name: one.detach().cpu().clone() for name, one in model.named_parameters() if one.requires_grad}
        return Ran(trained, model, weights, kept.optimizer)

    return run


@pytest.fixture
def on_cpu():
    """Return a context in which everything computes on the CPU."""
    return lambda: computing_on("cpu")

"""Every switch of section ``train_reranker`` reaches what it is for: the stage is run, and what it used is compared.

Each row of `WIRES` fails if its key is ignored: the run with the plain params uses one thing, the other run another.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tiny_families
from torch import Tensor

from stages import train_reranker as stage
from triptych.params.sections import TrainReranker
from triptych.reranker.cross_encoder import has_fresh_head
from triptych.training.loop import trainer as trainer_module
from triptych.training.loop.trainer import RerankerTrainer

STAGE = (
    "--corpus data/corpus --texts data/triplets/texts --tokens data/tokens --round data/triplets/reranker0"
    " --retriever models/base --reranker models/reranker-candidate"
    " --metrics metrics/train_reranker.json --curve metrics/train_reranker.csv --checkpoints .checkpoints/reranker"
)
PLAIN = {
    "model.base": "./tiny",
    "train.precision": "fp32",
    "train_reranker.steps": 2,
    "train_reranker.batch_size": 24,  # so that pairs differ in length
    "train_reranker.max_length": 64,
}
RUNS: dict[str, dict[str, Any]] = {
    "plain": {},
    "other": {
        "train.weight_decay": 0.5,
        "train_reranker.seed": 14,
        "train_reranker.base": "./bert",
        "train_reranker.revision": "abc",
        "train_reranker.start": "base",
        "train_reranker.steps": 3,
        "train_reranker.learning_rate": 1.0e-3,
        "train_reranker.method": "lora",
        "train_reranker.batch_size": 3,
        "train_reranker.negatives": 4,
        "train_reranker.random": 2,
        "train_reranker.loss": "pointwise",
        "train_reranker.positive_weight": 2.5,
        "train_reranker.max_length": 40,
    },
    "untuned": {"tokenize.padding": "fixed", "train_reranker.start": "base", "train_reranker.steps": 1},
}


class Seen(NamedTuple):
    """What one run used."""

    trainer: RerankerTrainer
    steps: list[dict[str, Any]]  # of each call of `training_step`
    loaded: dict[str, Any]  # the model's settings, whether tuned weights were given, whether its head is new
    drawn: tuple[Any, ...]  # what the lists were drawn with: shape and seed


def observe(patch: pytest.MonkeyPatch, folder: Path) -> Seen:
    """Run the stage in a folder, with a trainer that takes notes."""
    steps: list[dict[str, Any]] = []
    trainers: list[RerankerTrainer] = []
    loaded: dict[str, Any] = {}
    drawn: list[tuple[Any, ...]] = []
    load, draw = stage.load_reranker, stage.draw_lists

    class Noting(RerankerTrainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            trainers.append(self)

        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
            trained = [name for name, one in self.model.named_parameters() if one.requires_grad]
            widths = [one["input_ids"].shape[1] for one in inputs["features"]]
            steps.append({"lists": tuple(inputs["rows"]["pairs"].shape), "widths": widths, "trained": trained})
            return super().training_step(model, inputs, num_items_in_batch)

    def noted(model: Any, tuned: Any = None, **kwargs: Any) -> Any:
        reranker = load(model, tuned, **kwargs)
        loaded.update(model=model, tuned=tuned is not None, fresh=has_fresh_head(reranker))
        return reranker

    def noted_draw(*args: Any) -> Any:
        drawn.append(args[-2:])
        return draw(*args)

    patch.setattr(trainer_module, "RerankerTrainer", Noting)
    patch.setattr(stage, "load_reranker", noted)
    patch.setattr(stage, "draw_lists", noted_draw)
    patch.chdir(folder)
    stage.main(STAGE.split())
    return Seen(trainers[0], steps, loaded, drawn[0])


@pytest.fixture(scope="module")
def seen(prepared: Path, tmp_path_factory: Any, write_params: Any, words: list[str]) -> Callable[[str], Seen]:
    """Run the stage with the params of a run in `RUNS`, once."""
    known: dict[str, Seen] = {}

    def call(name: str) -> Seen:
        if name not in known:
            folder = tmp_path_factory.mktemp(name)
            shutil.copytree(prepared, folder, dirs_exist_ok=True)
            tiny_families.make_reranker(folder / "bert", "bert", words)
            write_params(folder, **PLAIN | RUNS[name])
            with pytest.MonkeyPatch.context() as patch:
                known[name] = observe(patch, folder)
        return known[name]

    return call


def loss(seen: Seen) -> Any:
    return seen.trainer.grad_cache.loss


def weight_decay(seen: Seen) -> float:
    return seen.trainer.step_guard._optimizer.optimizer.param_groups[0]["weight_decay"]


# Param, run, what to compare, its value in the plain run, its value in that run.
WIRES: list[tuple[str, str, Callable[[Seen], Any], Any, Any]] = [
    ("seed", "other", lambda seen: seen.trainer.args.seed, 13, 14),
    ("seed", "other", lambda seen: seen.drawn[1], 13, 14),
    (
        "base",
        "other",
        lambda seen: (seen.loaded["model"].base, seen.loaded["fresh"]),
        ("./tiny", True),
        ("./bert", False),
    ),
    ("revision", "other", lambda seen: seen.loaded["model"].revision, None, "abc"),
    ("start", "untuned", lambda seen: seen.loaded["tuned"], True, False),
    ("steps", "other", lambda seen: len(seen.steps), 2, 3),
    ("learning_rate", "other", lambda seen: seen.trainer.args.learning_rate, 1.0e-4, 1.0e-3),
    ("method", "other", lambda seen: any("lora" in name for name in seen.steps[0]["trained"]), False, True),
    ("batch_size", "other", lambda seen: seen.steps[0]["lists"][0], 24, 3),
    ("negatives", "other", lambda seen: seen.steps[0]["lists"][1] - 1, 7, 4),
    ("random", "other", lambda seen: seen.drawn[0], (48, 7, 1), (9, 4, 2)),
    ("loss", "other", lambda seen: type(loss(seen)).__name__, "ListwiseLoss", "PointwiseLoss"),
    ("positive_weight", "other", lambda seen: getattr(loss(seen), "positive_weight", None), None, 2.5),
    ("max_length", "other", lambda seen: max(max(step["widths"]) for step in seen.steps), 64, 40),
    ("tokenize.padding", "untuned", lambda seen: {len(step["widths"]) for step in seen.steps} == {1}, False, True),
    ("train.weight_decay", "other", weight_decay, 0.01, 0.5),
]
PROVED_ELSEWHERE = {"ready": "tests/test_reranker_stages.py, where nothing is trained"}


@pytest.mark.parametrize(
    ("run", "probe", "plain", "changed"), [wire[1:] for wire in WIRES], ids=[f"{wire[0]}-{wire[1]}" for wire in WIRES]
)
def test_a_switch_reaches_what_it_is_for(seen, run, probe, plain, changed):
    assert probe(seen("plain")) == plain
    assert probe(seen(run)) == changed


def test_every_switch_is_proved():
    keys = {wire[0] for wire in WIRES if "." not in wire[0]} | PROVED_ELSEWHERE.keys()
    assert keys == set(TrainReranker.model_fields)

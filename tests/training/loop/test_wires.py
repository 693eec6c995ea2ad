"""Every switch of section ``train`` reaches the engine: stage ``train`` is run, and what it used is compared.

Each row of `WIRES` fails if its key is ignored: the run with the plain params uses one thing, the other run another.
"""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import bitsandbytes
import pytest
import torch
from hand_made import TRAIN
from transformers import PreTrainedModel

from stages import train as stage
from triptych.params.sections import Train
from triptych.training.loop import trainer as trainer_module
from triptych.training.loop.trainer import Trainer

STEPS = 2
PLAIN = {
    "train.batch_size": 8,
    "train.precision": "fp32",
    "train.loss": "softmax",
    "train.resample_every": 1,
    "train.strengths": [0.0, 1.0],
    "rounds.train.round0.steps": STEPS,
    "rounds.train.round0.negatives": "stored",
}
RUNS: dict[str, dict[str, Any]] = {
    "plain": {},
    "adapter": {
        "train.seed": 14,
        "train.lora.r": 2,
        "train.lora.alpha": 6,
        "train.lora.dropout": 0.25,
        "train.lora.target_modules": ["query"],
        "train.precision": "bf16",
        "train.optimizer": "adamw_8bit",
        "train.warmup_share": 0.5,
        "train.weight_decay": 0.5,
        "train.batch_size": 6,
        "train.micro_batch_tokens": 500,
        "train.gradient_accumulation_steps": 3,
        "train.load_in": "4bit",
        "train.attention": "sdpa",
        "train.gradient_checkpointing": True,
        "train.prefetch_batches": 2,
        "train.prefetch_workers": 3,
        "train.checkpoint_every": 3,
        "train.fused": False,
        "train.dropout": True,
        "train.loss": "triplet",
        "train.margin": 0.5,
        "train.resample_every": 2,
        "train.curriculum": 0.0,
        "train.strengths": [0.5],
        "tokenize.padding": "fixed",
    },
    "full": {
        "train.method": "full",
        "train.torch_compile": True,
        "train.temperature": 0.5,
        "train.mask_above": 0.25,
        "train.eval_every": 1,
        "train.eval_share": 1.0,
        "train.eval_metrics": ["ndcg@10"],
        "train.patience": 1,
        "train.rebalance": True,
        "train.stored_negatives": 2,
        "train.matryoshka": [8],
        "train.mine_every": 1,
        "rounds.train.round0.learning_rate": 1e-9,  # so that dev stays as it is
        "rounds.train.round0.phases": ["easy", "hard"],
    },
    "distill": {
        "train.loss": "distill",
        "train.distill.max_steps": 1,
        "train.distill.batch_size": 12,
        "train.distill.temperature": 0.25,
        "tokenize.padding": "fixed",
    },
}


class Seen(NamedTuple):
    """What one run used."""

    trainer: Trainer
    steps: list[dict[str, Any]]  # of each call of `training_step`
    moves: list[dict[str, Any]]  # keyword arguments with which batches were moved to the device
    folder: Path
    placed: list[Any]  # ``device_map`` of each model that was loaded


def observe(patch: pytest.MonkeyPatch, folder: Path) -> Seen:
    """Run the stage in a folder, with a trainer that takes notes."""
    seen = Seen(None, [], [], folder, [])  # type: ignore[arg-type]
    trainers: list[Trainer] = []
    move, load = trainer_module.send_to_device, PreTrainedModel.from_pretrained.__func__

    class Noting(Trainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            trainers.append(self)
            self.model[0].register_forward_pre_hook(self.note_forward)

        def note_forward(self, *_: Any) -> None:
            if torch.is_grad_enabled():
                dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
                seen.steps[-1]["dtypes"].add(dtype)

        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
            transformer = self.model[0].model
            seen.steps.append(
                {
                    "anchors": len(inputs["rows"]["anchor"]),
                    "widths": [one["input_ids"].shape[1] for one in inputs["features"]],
                    "tiers": inputs["rows"].get("tier", torch.empty(0)).unique().tolist(),
                    "checkpointing": transformer.is_activation_checkpointing,
                    "compiled": "forward" in vars(transformer),
                    "attention": transformer.config._attn_implementation,
                    "quantized": sum(isinstance(m, bitsandbytes.nn.Linear4bit) for m in self.model.modules()),
                    "trained": [name for name, one in self.model.named_parameters() if one.requires_grad],
                    "dropout": max(
                        m.p
                        for n, m in self.model.named_modules()
                        if isinstance(m, torch.nn.Dropout) and "lora" not in n
                    ),
                    "dtypes": set(),
                }
            )
            return super().training_step(model, inputs, num_items_in_batch)

    def moved(batch: Any, *args: Any, **kwargs: Any) -> Any:
        seen.moves.append(kwargs)
        return move(batch, *args, **kwargs)

    def loaded(cls: Any, *args: Any, **kwargs: Any) -> Any:
        seen.placed.append(kwargs.get("device_map"))
        return load(cls, *args, **kwargs)

    patch.setattr(PreTrainedModel, "from_pretrained", classmethod(loaded))
    patch.setattr(trainer_module, "Trainer", Noting)
    patch.setattr(trainer_module, "send_to_device", moved)
    patch.chdir(folder)
    stage.main(TRAIN.split())
    return seen._replace(trainer=trainers[0])


@pytest.fixture(scope="module")
def seen(prepared: Path, tmp_path_factory: Any, write_params: Any) -> Callable[[str], Seen]:
    """Run the stage with the params of a run in `RUNS`, once."""
    known: dict[str, Seen] = {}

    def call(name: str) -> Seen:
        if name not in known:
            folder = tmp_path_factory.mktemp(name)
            shutil.copytree(prepared, folder, dirs_exist_ok=True)
            write_params(folder, **{"model.base": "./tiny"} | PLAIN | RUNS[name])
            with pytest.MonkeyPatch.context() as patch:
                compiler = torch.compile
                patch.setattr(torch, "compile", lambda *args, **kwargs: compiler(*args, **kwargs, backend="eager"))
                patch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
                known[name] = observe(patch, folder)
        return known[name]

    return call


def lora(seen: Seen) -> Any:
    return seen.trainer.model[0].model.peft_config["default"]


def schedule(seen: Seen) -> Any:
    return seen.trainer.loader._schedule


def loss(seen: Seen) -> Any:
    return seen.trainer.grad_cache.loss


def dev(seen: Seen) -> Any:
    (callback,) = [one for one in seen.trainer.callback_handler.callbacks if hasattr(one, "stop_reason")]
    return callback


def mined(seen: Seen) -> list[int]:
    return [line["step"] for line in seen.trainer.state.log_history if "mined" in line]


def optimizer(seen: Seen) -> Any:
    return seen.trainer.step_guard._optimizer.optimizer


def of_steps(name: str) -> Callable[[Seen], Any]:
    """Return what all steps had in common."""

    def probe(seen: Seen) -> Any:
        assert all(step[name] == seen.steps[0][name] for step in seen.steps)
        return seen.steps[0][name]

    return probe


def strengths(seen: Seen) -> set[str]:
    with (seen.folder / "metrics/train/round0/strengths.csv").open(encoding="utf-8") as lines:
        return {row["strength"] for row in csv.DictReader(lines)}


# Param, run, what to compare, its value in the plain run, its value in that run.
WIRES: list[tuple[str, str, Callable[[Seen], Any], Any, Any]] = [
    ("seed", "adapter", lambda seen: seen.trainer.args.seed, 13, 14),
    ("seed", "adapter", lambda seen: schedule(seen)._seed - crc32(b"round0"), 13, 14),
    ("method", "full", lambda seen: any("lora" in name for name in seen.steps[0]["trained"]), True, False),
    ("lora", "adapter", lambda seen: (lora(seen).r, lora(seen).lora_alpha), (8, 16), (2, 6)),
    ("lora", "adapter", lambda seen: lora(seen).lora_dropout, 0.0, 0.25),
    ("lora", "adapter", lambda seen: len(seen.steps[0]["trained"]), 24, 4),
    ("precision", "adapter", of_steps("dtypes"), {torch.float32}, {torch.bfloat16}),
    ("optimizer", "adapter", lambda seen: type(optimizer(seen)).__module__.partition(".")[0], "torch", "bitsandbytes"),
    ("optimizer", "adapter", lambda seen: getattr(getattr(optimizer(seen), "args", None), "optim_bits", 32), 32, 8),
    ("warmup_share", "adapter", lambda seen: seen.trainer.args.get_warmup_steps(100), 10, 50),
    ("weight_decay", "adapter", lambda seen: optimizer(seen).param_groups[0]["weight_decay"], 0.01, 0.5),
    ("batch_size", "adapter", of_steps("anchors"), 8, 6),
    ("micro_batch_tokens", "adapter", lambda seen: seen.trainer.grad_cache.token_budget, 65536, 500),
    ("gradient_accumulation_steps", "adapter", lambda seen: len(seen.steps) / STEPS, 1, 3),
    ("load_in", "adapter", lambda seen: seen.steps[0]["quantized"] > 0, False, True),
    ("load_in", "adapter", lambda seen: seen.placed[0], None, {"": "cpu"}),  # quantized weights one by one
    ("load_in", "adapter", lambda seen: all(one == seen.placed[0] for one in seen.placed), True, True),
    ("attention", "adapter", of_steps("attention"), "eager", "sdpa"),
    ("gradient_checkpointing", "adapter", of_steps("checkpointing"), False, True),
    ("torch_compile", "full", of_steps("compiled"), False, True),
    ("torch_compile", "full", lambda seen: seen.trainer.grad_cache._fused, True, False),
    ("prefetch_batches", "adapter", lambda seen: seen.trainer.loader._ahead, 4, 2),
    ("prefetch_workers", "adapter", lambda seen: len(seen.trainer.loader._producers._threads), 1, 3),
    ("checkpoint_every", "adapter", lambda seen: seen.trainer.args.save_steps, 20, 3),
    ("fused", "adapter", lambda seen: seen.trainer.grad_cache._fused, True, False),
    ("dropout", "adapter", of_steps("dropout"), 0.0, 0.1),
    ("loss", "adapter", lambda seen: type(loss(seen)).__name__, "SoftmaxLoss", "TripletLoss"),
    ("loss", "distill", lambda seen: type(loss(seen)).__name__, "SoftmaxLoss", "DistillLoss"),
    ("margin", "adapter", lambda seen: getattr(loss(seen), "margin", None), None, 0.5),
    ("temperature", "full", lambda seen: loss(seen).temperature, 0.05, 0.5),
    ("mask_above", "full", lambda seen: loss(seen).mask_above, None, 0.25),
    ("stored_negatives", "full", lambda seen: schedule(seen)._rows_per_anchor, 1, 2),
    ("mine_every", "full", mined, [], [1]),
    ("matryoshka", "full", lambda seen: loss(seen).sizes, [], [8]),
    ("distill", "distill", lambda seen: loss(seen).temperature, 0.05, 0.25),
    ("distill", "distill", lambda seen: (len(seen.steps), seen.steps[0]["anchors"]), (2, 8), (1, 12)),
    ("resample_every", "adapter", lambda seen: schedule(seen).segment_ends, [1, 2], [6]),
    (
        "curriculum",
        "adapter",
        lambda seen: schedule(seen).weights(0) == schedule(seen)._sampler.mix,
        False,
        True,
    ),
    ("eval_every", "full", lambda seen: dev(seen).steps, [], [1, 2]),
    (
        "eval_metrics",
        "full",
        lambda seen: list(dev(seen).points[0]["dev"]) if dev(seen).points else [],
        [],
        ["mrr@10", "ndcg@10"],
    ),
    ("patience", "full", lambda seen: (len(seen.steps), bool(dev(seen).stop_reason)), (2, False), (1, True)),
    ("rebalance", "full", lambda seen: len(schedule(seen)._decisions), 0, 1),
    ("strengths", "adapter", strengths, {"0", "1"}, {"0", "0.5"}),
    ("tokenize.padding", "adapter", lambda seen: {len(step["widths"]) for step in seen.steps} == {1}, False, True),
    ("tokenize.padding", "distill", lambda seen: {len(step["widths"]) for step in seen.steps} == {1}, False, True),
    ("rounds.phases", "full", lambda seen: seen.steps[0]["tiers"], [0, 1, 2], [0]),
]
PROVED_ELSEWHERE = {
    "start_from": "test_next_month.py, where something was published before",
    "old_examples": "test_next_month.py, where some examples were learned from before",
    "eval_share": "test_early_stopping.py, whose evaluations cost something",
    "sides": "test_query_side.py, where passages keep the base model's vectors",
}


@pytest.mark.parametrize(
    ("run", "probe", "plain", "changed"), [wire[1:] for wire in WIRES], ids=[f"{wire[0]}-{wire[1]}" for wire in WIRES]
)
def test_a_switch_reaches_the_engine(seen, run, probe, plain, changed):
    assert probe(seen("plain")) == plain
    assert probe(seen(run)) == changed


def test_every_switch_is_proved():
    assert {wire[0] for wire in WIRES if "." not in wire[0]} | PROVED_ELSEWHERE.keys() == set(Train.model_fields)


def test_batches_are_moved_without_waiting(seen):
    run = seen("plain")
    assert len(run.moves) == len(run.steps)
    assert all(move == {"non_blocking": True} for move in run.moves)


def test_compiled_forward_is_undone_at_the_end(seen):
    assert "forward" not in vars(seen("full").trainer.model[0].model)


@pytest.fixture
def fp16_on_a_cpu(monkeypatch):
    """Let a CPU compute in fp16 as accelerate lets a GPU: where it is asked to, by autocast with a GradScaler."""
    create = Trainer.create_accelerator_and_postprocess
    monkeypatch.setattr(trainer_module, "resolve_precision", lambda wanted, device: wanted)

    def with_scaler(self: Trainer) -> None:
        create(self)
        if self.accelerator.mixed_precision == "fp16":
            self.accelerator.native_amp = True
            self.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120, backoff_factor=2.0**-110)

    monkeypatch.setattr(Trainer, "create_accelerator_and_postprocess", with_scaler)


def test_fp16_computes_under_autocast_and_a_grad_scaler(prepared, tmp_path, write_params, monkeypatch, fp16_on_a_cpu):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    write_params(tmp_path, **{"model.base": "./tiny"} | PLAIN | {"train.precision": "fp16"})
    run = observe(monkeypatch, tmp_path)
    assert all(step["dtypes"] == {torch.float16} for step in run.steps)
    scaler = run.trainer.accelerator.scaler
    assert scaler is not None
    assert scaler.get_scale() == 2.0**10  # the first step overflowed, was skipped, and lowered the scale
    assert run.trainer.step_guard.faults.incidents().scaler_skips == 1
    assert run.trainer.step_guard._schedule.last_epoch == STEPS - 1

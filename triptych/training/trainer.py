"""Training on sentence-transformers' trainer: our schedule, collator and losses; its loop."""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import send_to_device
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from torch import Tensor, nn
from transformers import TrainerCallback

from triptych.errors import UserError
from triptych.params import Train
from triptych.training.batches import Batch
from triptych.training.engine import Engine
from triptych.training.loader import Loader
from triptych.training.losses import ContrastiveLoss, DistillLoss, SoftmaxLoss, TripletLoss
from triptych.training.material import Material
from triptych.training.options import apply_options
from triptych.training.precision import resolve_optimizer, resolve_precision
from triptych.training.watching import StepLog

_LOG_EVERY = 10


@dataclass(frozen=True, slots=True)
class LossPoint:
    """Mean loss of the steps since the last point."""

    step: int
    loss: float


@dataclass(frozen=True, slots=True)
class Trained:
    """How a run went."""

    curve: list[LossPoint]
    steps: list[dict[str, Any]]  # lines of the log: step, loss, learning_rate, active_<tier>, weight_<tier>


class _Curve(TrainerCallback):
    """Collects the loss curve and stops a run that has become NaN, which the trainer would hide."""

    def __init__(self) -> None:
        self.points: list[LossPoint] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Keep the loss of a training log line."""
        if logs is None or "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise UserError(
                f"training: the loss is {logs['loss']} at step {state.global_step};"
                " lower learning_rate in rounds.train, or set train.precision: fp32"
            )
        self.points.append(LossPoint(state.global_step, logs["loss"]))


class Trainer(SentenceTransformerTrainer):
    """The library's loop over our batches: its checkpoints, processes and trackers; our schedule and engine."""

    def __init__(
        self, model: SentenceTransformer, material: Material, loss: ContrastiveLoss, params: Train, **kwargs: Any
    ) -> None:
        # The library gives the optimizer what it finds in the loss.
        trained = nn.ModuleDict({"model": model, "loss": loss})
        super().__init__(model=model, data_collator=material.collator, loss=trained, **kwargs)
        self.engine = Engine(loss, self.accelerator, params.micro_batch_tokens)
        self.loader = Loader(
            material.schedule,
            material.collator,
            self._batches_seen,
            params.prefetch_batches,
            params.prefetch_workers,
            pinned=self.args.device.type == "cuda",
        )

    def get_train_dataloader(self) -> Loader:
        """Return the batches of the schedule, from the step that the state stands at."""
        return self.loader

    def _batches_seen(self) -> int:
        return self.state.global_step * self.args.gradient_accumulation_steps

    def training_step(self, model: nn.Module, inputs: Batch, num_items_in_batch: Any = None) -> Tensor:
        """Add the gradients of a batch; return its loss, detached."""
        model.train()
        batch = send_to_device(inputs, self.args.device, non_blocking=True)
        loss = self.engine.backward(model, batch, 1 / self.current_gradient_accumulation_steps)
        return loss / self.current_gradient_accumulation_steps


def train(
    model: SentenceTransformer,
    material: Material,
    params: Train,
    learning_rate: float,
    callbacks: Sequence[TrainerCallback] = (),
) -> Trained:
    """Train a prepared model on scheduled rows, in their order."""
    place = torch.device(model.device)
    precision = resolve_precision(params.precision, place)
    if not params.dropout:
        _without_dropout(model)
    apply_options(model, params)
    model.model_card_data.generate_widget_examples = False  # it would decode tokens that no one reads
    loss = make_loss(params, material.loss)
    curve, steps = _Curve(), StepLog(loss, material)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            model,
            material,
            loss,
            params,
            args=_arguments(Path(scratch), params, learning_rate, precision, place, material),
            callbacks=[curve, steps, *callbacks],
        )
        try:
            trainer.train()
        finally:
            trainer.loader.close()
    model.eval()
    return Trained(curve.points, steps.rows)


def make_loss(params: Train, loss: str) -> ContrastiveLoss:
    """Return the loss of a name; raise KeyError on an unknown one."""
    return {
        "softmax": lambda: SoftmaxLoss(params.temperature, params.mask_above),
        "triplet": lambda: TripletLoss(params.margin),
        "distill": lambda: DistillLoss(params.distill.temperature),
    }[loss]()


def _arguments(
    scratch: Path, params: Train, learning_rate: float, precision: str, place: torch.device, material: Material
) -> SentenceTransformerTrainingArguments:
    return SentenceTransformerTrainingArguments(
        output_dir=str(scratch),
        max_steps=material.steps,
        per_device_train_batch_size=material.schedule.batch_size,
        gradient_accumulation_steps=params.gradient_accumulation_steps,
        learning_rate=learning_rate,
        warmup_steps=params.warmup_share,
        weight_decay=params.weight_decay,
        optim=resolve_optimizer(params.optimizer, place),
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=place.type == "cpu",
        ddp_find_unused_parameters=False,  # it allows one forward a step, and a batch takes several
        ignore_data_skip=True,  # the loader begins where it must
        logging_steps=_LOG_EVERY,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        seed=params.seed,
    )


def _without_dropout(model: SentenceTransformer) -> None:
    """Set every dropout of the base model to 0."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout) and "lora" not in name:
            module.p = 0.0
        for attribute in ("attention_dropout", "dropout_prob"):
            if isinstance(getattr(module, attribute, None), float):
                setattr(module, attribute, 0.0)

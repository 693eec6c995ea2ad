"""Training on sentence-transformers' trainer: our schedule, collator and losses; its loop."""

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import torch
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.sampler import DefaultBatchSampler
from torch.utils.data import SequentialSampler
from transformers import TrainerCallback

from triptych.errors import UserError
from triptych.params import Train
from triptych.training.losses import ContrastiveLoss, DistillLoss, SoftmaxLoss, TripletLoss
from triptych.training.material import Material
from triptych.training.options import apply_options
from triptych.training.precision import resolve_optimizer, resolve_precision

_LOG_EVERY = 10


@dataclass(frozen=True, slots=True)
class LossPoint:
    """Mean loss of the steps since the last point."""

    step: int
    loss: float


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


def train(model: SentenceTransformer, material: Material, params: Train, learning_rate: float) -> list[LossPoint]:
    """Train a prepared model on scheduled rows, in their order; return the loss curve."""
    place = torch.device(model.device)
    precision = resolve_precision(params.precision, place)
    if not params.dropout:
        _without_dropout(model)
    apply_options(model, params)
    model.model_card_data.generate_widget_examples = False  # it would decode tokens that no one reads
    datasets.disable_caching()
    curve = _Curve()
    with tempfile.TemporaryDirectory() as scratch:
        trainer = SentenceTransformerTrainer(
            model=model,
            args=_arguments(Path(scratch), params, learning_rate, precision, place, material),
            train_dataset=datasets.Dataset.from_dict(material.rows),
            data_collator=material.collator,
            loss=make_loss(model, params, material.loss),
            callbacks=[curve],
        )
        trainer.train()
    model.eval()
    return curve.points


def make_loss(model: SentenceTransformer, params: Train, loss: str) -> ContrastiveLoss:
    """Return the loss of a name; raise KeyError on an unknown one."""
    return {
        "softmax": lambda: SoftmaxLoss(model, params.temperature),
        "triplet": lambda: TripletLoss(model, params.margin),
        "distill": lambda: DistillLoss(model, params.distill.temperature),
    }[loss]()


def _arguments(
    scratch: Path, params: Train, learning_rate: float, precision: str, place: torch.device, material: Material
) -> SentenceTransformerTrainingArguments:
    return SentenceTransformerTrainingArguments(
        output_dir=str(scratch),
        max_steps=material.steps,
        per_device_train_batch_size=params.rows_per_step(material.loss),
        gradient_accumulation_steps=params.gradient_accumulation_steps,
        learning_rate=learning_rate,
        warmup_steps=params.warmup_share,
        weight_decay=params.weight_decay,
        optim=resolve_optimizer(params.optimizer, place),
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=place.type == "cpu",
        dataloader_pin_memory=place.type == "cuda",
        dataloader_drop_last=True,
        batch_sampler=_in_order,  # the schedule is the order
        logging_steps=_LOG_EVERY,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        seed=params.seed,
    )


def _in_order(dataset: datasets.Dataset, batch_size: int, drop_last: bool, **_: Any) -> DefaultBatchSampler:
    return DefaultBatchSampler(SequentialSampler(dataset), batch_size=batch_size, drop_last=drop_last)


def _without_dropout(model: SentenceTransformer) -> None:
    """Set every dropout of the base model to 0."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout) and "lora" not in name:
            module.p = 0.0
        for attribute in ("attention_dropout", "dropout_prob"):
            if isinstance(getattr(module, attribute, None), float):
                setattr(module, attribute, 0.0)

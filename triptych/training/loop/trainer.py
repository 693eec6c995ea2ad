"""Training on sentence-transformers' trainers: our schedule, collators and losses; their loop."""

import logging
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import send_to_device
from safetensors.torch import load_file, save_file
from sentence_transformers import (
    CrossEncoder,
    CrossEncoderTrainer,
    CrossEncoderTrainingArguments,
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.trainer import BaseTrainer
from torch import Tensor, nn
from transformers import PrinterCallback, TrainerCallback

from triptych.errors import UserError
from triptych.models.precision import resolve_optimizer, resolve_precision
from triptych.params.sections import Train
from triptych.training.data.collator import Batch
from triptych.training.data.prefetch import BatchLoader
from triptych.training.data.training_data import TrainingData
from triptych.training.fast.grad_cache import GradCache
from triptych.training.fast.malloc import keep_freed_memory
from triptych.training.loop.accelerations import apply_options
from triptych.training.loop.progress_callback import ProgressCallback
from triptych.training.loop.step_metrics import StepMetrics
from triptych.training.losses import ContrastiveLoss, DistillLoss, SoftmaxLoss, TripletLoss
from triptych.training.recovery.checkpoints import last_checkpoint, load_states, whole_checkpoint, write_states
from triptych.training.recovery.fault_log import FAULTS, FaultLog, Incidents
from triptych.training.recovery.out_of_memory import MemoryLadder
from triptych.training.recovery.step_guard import Recovery

log = logging.getLogger(__name__)
_LOG_EVERY = 10
_WEIGHTS, _CALLBACKS = "trained.safetensors", "callbacks.json"


@dataclass(frozen=True, slots=True)
class LossPoint:
    """Mean loss of the steps since the last point."""

    step: int
    loss: float


@dataclass(frozen=True, slots=True)
class Trained:
    """How a run went."""

    losses: list[float | None]  # of each step; None where it was left out
    steps: list[dict[str, Any]]  # of each point of the curve: step, loss, cosine, learning_rate, active_, weight_<tier>
    incidents: Incidents
    watched: dict[str, float | None]  # in the first and the last batch: mean cosine of texts, or deviation of scores

    @property
    def curve(self) -> list[LossPoint]:
        """Return the mean loss of every ten steps."""
        return _curve(self.losses)


class Loop(BaseTrainer):
    """The library's loop over our batches: its processes and trackers; our schedule, engine, recovery, checkpoints."""

    def __init__(
        self,
        model: SentenceTransformer | CrossEncoder,
        material: TrainingData,
        loss: ContrastiveLoss,
        params: Train,
        faults: Path | None,
        **kwargs: Any,
    ) -> None:
        # The library gives the optimizer what it finds in the loss.
        trained = nn.ModuleDict({"model": model, "loss": loss})
        super().__init__(model=model, data_collator=material.collator, loss=trained, **kwargs)
        zero = self.accelerator.state.deepspeed_plugin
        if self.is_fsdp_enabled or (zero is not None and zero.zero_stage == 3):
            raise UserError(
                "train: weights divided over processes (FSDP, ZeRO-3) are not gathered when they are saved; launch with"
                " plain `accelerate launch` or configs/zero2.yaml"
            )
        self.engine = GradCache(loss, self.accelerator, params.micro_batch_tokens)
        self.loader = BatchLoader(
            material.schedule,
            material.collator,
            self._batches_seen,
            params.prefetch_batches,
            params.prefetch_workers,
            pinned=self.args.device.type == "cuda",
        )
        self._folder = Path(self.args.output_dir)
        self.recovery = Recovery(
            self.engine,
            self.accelerator,
            MemoryLadder(model, self.engine),
            FaultLog(faults, self.is_world_process_zero()),
            lambda batch: send_to_device(batch, self.args.device, non_blocking=True),
            material.schedule.rows,
        )
        self.add_callback(self.recovery)
        self.remove_callback(PrinterCallback)
        self.add_callback(ProgressCallback)

    def get_train_dataloader(self) -> BatchLoader:
        """Return the batches of the schedule, from the step that the state stands at."""
        return self.loader

    def _batches_seen(self) -> int:
        return self.state.global_step * self.args.gradient_accumulation_steps

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Return the optimizer, with its steps guarded."""
        optimizer = super().create_optimizer(model)
        self.recovery.guard(optimizer)
        return optimizer

    def training_step(self, model: nn.Module, inputs: Batch, num_items_in_batch: Any = None) -> Tensor:
        """Add the gradients of a batch; return its share of the step's loss, detached."""
        model.train()
        return self.recovery.backward(model, inputs, 1 / self.current_gradient_accumulation_steps)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        name, first = f"checkpoint-{self.state.global_step}", self.is_world_process_zero()
        with whole_checkpoint(Path(self.args.output_dir), name, first) as self._folder:
            self.accelerator.wait_for_everyone()
            super()._save_checkpoint(model, trial)
            if first:
                write_states(self._folder / name / _CALLBACKS, self.callback_handler.callbacks)
            self.accelerator.wait_for_everyone()

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._folder)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Save the weights that train, all of them exactly; the rest is the base model's."""
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        every = self.recovery.memory.stands_on_trained
        kept = {name: one for name, one in self.model.named_parameters() if one.requires_grad or every}
        save_file({name: one.detach().cpu().contiguous() for name, one in kept.items()}, folder / _WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        load_states(folder / _CALLBACKS, self.callback_handler.callbacks)
        weights = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, saved in load_file(folder / _WEIGHTS).items():
                weights[name].copy_(saved)


class Trainer(Loop, SentenceTransformerTrainer):
    """The loop for embedders."""


class RerankerTrainer(Loop, CrossEncoderTrainer):
    """The loop for cross-encoders."""


def train(
    model: SentenceTransformer | CrossEncoder,
    material: TrainingData,
    params: Train,
    learning_rate: float,
    checkpoints: Path | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    loss: ContrastiveLoss | None = None,
) -> Trained:
    """Train a prepared model on scheduled rows, in their order, by ``loss`` or the one that the material names.

    A run that was killed goes on from its last checkpoint in ``checkpoints``, a folder for this run alone; None keeps
    none. Beside the folder lies ``faults.jsonl``, what went wrong. Raise `UserError` where the run cannot go on.
    """
    place = torch.device(model.device)
    precision = resolve_precision(params.precision, place)
    if place.type == "cpu":
        keep_freed_memory()
    if not params.dropout:
        _without_dropout(model)
    apply_options(model, params)
    model.model_card_data.generate_widget_examples = False  # it would decode tokens that no one reads
    loss = loss or make_loss(params, material.loss)
    steps = StepMetrics(loss, material)
    with nullcontext(checkpoints) if checkpoints else tempfile.TemporaryDirectory() as place_of_run:
        folder = Path(place_of_run)
        last = last_checkpoint(folder)
        args = _arguments(model, folder, params, learning_rate, precision, material)
        if checkpoints is not None:
            args.set_save(strategy="steps", steps=params.checkpoint_every)
            if last is None:
                (checkpoints.parent / FAULTS).unlink(missing_ok=True)
        trainer = (RerankerTrainer if isinstance(model, CrossEncoder) else Trainer)(
            model,
            material,
            loss,
            params,
            checkpoints.parent / FAULTS if checkpoints else None,
            args=args,
            callbacks=[steps, *callbacks],
        )
        if last is not None:
            log.warning("train: going on from %s", last)
        try:
            trainer.train(resume_from_checkpoint=str(last) if last else None)
        finally:
            trainer.loader.close()
    recovery = trainer.recovery
    recovery.memory.finish()
    model.eval()
    points = _curve(recovery.losses)
    return Trained(
        recovery.losses,
        [
            {"loss": point.loss, "cosine": recovery.cosines[point.step - 1]}
            | steps.until(point.step, point.step - _LOG_EVERY)
            for point in points
        ],
        recovery.faults.incidents(),
        {"first": recovery.collapse.start, "last": recovery.collapse.last},
    )


def _curve(losses: list[float | None]) -> list[LossPoint]:
    points = []
    for end in range(_LOG_EVERY, len(losses) + 1, _LOG_EVERY):
        known = [one for one in losses[end - _LOG_EVERY : end] if one is not None]
        if known:
            points.append(LossPoint(end, sum(known) / len(known)))
    return points


def make_loss(params: Train, loss: str) -> ContrastiveLoss:
    """Return the loss of a name; raise KeyError on an unknown one."""
    return {
        "softmax": lambda: SoftmaxLoss(params.temperature, params.mask_above),
        "triplet": lambda: TripletLoss(params.margin),
        "distill": lambda: DistillLoss(params.distill.temperature),
    }[loss]()


def _arguments(
    model: SentenceTransformer | CrossEncoder,
    folder: Path,
    params: Train,
    learning_rate: float,
    precision: str,
    material: TrainingData,
) -> SentenceTransformerTrainingArguments | CrossEncoderTrainingArguments:
    place = torch.device(model.device)
    of_library = (
        CrossEncoderTrainingArguments if isinstance(model, CrossEncoder) else SentenceTransformerTrainingArguments
    )
    return of_library(
        output_dir=str(folder),
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
        ddp_find_unused_parameters=False,  # all are used, and looking for others forbids several forwards a step
        ignore_data_skip=True,  # the loader begins where it must
        logging_steps=_LOG_EVERY,
        disable_tqdm=True,  # `ProgressCallback` stands in
        save_strategy="no",
        report_to="none",
        seed=params.seed,
    )


def _without_dropout(model: nn.Module) -> None:
    """Set every dropout of the base model to 0."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout) and "lora" not in name:
            module.p = 0.0
        for attribute in ("attention_dropout", "dropout_prob"):
            if isinstance(getattr(module, attribute, None), float):
                setattr(module, attribute, 0.0)

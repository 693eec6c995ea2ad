"""Training with sentence-transformers' trainers: their loop with our schedule, collators and losses."""

import logging
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
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

from triptych.models.precision import Precision, resolve_precision
from triptych.params.sections import Train
from triptych.training.data.batch import Batch
from triptych.training.data.batch_schedule import DrawnSchedule
from triptych.training.data.prefetch import BatchLoader
from triptych.training.data.training_data import TrainingData
from triptych.training.distributed import refuse_sharded_weights
from triptych.training.fast.grad_cache import GradCache
from triptych.training.fast.malloc import keep_freed_memory
from triptych.training.loop.accelerations import apply_options, restore_forward
from triptych.training.loop.mining_in_round import MiningInRound
from triptych.training.loop.optimizer_and_schedule import optimizer_arguments
from triptych.training.loop.progress_callback import ProgressCallback
from triptych.training.loop.step_metrics import StepMetrics
from triptych.training.losses import ContrastiveLoss, DistillLoss, SoftmaxLoss, TripletLoss
from triptych.training.recovery.checkpoints import atomic_checkpoint, last_checkpoint, load_states, write_states
from triptych.training.recovery.fault_log import FAULTS, FaultLog, Incidents
from triptych.training.recovery.out_of_memory import MemoryLadder
from triptych.training.recovery.step_guard import StepGuard

log = logging.getLogger(__name__)
_LOG_EVERY = 10
_WEIGHTS, _CALLBACKS = "trained.safetensors", "callbacks.json"


@dataclass(frozen=True, slots=True)
class LossPoint:
    """Mean loss of the steps since the last point."""

    step: int
    loss: float


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Losses and metrics of a run."""

    losses: list[float | None]  # of each step; None if it was skipped
    steps: list[dict[str, Any]]  # of each point of the curve: step, loss, cosine, learning_rate, active_, weight_<tier>
    incidents: Incidents
    collapse: dict[str, float | None]  # "first" and "last" batch: mean cosine of texts, or deviation of scores
    mined: list[dict[str, Any]] = field(default_factory=list)  # of each mining: step, share of new hard negatives

    @property
    def curve(self) -> list[LossPoint]:
        """Return the mean loss of every ten steps."""
        return _curve(self.losses)


class TrainingLoop(BaseTrainer):
    """The library's training loop over our batches, with our gradients, recovery and checkpoints."""

    def __init__(
        self,
        model: SentenceTransformer | CrossEncoder,
        training_data: TrainingData,
        loss: ContrastiveLoss,
        params: Train,
        faults: Path | None,
        fused: bool,
        **kwargs: Any,
    ) -> None:
        # The library optimizes the parameters that it finds in the loss.
        optimized = nn.ModuleDict({"model": model, "loss": loss})
        super().__init__(model=model, data_collator=training_data.collator, loss=optimized, **kwargs)
        refuse_sharded_weights(self.accelerator, self.is_fsdp_enabled)
        self.grad_cache = GradCache(loss, self.accelerator, params.micro_batch_tokens, fused)
        self.loader = BatchLoader(
            training_data.schedule,
            training_data.collator,
            self._batches_seen,
            params.prefetch_batches,
            params.prefetch_workers,
            self.args.device,
        )
        self._folder = Path(self.args.output_dir)
        self.step_guard = StepGuard(
            self.grad_cache,
            self.accelerator,
            MemoryLadder(model, self.grad_cache),
            FaultLog(faults, self.is_world_process_zero()),
            lambda batch: send_to_device(batch, self.args.device, non_blocking=True),
            training_data.schedule.rows,
        )
        self.add_callback(self.step_guard)
        self.remove_callback(PrinterCallback)
        self.add_callback(ProgressCallback(lambda: self.step_guard.losses, _LOG_EVERY))

    def get_train_dataloader(self) -> BatchLoader:
        """Return the batches of the schedule, from the current step on."""
        return self.loader

    def _batches_seen(self) -> int:
        return self.state.global_step * self.args.gradient_accumulation_steps

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Return the optimizer, whose steps recover from running out of memory."""
        optimizer = super().create_optimizer(model)
        self.step_guard.guard_optimizer(optimizer)
        return optimizer

    def training_step(self, model: nn.Module, inputs: Batch, num_items_in_batch: Any = None) -> Tensor:
        """Add the gradients of a batch; return its share of the step's loss, detached."""
        model.train()
        return self.step_guard.backward(model, inputs, 1 / self.current_gradient_accumulation_steps)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        name, main = f"checkpoint-{self.state.global_step}", self.is_world_process_zero()
        with atomic_checkpoint(Path(self.args.output_dir), name, main) as self._folder:
            self.accelerator.wait_for_everyone()
            super()._save_checkpoint(model, trial)
            if main:
                write_states(self._folder / name / _CALLBACKS, self.callback_handler.callbacks)
            self.accelerator.wait_for_everyone()

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._folder)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Save the weights that train in full precision; the others are the base model's."""
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_all = self.step_guard.memory.on_trained_weights
        weights = {name: one for name, one in self.model.named_parameters() if one.requires_grad or save_all}
        save_file({name: one.detach().cpu().contiguous() for name, one in weights.items()}, folder / _WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        load_states(folder / _CALLBACKS, self.callback_handler.callbacks)
        weights = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, saved in load_file(folder / _WEIGHTS).items():
                weights[name].copy_(saved)


class Trainer(TrainingLoop, SentenceTransformerTrainer):
    """The training loop for embedders."""


class RerankerTrainer(TrainingLoop, CrossEncoderTrainer):
    """The training loop for cross-encoders."""


def train(
    model: SentenceTransformer | CrossEncoder,
    training_data: TrainingData,
    params: Train,
    learning_rate: float,
    checkpoints: Path | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    loss: ContrastiveLoss | None = None,
) -> TrainingResult:
    """Train a trainable model on scheduled rows, in order, with ``loss`` or the one that the training data names.

    A run that was killed continues from its last checkpoint in ``checkpoints``, a folder for this run alone; None
    writes no checkpoints. What went wrong is appended to ``faults.jsonl`` beside that folder. Raise `UserError` if the
    run cannot continue.
    """
    device = torch.device(model.device)
    precision = resolve_precision(params.precision, device)
    if device.type == "cpu":
        keep_freed_memory()
    if not params.dropout:
        _without_dropout(model)
    compiled = apply_options(model, params)
    if compiled and params.fused:
        log.warning("train.torch_compile: compiled; the layers of train.fused are off, since they cannot be compiled")
    model.model_card_data.generate_widget_examples = False  # they are not used, and would be decoded from tokens
    loss = loss or make_loss(params, training_data.loss)
    steps = StepMetrics(loss, training_data)
    mining: list[MiningInRound] = []
    if training_data.miner is not None and isinstance(training_data.schedule, DrawnSchedule):
        mining = [MiningInRound(training_data.schedule, training_data.miner, training_data.steps, params)]
    with nullcontext(checkpoints) if checkpoints else tempfile.TemporaryDirectory() as run_folder:
        folder = Path(run_folder)
        last = last_checkpoint(folder)
        args = _arguments(model, folder, params, learning_rate, precision, training_data)
        if checkpoints is not None:
            args.set_save(strategy="steps", steps=params.checkpoint_every)
            if last is None:
                (checkpoints.parent / FAULTS).unlink(missing_ok=True)
        trainer = (RerankerTrainer if isinstance(model, CrossEncoder) else Trainer)(
            model,
            training_data,
            loss,
            params,
            checkpoints.parent / FAULTS if checkpoints else None,
            params.fused and not compiled,
            args=args,
            callbacks=[steps, *mining, *callbacks],
        )
        if last is not None:
            log.warning("train: continuing from %s", last)
        try:
            trainer.train(resume_from_checkpoint=str(last) if last else None)
        finally:
            trainer.loader.close()
            if compiled:
                restore_forward(model)
    guard = trainer.step_guard
    guard.memory.finish()
    model.eval()
    points = _curve(guard.losses)
    return TrainingResult(
        guard.losses,
        [
            {"loss": point.loss, "cosine": guard.cosines[point.step - 1]}
            | steps.until(point.step, point.step - _LOG_EVERY)
            for point in points
        ],
        guard.faults.incidents(),
        {"first": guard.collapse.start, "last": guard.collapse.last},
        [point for one in mining for point in one.points],
    )


def _curve(losses: list[float | None]) -> list[LossPoint]:
    points = []
    for end in range(_LOG_EVERY, len(losses) + 1, _LOG_EVERY):
        known = [one for one in losses[end - _LOG_EVERY : end] if one is not None]
        if known:
            points.append(LossPoint(end, sum(known) / len(known)))
    return points


def make_loss(params: Train, loss: str) -> ContrastiveLoss:
    """Return the loss with a name; raise KeyError if there is none."""
    made: ContrastiveLoss = {
        "softmax": lambda: SoftmaxLoss(params.temperature, params.mask_above),
        "triplet": lambda: TripletLoss(params.margin),
        "distill": lambda: DistillLoss(params.distill.temperature),
    }[loss]()
    made.sizes = params.matryoshka
    return made


def _arguments(
    model: SentenceTransformer | CrossEncoder,
    folder: Path,
    params: Train,
    learning_rate: float,
    precision: Precision,
    training_data: TrainingData,
) -> SentenceTransformerTrainingArguments | CrossEncoderTrainingArguments:
    device = torch.device(model.device)
    arguments = (
        CrossEncoderTrainingArguments if isinstance(model, CrossEncoder) else SentenceTransformerTrainingArguments
    )
    return arguments(
        output_dir=str(folder),
        max_steps=training_data.steps,
        per_device_train_batch_size=training_data.schedule.batch_size,
        gradient_accumulation_steps=params.gradient_accumulation_steps,
        **optimizer_arguments(params, learning_rate, precision, device),
        use_cpu=device.type == "cpu",
        ddp_find_unused_parameters=False,  # there are none, and the search forbids several forward passes a step
        ignore_data_skip=True,  # the loader starts at the right batch itself
        logging_steps=_LOG_EVERY,
        disable_tqdm=True,  # `ProgressCallback` shows the steps
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

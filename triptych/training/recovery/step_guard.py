"""The way back from a step that fails: repeated in less memory or in float32, or left out with the last good weights.

A step is everything between two updates of the weights. It is repeated as a whole, with the random numbers it began
with, so that a repeated step gives what it would have given.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from triptych.errors import UserError
from triptych.models.precision import without_autocast
from triptych.training.data.collator import Batch
from triptych.training.fast.grad_cache import GradCache
from triptych.training.recovery.checkpoints import Resumable
from triptych.training.recovery.collapse import BatchHealth, CollapseDetector, examine, statistics
from triptych.training.recovery.fault_log import FaultLog
from triptych.training.recovery.out_of_memory import (
    MemoryFallback,
    MemoryLadder,
    measure_on_cpu,
    ran_out,
    what_would_fit,
)
from triptych.training.recovery.snapshot import LastGoodState, Randomness

_FAULTS_IN_A_ROW = 3
_SKIPS_IN_A_ROW = 10  # by the GradScaler, which begins with a scale of 65536 and may need a few to find its own


@dataclass(frozen=True, slots=True)
class _Done:
    """What came of some batches: the loss and the health of the last."""

    loss: Tensor
    health: BatchHealth


class Recovery(Resumable):
    """Runs the batches of a step and the optimizer, and takes the way back where one of them fails.

    ``prepare`` moves a batch to the device; ``rows`` returns the ids of the rows of a batch, counted from the beginning
    of the run.
    """

    def __init__(
        self,
        engine: GradCache,
        accelerator: Accelerator,
        memory: MemoryLadder,
        faults: FaultLog,
        prepare: Callable[[Batch], Batch],
        rows: Callable[[int], list[dict[str, Any]]],
    ) -> None:
        self.losses: list[float | None] = []  # of each step; None where it was left out
        self.cosines: list[float | None] = []  # of each step: the mean over random pairs of texts of its last batch
        self.memory, self.faults, self.collapse = memory, faults, CollapseDetector()
        self.health = BatchHealth(0.0, True, 0.0, 1.0)  # of the last batch
        self._engine, self._accelerator = engine, accelerator
        self._prepare, self._rows = prepare, rows
        self._step = self._in_a_row = self._skips_in_a_row = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take hold of what the trainer has made."""
        self._optimizer, self._schedule = kwargs["optimizer"], kwargs["lr_scheduler"]
        self._kept = LastGoodState(self._optimizer, self._accelerator.scaler, state.global_step)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note what the step begins with."""
        self._step, self._skipped = state.global_step + 1, False
        self._first = state.global_step * args.gradient_accumulation_steps
        self._batches: list[Batch] = []
        self._sum = 0.0
        self._randomness = Randomness.now()

    def backward(self, model: nn.Module, batch: Batch, weight: float) -> Tensor:
        """Add the gradient of ``weight`` times a batch's loss to the model's weights; return that loss, detached."""
        if self._skipped:
            return torch.zeros((), device=self._accelerator.device)
        self._batches.append(batch)
        tried, precise = self._try(model, [batch], weight, False), False
        while isinstance(tried, str) or not tried.health.finite:
            if isinstance(tried, str):
                self._make_room(model, tried)
            elif not precise:
                precise = True
                self._report_vectors("repeated_in_float32", "what came out is not finite; repeated in float32")
            else:
                self._clear(model)
                self._give_up("what came out is not finite in float32 either", self._what_is_not_finite(model))
                return torch.zeros((), device=self._accelerator.device)
            model.zero_grad()
            self._randomness.restore()
            tried = self._try(model, self._batches, weight, precise)
        self._sum += weight * tried.health.loss
        self.health = tried.health
        self.collapse.see(tried.health)
        return weight * tried.loss

    def guard(self, optimizer: Optimizer) -> None:
        """Let an optimizer's steps be taken through `_update`."""
        plain = type(optimizer).step

        def step(guarded: Optimizer, closure: Any = None) -> Any:
            return self._update(lambda: plain(guarded, closure))

        vars(optimizer)["step"] = MethodType(step, optimizer)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count what the GradScaler skips; end the run where the model has collapsed."""
        if self._accelerator.optimizer_step_was_skipped and not self._skipped:
            self._scaler_skipped()
        elif not self._skipped:
            self._in_a_row = self._skips_in_a_row = 0
        self.losses.append(None if self._skipped else self._sum)
        self.cosines.append(self.health.cosine)
        if self.collapse.reached:
            self._kept.restore()
            self._report_vectors(
                "collapsed",
                f"{self.collapse.told(self.health)}; training ends with the weights of step {self._kept.done};"
                " lower learning_rate",
            )
            control.should_training_stop = True

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs to go on in the same way."""
        return {
            "losses": self.losses,
            "cosines": self.cosines,
            "in_a_row": self._in_a_row,
            "skips_in_a_row": self._skips_in_a_row,
            "counts": dict(self.faults.counts),
            "memory": self.memory.state(),
            "collapse": vars(self.collapse),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on where a run was; before its weights are loaded."""
        self.losses, self.cosines = state["losses"], state["cosines"]
        self._in_a_row, self._skips_in_a_row = state["in_a_row"], state["skips_in_a_row"]
        self.faults.counts.update(state["counts"])
        self.memory.load(state["memory"])
        vars(self.collapse).update(state["collapse"])

    def _try(self, model: nn.Module, batches: list[Batch], weight: float, precise: bool) -> _Done | str:
        """Run batches forward and backward; return the message where memory runs out, when what they took is free."""
        try:
            with without_autocast(self._accelerator.unwrap_model(model)) if precise else nullcontext():
                for batch in batches:
                    loss = self._engine.backward(model, self._prepare(batch), weight)
                    health = examine(self._engine.vectors, loss, self._gradients(model))
                    if not health.finite:
                        break
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
            return str(error).strip().splitlines()[0]  # the error itself would hold on to the tensors
        return _Done(loss, health)

    def _gradients(self, model: nn.Module) -> list[Tensor]:
        """Return the gradients that must be finite; the GradScaler looks after its own."""
        if self._accelerator.scaler is not None:
            return []
        return [one.grad for one in model.parameters() if one.grad is not None]

    def _make_room(self, model: nn.Module, message: str) -> None:
        if self._accelerator.num_processes > 1:
            raise UserError(
                f"train: step {self._step}: {message}; with several processes the others wait for this one, so the step"
                " cannot be repeated; lower train.micro_batch_tokens"
            )
        model.zero_grad()
        relief = self.memory.make_room(self._batches)
        if relief is MemoryFallback.NONE:
            self._out_of_room(message)
        if relief is MemoryFallback.ADAPTER:
            self._adopt(model)
        now = {
            MemoryFallback.PIECES: f"{self._engine.token_budget} tokens at once from here (train.micro_batch_tokens)",
            MemoryFallback.CHECKPOINTING: "gradient checkpointing from here on",
            MemoryFallback.ADAPTER: "an adapter of rank 4 from here on, with what was learned so far",
        }[relief]
        self.faults.report("out_of_memory", self._step, f"{message}; the step is repeated, with {now}")

    def _update(self, step: Callable[[], Any]) -> Any:
        """Take a step of the optimizer; where memory runs out, again, weight by weight, and then for fewer weights."""
        if self._skipped:
            return None
        if self.collapse.beyond == 0:
            self._kept.keep(self._step - 1)
        fresh = self._kept.done == self._step - 1
        message = self._memory_of(step)
        if message is None:
            return None
        if self._accelerator.num_processes > 1:
            raise UserError(f"train: step {self._step}: {message} in the optimizer; set train.optimizer: adamw_8bit")
        self._kept.restore()  # it may have changed some weights and not others
        for group in self._optimizer.param_groups:
            group["foreach"] = False
        if fresh:
            line = f"{message} in the optimizer; repeated weight by weight"
            self.faults.report("out_of_memory", self._step, line)
            message = self._memory_of(step)
            if message is None:
                return None
            self._kept.restore()
        self._skipped = True
        model = self.memory.model
        self._clear(model)
        if self.memory.smaller_adapter() is MemoryFallback.NONE:
            self._out_of_room(message)
        self._adopt(model)
        line = f"{message} in the optimizer; the step is left out, an adapter of rank 4 trains from here on"
        self.faults.report("out_of_memory", self._step, line)
        return None

    def _clear(self, model: nn.Module) -> None:
        """Leave no gradient; the GradScaler wants to see one, so leave it zeros."""
        model.zero_grad()
        if self._accelerator.scaler is not None:
            for one in model.parameters():
                one.grad = torch.zeros_like(one) if one.requires_grad else None

    def _memory_of(self, step: Callable[[], Any]) -> str | None:
        """Take a step; return the message of what ran out of memory in it."""
        try:
            step()
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
            return str(error).strip().splitlines()[0]
        return None

    def _adopt(self, model: nn.Module) -> None:
        """Let the optimizer go on with other weights, of which it knows nothing yet."""
        trained = [one for one in model.parameters() if one.requires_grad]
        for group in self._optimizer.param_groups:
            group["params"] = trained if group is self._optimizer.param_groups[0] else []
        self._optimizer.state.clear()
        self._kept.forget()

    def _out_of_room(self, message: str) -> None:
        """End the run: measure what is needed, and say it."""
        self._accelerator.scaler = None
        figures = measure_on_cpu(self.memory.model, self._engine, self._batches[-1])
        self.faults.report("no_room", self._step, f"{message}; nothing is left to give up", **figures)
        raise UserError(
            f"train: step {self._step}: {message}, with one text at a time, gradient checkpointing and the smallest"
            f" adapter. {what_would_fit(figures)}{self.faults.where}"
        )

    def _give_up(self, why: str, diagnosis: str) -> None:
        """Leave a step out and go back to the last good weights; end the run at the third in a row."""
        self._skipped = True
        self._kept.restore()
        self._schedule.base_lrs = [rate / 2 for rate in self._schedule.base_lrs]
        for group in self._optimizer.param_groups:
            group["lr"] = group["lr"] / 2
        self._in_a_row += 1
        rate = self._schedule.base_lrs[0]
        self._report_vectors(
            "restored",
            f"{why}: {diagnosis}; the batch is left out, the weights are those of step {self._kept.done},"
            f" learning_rate is {rate:g} from here on",
        )
        if self._in_a_row >= _FAULTS_IN_A_ROW:
            raise UserError(
                f"train: {_FAULTS_IN_A_ROW} steps in a row failed, the last is step {self._step}: {why}"
                f" ({diagnosis}), with learning_rate halved to {rate:g}. Lower learning_rate in rounds.train"
                " (full training needs about 50 times less than an adapter), or set train.precision: fp32"
                f"{self.faults.where}"
            )

    def _scaler_skipped(self) -> None:
        self._skips_in_a_row += 1
        self.faults.counts["scaler_skips"] += 1
        scale = self._accelerator.scaler.get_scale()
        if self._skips_in_a_row >= _SKIPS_IN_A_ROW or scale < 1:
            self._give_up(f"{self._skips_in_a_row} steps in a row overflow in fp16", f"the GradScaler is at {scale:g}")
            self._skips_in_a_row = 0

    def _what_is_not_finite(self, model: nn.Module) -> str:
        """Say where the numbers end, as far as a batch shows it."""
        if not all(bool(torch.isfinite(one).all()) for one in model.parameters()):
            return "weights are not finite"
        seen = statistics(self._engine.vectors)
        if seen["texts_not_finite"]:
            return f"the vectors of {seen['texts_not_finite']} of {seen['texts']} texts, with finite weights"
        return "the loss or its gradient, with finite vectors"

    def _report_vectors(self, kind: str, line: str) -> None:
        batch = self._first + len(self._batches) - 1
        self.faults.report(
            kind, self._step, line, batch=batch, vectors=statistics(self._engine.vectors), rows=self._rows(batch)
        )

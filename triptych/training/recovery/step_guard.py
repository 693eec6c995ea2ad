"""Recovery from a failed step: it is repeated with less memory or in float32, or skipped with the last good weights.

A step is everything between two updates of the weights. It is repeated as a whole from the random state it started
with, so that its result is what it would have been.
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

from triptych.errors import UserError, is_out_of_memory
from triptych.models.precision import without_autocast
from triptych.training.data.batch import Batch, Columns
from triptych.training.distributed import holds_whole_model
from triptych.training.fast.grad_cache import GradCache
from triptych.training.recovery.checkpoints import CheckpointedCallback
from triptych.training.recovery.collapse import BatchHealth, CollapseDetector, check_batch, statistics
from triptych.training.recovery.fault_log import FaultLog
from triptych.training.recovery.out_of_memory import (
    MemoryFallback,
    MemoryLadder,
    describe_memory_needs,
    measure_on_cpu,
)
from triptych.training.recovery.snapshot import LastGoodState, RandomState

_FAULTS_IN_A_ROW = 3
_SKIPS_IN_A_ROW = 10  # by the GradScaler, which starts with a scale of 65536 and may need a few steps to lower it


@dataclass(frozen=True, slots=True)
class _BatchResult:
    """Loss and health of the last of some batches."""

    loss: Tensor
    health: BatchHealth


class StepGuard(CheckpointedCallback):
    """Runs the batches of a step and the optimizer, and recovers if one of them fails.

    ``to_device`` moves a batch to the device; ``rows`` returns the columns of a batch, counted from the beginning of
    the run.
    """

    def __init__(
        self,
        grad_cache: GradCache,
        accelerator: Accelerator,
        memory: MemoryLadder,
        faults: FaultLog,
        to_device: Callable[[Batch], Batch],
        rows: Callable[[int], Columns],
    ) -> None:
        self.losses: list[float | None] = []  # of each step; None if it was skipped
        self.cosines: list[float | None] = []  # of each step: mean over pairs of texts of its last batch
        self.memory, self.faults, self.collapse = memory, faults, CollapseDetector()
        self.health = BatchHealth(0.0, True, 0.0, 1.0)  # of the last batch
        self._grad_cache, self._accelerator = grad_cache, accelerator
        self._to_device, self._rows = to_device, rows
        self._step = self._in_a_row = self._skips_in_a_row = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep references to the trainer's optimizer and schedule, and copy the initial weights."""
        self._optimizer, self._schedule = kwargs["optimizer"], kwargs["lr_scheduler"]
        self._last_good = LastGoodState(self._optimizer, self._accelerator.scaler, state.global_step)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Record the state that the step starts from."""
        self._step, self._skipped = state.global_step + 1, False
        self._first = state.global_step * args.gradient_accumulation_steps
        self._batches: list[Batch] = []
        self._sum = 0.0
        self._random_state = RandomState.capture()

    def backward(self, model: nn.Module, batch: Batch, weight: float) -> Tensor:
        """Add the gradient of ``weight`` times a batch's loss to the model's weights; return that loss, detached."""
        if self._skipped:
            return torch.zeros((), device=self._accelerator.device)
        self._batches.append(batch)
        result, float32 = self._run(model, [batch], weight, float32=False), False
        while isinstance(result, str) or not result.health.finite:
            if not holds_whole_model(self._accelerator):
                raise UserError(
                    f"train: step {self._step}: {result if isinstance(result, str) else 'what came out is not finite'};"
                    " under DeepSpeed a step cannot be repeated; lower train.micro_batch_tokens or learning_rate"
                )
            if isinstance(result, str):
                self._free_memory(model, result)
            elif not float32:
                float32 = True
                self._report_batch("repeated_in_float32", "what came out is not finite; repeated in float32")
            else:
                self._clear_gradients(model)
                self._skip_step("what came out is not finite in float32 either", self._locate_non_finite(model))
                return torch.zeros((), device=self._accelerator.device)
            model.zero_grad()
            self._random_state.restore()
            result = self._run(model, self._batches, weight, float32)
        self._sum += weight * result.health.loss
        self.health = result.health
        self.collapse.update(result.health)
        return weight * result.loss

    def guard_optimizer(self, optimizer: Optimizer) -> None:
        """Replace an optimizer's ``step`` by one that recovers from running out of memory."""
        plain_step = type(optimizer).step

        def step(guarded: Optimizer, closure: Any = None) -> Any:
            return self._optimizer_step(lambda: plain_step(guarded, closure))

        vars(optimizer)["step"] = MethodType(step, optimizer)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count steps that the GradScaler skips; end the run if the model has collapsed."""
        if self._accelerator.optimizer_step_was_skipped and not self._skipped:
            self._count_scaler_skip()
        elif not self._skipped:
            self._in_a_row = self._skips_in_a_row = 0
        self.losses.append(None if self._skipped else self._sum)
        self.cosines.append(self.health.cosine)
        if self.collapse.collapsed:
            self._last_good.restore()
            self._report_batch(
                "collapsed",
                f"{self.collapse.describe(self.health)}; training ends with the weights of step {self._last_good.step};"
                " lower learning_rate",
            )
            control.should_training_stop = True

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs to continue in the same way."""
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
        """Continue a run; call before its weights are loaded."""
        self.losses, self.cosines = state["losses"], state["cosines"]
        self._in_a_row, self._skips_in_a_row = state["in_a_row"], state["skips_in_a_row"]
        self.faults.counts.update(state["counts"])
        self.memory.load(state["memory"])
        vars(self.collapse).update(state["collapse"])

    def _run(self, model: nn.Module, batches: list[Batch], weight: float, float32: bool) -> _BatchResult | str:
        """Run batches forward and backward; if memory runs out, return the message, with their memory freed."""
        try:
            with without_autocast(self._accelerator.unwrap_model(model)) if float32 else nullcontext():
                for batch in batches:
                    loss = self._grad_cache.backward(model, self._to_device(batch), weight)
                    health = check_batch(self._grad_cache.vectors, loss, self._gradients(model))
                    if not health.finite:
                        break
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return str(error).strip().splitlines()[0]  # keeping the error would keep the tensors alive
        return _BatchResult(loss, health)

    def _gradients(self, model: nn.Module) -> list[Tensor]:
        """Return the gradients that must be finite; with a GradScaler, which checks them itself, none."""
        if self._accelerator.scaler is not None:
            return []
        return [one.grad for one in model.parameters() if one.grad is not None]

    def _free_memory(self, model: nn.Module, message: str) -> None:
        if self._accelerator.num_processes > 1:
            raise UserError(
                f"train: step {self._step}: {message}; with several processes the others wait for this one, so the step"
                " cannot be repeated; lower train.micro_batch_tokens"
            )
        model.zero_grad()
        fallback = self.memory.apply_next(self._batches)
        if fallback is MemoryFallback.NONE:
            self._stop_out_of_memory(message)
        if fallback is MemoryFallback.ADAPTER:
            self._reset_optimizer(model)
        budget = self._grad_cache.token_budget
        change = {
            MemoryFallback.MICRO_BATCHES: f"{budget} tokens at once from here (train.micro_batch_tokens)",
            MemoryFallback.CHECKPOINTING: "gradient checkpointing from here on",
            MemoryFallback.ADAPTER: "an adapter of rank 4 from here on, with what was learned so far",
        }[fallback]
        self.faults.report("out_of_memory", self._step, f"{message}; the step is repeated, with {change}")

    def _optimizer_step(self, step: Callable[[], Any]) -> Any:
        """Take a step of the optimizer; if memory runs out, take it weight by weight, then shrink the adapter."""
        if self._skipped:
            return None
        if self.collapse.beyond == 0:
            self._last_good.save(self._step - 1)
        up_to_date = self._last_good.step == self._step - 1
        message = self._try_optimizer(step)
        if message is None:
            return None
        if self._accelerator.num_processes > 1:
            raise UserError(f"train: step {self._step}: {message} in the optimizer; set train.optimizer: adamw_8bit")
        self._last_good.restore()  # the failed step may have changed some weights
        for group in self._optimizer.param_groups:
            group["foreach"] = False
        if up_to_date:
            line = f"{message} in the optimizer; repeated weight by weight"
            self.faults.report("out_of_memory", self._step, line)
            message = self._try_optimizer(step)
            if message is None:
                return None
            self._last_good.restore()
        self._skipped = True
        model = self.memory.model
        self._clear_gradients(model)
        if self.memory.shrink_adapter() is MemoryFallback.NONE:
            self._stop_out_of_memory(message)
        self._reset_optimizer(model)
        line = f"{message} in the optimizer; the step is left out, an adapter of rank 4 trains from here on"
        self.faults.report("out_of_memory", self._step, line)
        return None

    def _clear_gradients(self, model: nn.Module) -> None:
        """Remove all gradients; for the GradScaler, which needs some, set them to zero."""
        model.zero_grad()
        if self._accelerator.scaler is not None:
            for one in model.parameters():
                one.grad = torch.zeros_like(one) if one.requires_grad else None

    def _try_optimizer(self, step: Callable[[], Any]) -> str | None:
        """Take a step of the optimizer; return the error message if memory runs out."""
        try:
            step()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return str(error).strip().splitlines()[0]
        return None

    def _reset_optimizer(self, model: nn.Module) -> None:
        """Let the optimizer continue with the weights that train now, without any state."""
        trained = [one for one in model.parameters() if one.requires_grad]
        for group in self._optimizer.param_groups:
            group["params"] = trained if group is self._optimizer.param_groups[0] else []
        self._optimizer.state.clear()
        self._last_good.reset()

    def _stop_out_of_memory(self, message: str) -> None:
        """End the run with a message on how much memory it needs."""
        self._accelerator.scaler = None
        needs = measure_on_cpu(self.memory.model, self._grad_cache, self._batches[-1])
        self.faults.report("no_room", self._step, f"{message}; nothing is left to give up", **needs)
        raise UserError(
            f"train: step {self._step}: {message}, with one text at a time, gradient checkpointing and the smallest"
            f" adapter. {describe_memory_needs(needs)}{self.faults.where}"
        )

    def _skip_step(self, why: str, diagnosis: str) -> None:
        """Skip the step and restore the last good weights; end the run at the third skip in a row."""
        self._skipped = True
        self._last_good.restore()
        self._schedule.base_lrs = [rate / 2 for rate in self._schedule.base_lrs]
        for group in self._optimizer.param_groups:
            group["lr"] = group["lr"] / 2
        self._in_a_row += 1
        rate = self._schedule.base_lrs[0]
        self._report_batch(
            "restored",
            f"{why}: {diagnosis}; the batch is left out, the weights are those of step {self._last_good.step},"
            f" learning_rate is {rate:g} from here on",
        )
        if self._in_a_row >= _FAULTS_IN_A_ROW:
            raise UserError(
                f"train: {_FAULTS_IN_A_ROW} steps in a row failed, the last is step {self._step}: {why}"
                f" ({diagnosis}), with learning_rate halved to {rate:g}. Lower learning_rate in rounds.train"
                " (full training needs about 50 times less than an adapter), or set train.precision: fp32"
                f"{self.faults.where}"
            )

    def _count_scaler_skip(self) -> None:
        self._skips_in_a_row += 1
        self.faults.counts["scaler_skips"] += 1
        scale = self._accelerator.scaler.get_scale()
        if self._skips_in_a_row >= _SKIPS_IN_A_ROW or scale < 1:
            self._skip_step(
                f"{self._skips_in_a_row} steps in a row overflow in fp16", f"the GradScaler is at {scale:g}"
            )
            self._skips_in_a_row = 0

    def _locate_non_finite(self, model: nn.Module) -> str:
        """Return a clause on where the first NaN or Inf is, as far as the batch shows."""
        if not all(bool(torch.isfinite(one).all()) for one in model.parameters()):
            return "weights are not finite"
        stats = statistics(self._grad_cache.vectors)
        if stats["texts_not_finite"]:
            return f"the vectors of {stats['texts_not_finite']} of {stats['texts']} texts, with finite weights"
        return "the loss or its gradient, with finite vectors"

    def _report_batch(self, kind: str, line: str) -> None:
        batch = self._first + len(self._batches) - 1
        self.faults.report(
            kind, self._step, line, batch=batch, vectors=statistics(self._grad_cache.vectors), columns=self._rows(batch)
        )

"""Progress of training: the bar of other stages, and a line with the loss; the library's trainer would print dicts."""

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from triptych.progress import is_quiet, progress


class ProgressCallback(TrainerCallback):
    """Counts the steps of the first process, and prints the mean loss of every ``log_every`` of them.

    ``losses`` returns the loss of each step so far, None for one that was skipped.
    """

    def __init__(self, losses: Callable[[], Sequence[float | None]], log_every: int) -> None:
        self._losses, self._log_every = losses, log_every
        self._open = ExitStack()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Open the bar for the steps that are left."""
        if state.is_world_process_zero:
            left = state.max_steps - state.global_step
            self._advance = self._open.enter_context(progress("train", left, "steps"))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Count a step; print the loss if it is time."""
        if not state.is_world_process_zero:
            return
        self._advance(1)
        if state.global_step % self._log_every or is_quiet():
            return
        known = [loss for loss in self._losses()[-self._log_every :] if loss is not None]
        loss = f"loss {sum(known) / len(known):.4g}" if known else "all steps skipped"
        tqdm.write(f"train: step {state.global_step} of {state.max_steps}, {loss}", file=sys.stderr)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Close the bar."""
        self._open.close()

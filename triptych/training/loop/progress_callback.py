"""The progress bar of training, the same as in other stages; the library's trainer would print dicts."""

from contextlib import ExitStack
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from triptych.progress import progress


class ProgressCallback(TrainerCallback):
    """Counts the steps of the first process."""

    def __init__(self) -> None:
        self._open = ExitStack()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Open the bar for the steps that are left."""
        if state.is_world_process_zero:
            left = state.max_steps - state.global_step
            self._advance = self._open.enter_context(progress("train", left, "steps"))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Count a step."""
        if state.is_world_process_zero:
            self._advance(1)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Close the bar."""
        self._open.close()

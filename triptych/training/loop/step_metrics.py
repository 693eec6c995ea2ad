"""Per-step metrics of training, kept in the trainer's log: active triplets by tier, tier weights, learning rate."""

from collections import Counter
from itertools import chain
from typing import Any

from transformers import TrainerCallback

from triptych.training.data.batch_schedule import DrawnSchedule
from triptych.training.data.training_data import TrainingData
from triptych.training.losses import ContrastiveLoss

LogLine = dict[str, Any]


class StepMetrics(TrainerCallback):
    """Writes to the trainer's log, for each step, active rows by tier, tier weights, and the learning rate."""

    def __init__(self, loss: ContrastiveLoss, training_data: TrainingData) -> None:
        self._loss, self._schedule = loss, training_data.schedule
        self._learning_rate = 0.0
        self._lines: list[LogLine] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Record the learning rate of the step."""
        self._learning_rate = float(kwargs["lr_scheduler"].get_last_lr()[0])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Log the step."""
        line = {"step": state.global_step, "learning_rate": self._learning_rate}
        if isinstance(self._schedule, DrawnSchedule):
            weights = self._schedule.weights((state.global_step - 1) * args.gradient_accumulation_steps)
            line |= {f"weight_{tier}": weight for tier, weight in weights.items()}
        state.log_history.append(line | {"activity": self._loss.activity()})

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Collect the lines of the whole run, including those from before a resume."""
        self._lines = [line for line in state.log_history if "activity" in line]

    def until(self, step: int, since: int) -> LogLine:
        """Return ``active_<tier>`` over the steps after ``since`` up to ``step``, and the last value of the rest."""
        lines = [line for line in self._lines if since < line["step"] <= step]
        rows, active = Counter[str](), Counter[str]()
        for tier, (all_, part) in chain.from_iterable(line["activity"].items() for line in lines):
            rows[tier] += all_
            active[tier] += part
        last = {name: value for name, value in lines[-1].items() if name != "activity"}
        return last | {f"active_{tier}": active[tier] / rows[tier] for tier in rows}

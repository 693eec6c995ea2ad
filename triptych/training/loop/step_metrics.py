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
    """Notes in the trainer's log, step by step, how much the tiers taught, their weights, and the learning rate."""

    def __init__(self, loss: ContrastiveLoss, material: TrainingData) -> None:
        self._loss, self._material = loss, material
        self._rate = 0.0
        self._lines: list[LogLine] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note the rate that the step is taken with."""
        self._rate = float(kwargs["lr_scheduler"].get_last_lr()[0])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note what the step taught."""
        schedule, line = self._material.schedule, {"step": state.global_step, "learning_rate": self._rate}
        if isinstance(schedule, DrawnSchedule):
            weights = schedule.weights((state.global_step - 1) * args.gradient_accumulation_steps)
            line |= {f"weight_{tier}": weight for tier, weight in weights.items()}
        state.log_history.append(line | {"taught": self._loss.activity()})

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take over the lines of the whole run, from before a resume too."""
        self._lines = [line for line in state.log_history if "taught" in line]

    def until(self, step: int, since: int) -> LogLine:
        """Return what the steps after ``since`` up to ``step`` taught, ``active_<tier>``, and the last of the rest."""
        lines = [line for line in self._lines if since < line["step"] <= step]
        rows, active = Counter[str](), Counter[str]()
        for tier, (all_, part) in chain.from_iterable(line["taught"].items() for line in lines):
            rows[tier] += all_
            active[tier] += part
        last = {name: value for name, value in lines[-1].items() if name != "taught"}
        return last | {f"active_{tier}": active[tier] / rows[tier] for tier in rows}

"""Evaluation on dev during a run: keeps the best weights, stops early, and upweights a category whose score drops.

Everything that a resumed run needs is in the trainer's log, which its checkpoints contain, and in the best weights,
which are stored beside the checkpoints.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from transformers import TrainerCallback

from triptych.encoding.vector_cache import VectorCache
from triptych.evaluators.retrieval_evaluator import RetrievalEvaluator
from triptych.params.sections import Train
from triptych.tokens.token_store import PAD_TO
from triptych.training.data.batch_schedule import DrawnSchedule
from triptych.training.data.training_data import TrainingData
from triptych.training.distributed import from_main_process, wait_for_all_processes
from triptych.training.fast.grad_cache import tokens

_FORWARD_BACKWARD_COST = 3  # of a token, in forward passes
_DEV_TO_TRAIN_RATIO = 1 / 3  # of the cost of training, for dev: dev then takes a quarter of the whole
_FACTOR, _MAX_FACTOR = 1.5, 2.0  # on the weight of a category that falls: at each evaluation, and in all
_TOLERANCE = 0.005  # of the metric; a smaller change is neither a rise nor a fall

LogLine = dict[str, Any]


class DevEvaluation(TrainerCallback):
    """Evaluates on dev during a run; stops early, keeps the best weights, and upweights a category that falls.

    Dev is evaluated at the start, at the end, and in between every ``train.eval_every`` steps, or less often if that
    would take more than a quarter of the run. This limit counts tokens, not time: which steps are evaluated must not
    depend on the machine.
    """

    def __init__(
        self,
        evaluator: RetrievalEvaluator,
        metric: str,
        training_data: TrainingData,
        params: Train,
        vectors: Path | None,
    ) -> None:
        self.points: list[LogLine] = []  # step, metric by category, factors on the categories' weights from there on
        self.stop_reason: str | None = None
        self._evaluator, self._metric, self._params, self._vectors = evaluator, metric, params, vectors
        self._schedule = training_data.schedule
        self.steps = self._evaluation_steps(training_data)
        if isinstance(self._schedule, DrawnSchedule):
            self._schedule.decide_at([step * params.gradient_accumulation_steps for step in self.steps[:-1]])

    def on_train_begin(self, args: Any, state: Any, control: Any, model: SentenceTransformer, **kwargs: Any) -> None:
        """Evaluate the start, or restore the evaluations from before a resume."""
        self.points = [line for line in state.log_history if "dev" in line]
        if isinstance(self._schedule, DrawnSchedule):
            self._schedule.category_factors = [{}, *(point["category_factors"] for point in self.points[1:])]
        if self.steps and not self.points:
            precision = self._evaluator.precision
            self._evaluate(state, model, VectorCache(self._vectors, model, precision) if self._vectors else None)

    def on_step_end(self, args: Any, state: Any, control: Any, model: SentenceTransformer, **kwargs: Any) -> None:
        """Evaluate if it is time, and decide how the run continues."""
        if state.global_step not in self.steps:
            return
        self._evaluate(state, model)
        self.points[-1]["category_factors"] = self._decide_factors()
        if isinstance(self._schedule, DrawnSchedule):
            self._schedule.category_factors.append(self.points[-1]["category_factors"])
        if self._best() is self.points[-1]:
            self._save_best(Path(args.output_dir), model, state)
        if self._params.patience and self._evaluations_since_best() >= self._params.patience:
            self.stop_reason = f"dev did not rise {self._params.patience} times in a row (train.patience)"
        control.should_training_stop |= self.stop_reason is not None

    def on_train_end(self, args: Any, state: Any, control: Any, model: SentenceTransformer, **kwargs: Any) -> None:
        """Restore the best weights."""
        best = self._best()
        if best is None or best["step"] == state.global_step:
            return
        saved = load_file(_weights_file(Path(args.output_dir), best["step"]))
        with torch.no_grad():
            for name, weight in _trainable(model).items():
                weight.copy_(saved[name])

    def _evaluation_steps(self, training_data: TrainingData) -> list[int]:
        """Return the steps after which dev is evaluated: ends of segments, evenly spaced, including the last step."""
        if not self._params.eval_every:
            return []
        batches_per_step, segment = self._params.gradient_accumulation_steps, self._params.resample_every
        schedule, collator = training_data.schedule, training_data.collator
        first = range(min(segment * batches_per_step, len(schedule)))
        sizes = [sum(map(tokens, collator(schedule.rows(batch))["features"])) for batch in first]
        train_cost = _FORWARD_BACKWARD_COST * float(np.mean(sizes)) * batches_per_step * training_data.steps
        windows, _ = self._evaluator.store.windows_of(self._evaluator.passage_ids)
        texts = np.unique(np.concatenate([windows, self._evaluator.query_text_ids]))
        dev_cost = int((-(-self._evaluator.store.lengths[texts] // PAD_TO) * PAD_TO).sum())
        affordable = int(_DEV_TO_TRAIN_RATIO * train_cost // dev_cost) - 1  # one of them is the start
        number = min(math.ceil(training_data.steps / self._params.eval_every), affordable)
        segments = math.ceil(training_data.steps / segment)
        ends = {math.ceil(one * segments / number) * segment for one in range(1, number + 1)}
        return sorted({min(end, training_data.steps) for end in ends})

    def _evaluate(self, state: Any, model: SentenceTransformer, cache: VectorCache | None = None) -> None:
        values = self._evaluator.measured(model, self._metric, f"dev, step {state.global_step}", cache)
        self.points.append({"step": state.global_step, "dev": from_main_process(values), "category_factors": {}})
        state.log_history.append(self.points[-1])

    def _decide_factors(self) -> dict[str, float]:
        """Return the factors on the weights of categories from here on."""
        if not self._params.rebalance:
            return {}
        start, before, now = (one["dev"] for one in (self.points[0], self.points[-2], self.points[-1]))
        factors = dict(self.points[-2]["category_factors"])
        if not any(now[name] > start[name] + _TOLERANCE for name in now):
            return factors
        for name in now:
            if now[name] >= start[name] - _TOLERANCE:
                continue
            if factors.get(name, 1.0) >= _MAX_FACTOR and now[name] <= before[name]:
                self.stop_reason = f"{name} fell on dev though its share was raised (train.rebalance)"
            factors[name] = min(factors.get(name, 1.0) * _FACTOR, _MAX_FACTOR)
        return factors

    def _best(self) -> LogLine | None:
        """Return the best point after the start, the first of equals."""
        return max(self.points[1:], key=_macro_average, default=None)

    def _evaluations_since_best(self) -> int:
        return len(self.points) - 1 - int(np.argmax([_macro_average(point) for point in self.points]))

    def _save_best(self, folder: Path, model: SentenceTransformer, state: Any) -> None:
        """Save the weights as the best; the previous best stay, for a run that is resumed from before this step."""
        best = _weights_file(folder, state.global_step)
        previous = max(self.points[1:-1], key=_macro_average, default=None)
        if state.is_world_process_zero:
            weights = {name: weight.detach().cpu().contiguous() for name, weight in _trainable(model).items()}
            save_file(weights, best.with_suffix(".partial"))
            best.with_suffix(".partial").replace(best)
            for other in folder.glob("best-*.safetensors"):
                if other not in {best, previous and _weights_file(folder, previous["step"])}:
                    other.unlink()
        wait_for_all_processes()


def _macro_average(point: LogLine) -> float:
    return math.fsum(point["dev"].values()) / len(point["dev"])


def _weights_file(folder: Path, step: int) -> Path:
    return folder / f"best-{step}.safetensors"


def _trainable(model: SentenceTransformer) -> dict[str, torch.Tensor]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}

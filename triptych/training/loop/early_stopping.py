"""Evaluation on dev during a run: keeps the best weights, stops early, and upweights a category whose score drops.

Everything that a resumed run needs is in the trainer's log, which its checkpoints contain, and in the best weights,
which are stored beside the checkpoints.
"""

import logging
import math
from bisect import bisect_left
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

log = logging.getLogger(__name__)
_FORWARD_BACKWARD_COST = 3  # of a token, in forward passes
_LEAST = 2  # evaluations after the start, whatever they cost: with one, at the end, nothing could stop or rebalance
_FACTOR, _MAX_FACTOR = 1.5, 2.0  # on the weight of a category that falls: at each evaluation, and in all
_TOLERANCE = 0.005  # of a metric; a smaller change is neither a rise nor a fall

LogLine = dict[str, Any]


class DevEvaluation(TrainerCallback):
    """Evaluates on dev during a run; stops early, keeps the best weights, and upweights a category that falls.

    Dev is evaluated at the start, at the end, and in between every ``train.eval_every`` steps, or less often if that
    would take more than ``train.eval_share`` of the run, but at least at half of it. This limit counts tokens, not
    time: which steps are evaluated must not depend on the machine. The metrics are ``metric`` and
    ``train.eval_metrics``.
    """

    def __init__(
        self,
        evaluator: RetrievalEvaluator,
        metric: str,
        training_data: TrainingData,
        params: Train,
        vectors: Path | None,
    ) -> None:
        # Step, metric → category → value, and factors on the categories' weights from there on.
        self.points: list[LogLine] = []
        self.stop_reason: str | None = None
        self._evaluator, self._params, self._vectors = evaluator, params, vectors
        self._metrics = list(dict.fromkeys([metric, *params.eval_metrics]))
        schedule = training_data.schedule
        self._rebalanced = schedule if params.rebalance and isinstance(schedule, DrawnSchedule) else None
        if params.rebalance and params.eval_every and self._rebalanced is None:
            log.warning(
                "train.rebalance: the rows of loss %s are drawn before training, so categories keep their weights",
                training_data.loss,
            )
        self.steps = self._evaluation_steps(training_data)
        if self._rebalanced is not None:
            self._rebalanced.decide_at([step * params.gradient_accumulation_steps for step in self.steps[:-1]])

    def on_train_begin(self, args: Any, state: Any, control: Any, model: SentenceTransformer, **kwargs: Any) -> None:
        """Evaluate the start, or restore the evaluations from before a resume."""
        self.points = [line for line in state.log_history if "dev" in line]
        if self._rebalanced is not None:
            self._rebalanced.category_factors = [{}, *(point["category_factors"] for point in self.points[1:])]
        if self.steps and not self.points:
            precision = self._evaluator.precision
            self._evaluate(state, model, VectorCache(self._vectors, model, precision) if self._vectors else None)

    def on_step_end(self, args: Any, state: Any, control: Any, model: SentenceTransformer, **kwargs: Any) -> None:
        """Evaluate if it is time, and decide how the run continues."""
        if state.global_step not in self.steps:
            return
        self._evaluate(state, model)
        self.points[-1]["category_factors"] = self._decide_factors()
        if self._rebalanced is not None:
            self._rebalanced.category_factors.append(self.points[-1]["category_factors"])
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
        """Return the steps after which dev is evaluated, including the last.

        Where categories are rebalanced they are ends of segments, after which other rows can be drawn.
        """
        every, steps = self._params.eval_every, training_data.steps
        if not every:
            return []
        wanted, cost = math.ceil(steps / every), self._cost(training_data)
        share = self._params.eval_share
        affordable = wanted if share == 1.0 else int(share / (1 - share) / cost) - 1  # one of them is the start
        number = min(wanted, max(affordable, _LEAST))
        ends = [min(one * every, steps) for one in range(1, wanted + 1)]
        if number < wanted:
            ends = [math.ceil(one * steps / number) for one in range(1, number + 1)]
        if self._rebalanced is not None:
            segments = [end // self._params.gradient_accumulation_steps for end in self._rebalanced.segment_ends]
            ends = [segments[bisect_left(segments, end)] for end in ends]
        ends = sorted(set(ends))
        if number < wanted:
            dev = (len(ends) + 1) * cost
            log.warning(
                "train.eval_every: %d asks for %d evaluations on dev, of which %d fit into train.eval_share: %g; dev is"
                " evaluated after steps %s, which is %.0f%% of the run; a larger eval_share, up to 1, allows more",
                every,
                wanted,
                max(affordable, 0),
                share,
                ", ".join(map(str, ends)),
                100 * dev / (1 + dev),
            )
        return ends

    def _cost(self, training_data: TrainingData) -> float:
        """Return the cost of one evaluation on dev, in tokens, as a share of the cost of training."""
        batches_per_step = self._params.gradient_accumulation_steps
        schedule, collator = training_data.schedule, training_data.collator
        first = range(min(self._params.steps_per_draw * batches_per_step, len(schedule)))
        sizes = [sum(map(tokens, collator(schedule.rows(batch))["features"])) for batch in first]
        training = _FORWARD_BACKWARD_COST * float(np.mean(sizes)) * batches_per_step * training_data.steps
        windows, _ = self._evaluator.store.windows_of(self._evaluator.passage_ids)
        queries = self._evaluator.query_text_ids
        texts = np.unique(queries if self._evaluator.frozen else np.concatenate([windows, queries]))
        return int((-(-self._evaluator.store.lengths[texts] // PAD_TO) * PAD_TO).sum()) / training

    def _evaluate(self, state: Any, model: SentenceTransformer, cache: VectorCache | None = None) -> None:
        depth = max(int(metric.rpartition("@")[2]) for metric in self._metrics)
        run = self._evaluator.dev_run(model, depth, f"dev, step {state.global_step}", cache)
        values = from_main_process({metric: self._evaluator.by_category(run, metric) for metric in self._metrics})
        self.points.append({"step": state.global_step, "dev": values, "category_factors": {}})
        state.log_history.append(self.points[-1])

    def _decide_factors(self) -> dict[str, float]:
        """Return the factors on the weights of categories from here on.

        A category falls if one of its metrics does. It rises if one rises and none falls.
        """
        if self._rebalanced is None:
            return {}
        start, before, now = (point["dev"] for point in (self.points[0], self.points[-2], self.points[-1]))
        factors = dict(self.points[-2]["category_factors"])
        fallen: dict[str, list[str]] = {}
        rises = False
        for name in now[self._metrics[0]]:
            changes = {metric: now[metric][name] - start[metric][name] for metric in self._metrics}
            fallen[name] = [metric for metric, change in changes.items() if change < -_TOLERANCE]
            rises |= not fallen[name] and max(changes.values()) > _TOLERANCE
        if not rises:
            return factors
        for name, metrics in fallen.items():
            if not metrics:
                continue
            if factors.get(name, 1.0) >= _MAX_FACTOR and all(now[one][name] <= before[one][name] for one in metrics):
                self.stop_reason = f"{name} fell on dev though its share was raised (train.rebalance)"
            factors[name] = min(factors.get(name, 1.0) * _FACTOR, _MAX_FACTOR)
        return factors

    def _best(self) -> LogLine | None:
        """Return the best point after the start, the first of equals."""
        return max(self.points[1:], key=_score, default=None)

    def _evaluations_since_best(self) -> int:
        return len(self.points) - 1 - int(np.argmax([_score(point) for point in self.points]))

    def _save_best(self, folder: Path, model: SentenceTransformer, state: Any) -> None:
        """Save the weights as the best; the previous best stay, for a run that is resumed from before this step."""
        best = _weights_file(folder, state.global_step)
        previous = max(self.points[1:-1], key=_score, default=None)
        if state.is_world_process_zero:
            weights = {name: weight.detach().cpu().contiguous() for name, weight in _trainable(model).items()}
            save_file(weights, best.with_suffix(".partial"))
            best.with_suffix(".partial").replace(best)
            for other in folder.glob("best-*.safetensors"):
                if other not in {best, previous and _weights_file(folder, previous["step"])}:
                    other.unlink()
        wait_for_all_processes()


def _score(point: LogLine) -> float:
    """Return the mean over metrics and categories, each of which counts as much."""
    values = [value for by_category in point["dev"].values() for value in by_category.values()]
    return math.fsum(values) / len(values)


def _weights_file(folder: Path, step: int) -> Path:
    return folder / f"best-{step}.safetensors"


def _trainable(model: SentenceTransformer) -> dict[str, torch.Tensor]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}

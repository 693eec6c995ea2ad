"""What is watched while a run goes on: how much each tier still teaches, and dev, category by category.

All that a resumed run needs is in the trainer's own log, which its checkpoints hold, and in the weights that were best,
which lie beside the checkpoints.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from transformers import TrainerCallback

from triptych.encoding.vector_cache import VectorCache
from triptych.evaluators.retrieval_evaluator import RetrievalEvaluator
from triptych.params.sections import Train
from triptych.tokens.token_store import PAD_TO
from triptych.training.data.batch_schedule import DrawnSchedule
from triptych.training.data.training_data import TrainingData
from triptych.training.fast.grad_cache import tokens

_FORWARD = 3  # forward and backward of a token cost as much as so many forwards
_DEV_TO_TRAIN_RATIO = 1 / 3  # of the time of training, for dev: then dev takes a quarter of the whole
_RAISE, _MOST = 1.5, 2.0  # the weight of a category that falls is multiplied by so much, and at most by so much in all
_MOVED = 0.005  # mrr@10; less is neither a rise nor a fall

LogLine = dict[str, Any]


class DevEvaluation(TrainerCallback):
    """Measures dev while a run goes on, keeps the best weights, stops what does not help, helps a category that falls.

    Measured are the start, the end, and what lies between, every ``train.eval_every`` steps or as seldom as it takes
    to spend no more than a quarter of the run on it. That bound is on tokens, not on time: what is measured must not
    depend on the machine.
    """

    def __init__(
        self, evaluator: RetrievalEvaluator, material: TrainingData, params: Train, cache: Path | None
    ) -> None:
        self.points: list[LogLine] = []  # step, mrr@10 by category, and what weights are multiplied by from there on
        self.stopped: str | None = None
        self._judging, self._params, self._cache = evaluator, params, cache
        self._schedule = material.schedule
        self.steps = self._moments(material)
        if isinstance(self._schedule, DrawnSchedule):
            self._schedule.decide_at([step * params.gradient_accumulation_steps for step in self.steps[:-1]])

    def on_train_begin(self, args: Any, state: Any, control: Any, model: SentenceTransformer, **kwargs: Any) -> None:
        """Measure the start, or take up what was measured before a resume."""
        self.points = [line for line in state.log_history if "dev" in line]
        if isinstance(self._schedule, DrawnSchedule):
            self._schedule.raised = [{}, *(point["raised"] for point in self.points[1:])]
        if self.steps and not self.points:
            precision = self._judging.precision
            self._measure(state, model, VectorCache(self._cache, model, precision) if self._cache else None)

    def on_step_end(self, args: Any, state: Any, control: Any, model: SentenceTransformer, **kwargs: Any) -> None:
        """Measure where it is time, and decide how the run goes on."""
        if state.global_step not in self.steps:
            return
        self._measure(state, model)
        self.points[-1]["raised"] = self._decide()
        if isinstance(self._schedule, DrawnSchedule):
            self._schedule.raised.append(self.points[-1]["raised"])
        if self._best() is self.points[-1]:
            self._keep(Path(args.output_dir), model, state)
        if self._params.patience and self._since_best() >= self._params.patience:
            self.stopped = f"dev did not rise {self._params.patience} times in a row (train.patience)"
        control.should_training_stop |= self.stopped is not None

    def on_train_end(self, args: Any, state: Any, control: Any, model: SentenceTransformer, **kwargs: Any) -> None:
        """Go back to the weights that were best."""
        best = self._best()
        if best is None or best["step"] == state.global_step:
            return
        kept = load_file(_weights(Path(args.output_dir), best["step"]))
        with torch.no_grad():
            for name, weight in _trained(model).items():
                weight.copy_(kept[name])

    def _moments(self, material: TrainingData) -> list[int]:
        """Return the steps after which dev is measured: ends of stretches, evenly spread, the last step among them."""
        if not self._params.eval_every:
            return []
        turns, stretch = self._params.gradient_accumulation_steps, self._params.resample_every
        first = range(min(stretch * turns, len(material.schedule)))
        sizes = [sum(map(tokens, material.collator(material.schedule.rows(one))["features"])) for one in first]
        trained = _FORWARD * float(np.mean(sizes)) * turns * material.steps
        texts = np.unique(np.concatenate([self._judging.passages, self._judging.query_texts]))
        once = int((-(-self._judging.store.lengths[texts] // PAD_TO) * PAD_TO).sum())
        affordable = int(_DEV_TO_TRAIN_RATIO * trained // once) - 1  # the start is one
        number = min(math.ceil(material.steps / self._params.eval_every), affordable)
        stretches = math.ceil(material.steps / stretch)
        ends = {math.ceil(turn * stretches / number) * stretch for turn in range(1, number + 1)}
        return sorted({min(end, material.steps) for end in ends})

    def _measure(self, state: Any, model: SentenceTransformer, cache: VectorCache | None = None) -> None:
        found = [self._judging.measured(model, f"dev, step {state.global_step}", cache)]
        if PartialState().num_processes > 1:
            broadcast_object_list(found)  # all must decide alike
        self.points.append({"step": state.global_step, "dev": found[0], "raised": {}})
        state.log_history.append(self.points[-1])

    def _decide(self) -> dict[str, float]:
        """Return what the weights of categories are multiplied by from here on."""
        if not self._params.rebalance:
            return {}
        start, before, now = (one["dev"] for one in (self.points[0], self.points[-2], self.points[-1]))
        raised = dict(self.points[-2]["raised"])
        if not any(now[name] > start[name] + _MOVED for name in now):
            return raised
        for name in now:
            if now[name] >= start[name] - _MOVED:
                continue
            if raised.get(name, 1.0) >= _MOST and now[name] <= before[name]:
                self.stopped = f"{name} fell on dev though its share was raised (train.rebalance)"
            raised[name] = min(raised.get(name, 1.0) * _RAISE, _MOST)
        return raised

    def _best(self) -> LogLine | None:
        """Return the best point after the start, the first of equals."""
        return max(self.points[1:], key=_macro, default=None)

    def _since_best(self) -> int:
        return len(self.points) - 1 - int(np.argmax([_macro(point) for point in self.points]))

    def _keep(self, folder: Path, model: SentenceTransformer, state: Any) -> None:
        """Save the weights as the best; those that were best before stay, for a run that is taken up from then."""
        best = _weights(folder, state.global_step)
        former = _best_before(self.points)
        if state.is_world_process_zero:
            kept = {name: weight.detach().cpu().contiguous() for name, weight in _trained(model).items()}
            save_file(kept, best.with_suffix(".partial"))
            best.with_suffix(".partial").replace(best)
            for other in folder.glob("best-*.safetensors"):
                if other not in {best, former and _weights(folder, former["step"])}:
                    other.unlink()
        PartialState().wait_for_everyone()


def _best_before(points: list[LogLine]) -> LogLine | None:
    return max(points[1:-1], key=_macro, default=None)


def _macro(point: LogLine) -> float:
    return math.fsum(point["dev"].values()) / len(point["dev"])


def _weights(folder: Path, step: int) -> Path:
    return folder / f"best-{step}.safetensors"


def _trained(model: SentenceTransformer) -> dict[str, torch.Tensor]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}

"""A few steps of a round, watched closely: how long they take, what memory, whether the numbers are sound."""

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple
from zlib import crc32

import psutil
import torch
from torch import Tensor, nn
from transformers import TrainerCallback

from triptych.models.adapter import make_trainable
from triptych.models.loading import tokenizer_fingerprint
from triptych.params.sections import Params
from triptych.tokens.token_store import open_store
from triptych.training.data.training_data import prepare_training_data
from triptych.training.loop.accelerations import load_to_train
from triptych.training.loop.trainer import TrainingResult, train
from triptych.training.recovery.collapse import statistics
from triptych.triplets.examples import read_examples


class Step(NamedTuple):
    """What was seen of a step, when it was done."""

    seconds: float
    resident: int  # bytes of the process
    vectors: dict[str, Any]  # statistics of what came out of the model
    ready: int  # batches that lay ready for the next ones
    made_in_place: int  # batches so far that the loop had to make because none lay ready


@dataclass(frozen=True, slots=True)
class SmokeResult:
    """What a few steps showed."""

    loss: str
    device: str
    steps: list[Step]
    device_peak: int | None  # bytes allocated on the GPU at most; None where there is none
    trained: TrainingResult

    def seconds(self) -> tuple[float, float]:
        """Return mean and standard deviation of the steps behind the first, which also warms up."""
        times = [one.seconds for one in self.steps[1:]] or [one.seconds for one in self.steps]
        return mean(times), stdev(times) if len(times) > 1 else 0.0


class _Watch(TrainerCallback):
    """Looks at each step when it is done."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._vectors: list[Tensor] = []

    def take(self, module: nn.Module, given: Any, made: dict[str, Tensor]) -> None:
        """Keep vectors of the step that runs; a hook of the model."""
        self._vectors.append(made["sentence_embedding"].detach().float())

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin to measure."""
        self._since = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take down a step, and wait for the device first."""
        vectors = statistics(torch.cat(self._vectors))
        seconds = time.perf_counter() - self._since
        resident, loader = psutil.Process().memory_info().rss, kwargs["train_dataloader"]
        self.steps.append(Step(seconds, resident, vectors, loader.ready, loader.made_in_place))
        self._vectors.clear()
        self._since = time.perf_counter()


def smoke(
    corpus: Path, texts: Path, tokens: Path, round_folder: Path, previous: Path, params: Params, steps: int
) -> SmokeResult:
    """Train ``steps`` steps of the first round as its stage would; keep nothing, and return what was seen."""
    model = load_to_train(params.model, params.train)
    store = open_store(tokens, tokenizer_fingerprint(model))
    examples = read_examples(round_folder / "examples.parquet")
    name, turn = next(iter(params.rounds.train.items()))
    seed = params.train.seed + crc32(name.encode())
    round_params = turn.model_copy(update={"steps": steps})
    material = prepare_training_data(corpus, texts, store, examples, previous, params, round_params, seed)
    make_trainable(model, params.train, None)
    watch = _Watch()
    model.register_forward_hook(watch.take)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    trained = train(model, material, params.train, turn.learning_rate, callbacks=[watch])
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    return SmokeResult(material.loss, str(model.device), watch.steps, peak, trained)

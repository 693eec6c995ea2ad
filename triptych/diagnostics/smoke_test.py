"""Train a few steps of the first round and record time, memory and statistics of the vectors of each."""

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
from triptych.models.loading import release_memory
from triptych.models.round_record import read_round_record
from triptych.params.sections import Params
from triptych.tokens.token_store import open_store
from triptych.training.data.training_data import prepare_training_data
from triptych.training.loop.accelerations import load_to_train
from triptych.training.loop.trainer import TrainingResult, train
from triptych.training.recovery.collapse import statistics
from triptych.triplets.examples import read_examples


class Step(NamedTuple):
    """Measurements of a step, taken at its end."""

    seconds: float
    resident: int  # resident memory of the process in bytes
    vectors: dict[str, Any]  # statistics of the embeddings
    ready: int  # prefetched batches that were ready for the next steps
    made_in_place: int  # batches so far that the loop had to collate itself because none was ready


@dataclass(frozen=True, slots=True)
class SmokeResult:
    """The measurements of all steps."""

    loss: str
    device: str
    steps: list[Step]
    device_peak: int | None  # peak of allocated GPU memory in bytes; None without a GPU
    trained: TrainingResult

    def seconds(self) -> tuple[float, float]:
        """Return mean and standard deviation of the steps after the first, which is a warm-up."""
        times = [step.seconds for step in self.steps[1:]] or [step.seconds for step in self.steps]
        return mean(times), stdev(times) if len(times) > 1 else 0.0


class _StepRecorder(TrainerCallback):
    """Records the measurements of each step."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._vectors: list[Tensor] = []

    def keep_vectors(self, module: nn.Module, inputs: Any, outputs: dict[str, Tensor]) -> None:
        """Keep the vectors of the current step; a forward hook of the model."""
        self._vectors.append(outputs["sentence_embedding"].detach().float())

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Record a step; statistics are computed first, which waits for the device."""
        vectors = statistics(torch.cat(self._vectors))
        seconds = time.perf_counter() - self._started
        resident, loader = psutil.Process().memory_info().rss, kwargs["train_dataloader"]
        self.steps.append(Step(seconds, resident, vectors, loader.ready, loader.made_in_place))
        self._vectors.clear()
        self._started = time.perf_counter()


def smoke(
    corpus: Path, texts: Path, tokens: Path, round_folder: Path, previous: Path, params: Params, steps: int
) -> SmokeResult:
    """Train ``steps`` steps of the first round as its stage does; write nothing and return the measurements."""
    store = open_store(tokens, read_round_record(previous).base["tokenizer_sha256"])
    examples = read_examples(round_folder / "examples.parquet")
    name, round_params = next(iter(params.rounds.train.items()))
    seed = params.train.seed + crc32(name.encode())
    shortened = round_params.model_copy(update={"steps": steps})
    data = prepare_training_data(corpus, texts, store, examples, previous, params, shortened, seed)
    release_memory()  # of the model of the round before
    model = load_to_train(params.model, params.train)
    make_trainable(model, params.train, None)
    recorder = _StepRecorder()
    model.register_forward_hook(recorder.keep_vectors)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    trained = train(model, data, params.train, round_params.learning_rate, callbacks=[recorder])
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    return SmokeResult(data.loss, str(model.device), recorder.steps, peak, trained)

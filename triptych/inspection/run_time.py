"""How long a run takes on this machine: texts that are trained on and encoded, times what one costs.

The costs are those of an earlier default run (docs/benchmarks.md): 578 s on two cores that multiply float32 matrices at
340 billion operations a second, 3,218 chunks, with two rounds of 80 and 35 steps. With written questions it took 686 s
at 361 billion operations a second and 1,295 s while the machine had slowed to 136 billion; the estimates are 732 s and
1,721 s: within a factor of two, as on two other processors.
"""

from dataclasses import dataclass
from time import perf_counter

import numpy as np

from triptych.params.sections import Rounds, Train

_TRAINED, _ENCODED = 2.75e9, 1.3e9  # float32 operations of matrices that take as long as a text of 64 tokens
_STEP_TEXTS = {"batch": 127, "stored": 190, "distill": 136}  # texts of a step, by the negatives of the round
_TEXT = 64  # tokens
_BETWEEN = 0.4  # share of the windows that a strength between two others encodes
_ANCHORS = 3.0  # for each chunk
_PER_ANCHOR = 0.001  # seconds, for pools, tokens and tables
_STAGES, _START = 13, 9.0  # stages, and seconds in which each starts, mostly imports
_SIZE, _REPEATS = 1024, 6  # of the matrices that are multiplied


@dataclass(frozen=True, slots=True)
class RunTime:
    """An estimate of the seconds that `dvc repro` takes with the default params, on the CPU."""

    seconds: float
    trained: int  # texts
    encoded: int  # texts
    operations: float  # float32 operations a second, measured
    reading: float  # seconds of ingest and split, measured


def estimate_run_time(
    chunks: int, queries: int, train_queries: int, reading: float, tokens: float, window: int
) -> RunTime:
    """Return an estimate for a corpus; ``reading`` is what reading and splitting it took, in seconds.

    ``tokens`` are those in the windows of a passage, on average: what encoding it costs. ``window`` is the most in one.

    Without train queries every round learns from a teacher.
    """
    train, rounds = Train(), Rounds().train.values()
    trained = sum(
        round_.steps * _STEP_TEXTS[round_.negatives]
        if train_queries
        else min(round_.steps, train.distill.max_steps) * _STEP_TEXTS["distill"]
        for round_ in rounds
    )
    passage = max(tokens / _TEXT, 1.0)  # its windows cost as much as this many texts
    # Vectors of the base model and of each round at full strength are cached: mining and evaluation read them.
    # Strengths between the base and the full one encode some of the windows.
    between = _BETWEEN * max(len(train.strengths) - 2, 0)
    on_dev = (1 + len(rounds) * (1 + between)) * (passage * chunks + queries)
    mined = len(rounds) * _ANCHORS * chunks
    encoded = round(on_dev + mined + passage * chunks + 2 * queries)
    operations = _operations()
    longer = min(passage, window / _TEXT)  # a passage is trained on in one window
    computed = (trained * (1.0 + longer) / 2.0 * _TRAINED + encoded * _ENCODED) / operations
    seconds = _STAGES * _START + computed + _PER_ANCHOR * _ANCHORS * chunks + reading
    return RunTime(seconds, trained, encoded, operations, reading)


def _operations() -> float:
    """Return the float32 operations a second of a matrix multiplication, the best of a few in a tenth of a second."""
    left = np.random.default_rng(0).random((_SIZE, _SIZE), dtype=np.float32)
    best = np.inf
    for _ in range(_REPEATS):
        start = perf_counter()
        left @ left
        best = min(best, perf_counter() - start)
    return float(2 * _SIZE**3 / best)

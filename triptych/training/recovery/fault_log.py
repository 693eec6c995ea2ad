"""What went wrong in a run: counted for the metrics, logged, and written with details to a file."""

import json
import logging
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych.training.data.batch import Columns

log = logging.getLogger(__name__)
FAULTS = "faults.jsonl"


@dataclass(frozen=True, slots=True)
class Incidents:
    """How often a run had to recover, by kind."""

    out_of_memory: int  # steps repeated with less memory
    repeated_in_float32: int  # steps with NaN or Inf
    restored: int  # batches skipped after that, with the last good weights restored and the learning rate halved
    scaler_skips: int  # steps that the GradScaler skipped
    collapsed: int  # 1 if the run ended early because all texts got one vector


class FaultLog:
    """Counts faults, logs each, and appends it with details to a JSON Lines file.

    ``path`` is None if no file is wanted. Of several processes only one ``writes``.
    """

    def __init__(self, path: Path | None, writes: bool) -> None:
        self._path, self._writes = path, writes
        self.counts: Counter[str] = Counter()

    def report(self, kind: str, step: int, line: str, columns: Columns | None = None, **details: Any) -> None:
        """Record a fault at a step, counted from 1; ``columns`` are the rows of its batch."""
        self.counts[kind] += 1
        if not self._writes:
            return
        log.warning("train: step %d: %s", step, line)
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        record = {"kind": kind, "step": step, "line": line, **details}
        if columns is not None:
            record["rows"] = [
                dict(zip(columns, row, strict=True))
                for row in zip(*map(np.ndarray.tolist, columns.values()), strict=True)
            ]
        with self._path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(_plain(record), sort_keys=True, allow_nan=False) + "\n")

    @property
    def where(self) -> str:
        """Return a clause that names the file with the details."""
        return f"; figures and texts: {self._path}" if self._path else ""

    def incidents(self) -> Incidents:
        """Return the counts so far."""
        return Incidents(**{name: self.counts[name] for name in Incidents.__dataclass_fields__})


def _plain(value: Any) -> Any:
    """Return a value as JSON can represent it; NaN and Inf become strings."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else float(value)

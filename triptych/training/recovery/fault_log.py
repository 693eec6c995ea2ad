"""What went wrong in a run: counted for the metrics, said in the log, and kept with its figures in a file."""

import json
import logging
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)
FAULTS = "faults.jsonl"


@dataclass(frozen=True, slots=True)
class Incidents:
    """How often a run had to be helped."""

    out_of_memory: int  # steps repeated in less memory
    repeated_in_float32: int  # steps whose numbers were not finite
    restored: int  # batches left out after that, with the last good weights back and half the learning rate
    scaler_skips: int  # steps that the GradScaler left out
    collapsed: int  # 1 where the run ended early because all texts got one vector


class FaultLog:
    """Counts faults; writes each as a line of the log and, with its figures, of a JSON Lines file.

    ``path`` is None where no file is wanted; of several processes one ``writes``.
    """

    def __init__(self, path: Path | None, writes: bool) -> None:
        self._path, self._writes = path, writes
        self.counts: Counter[str] = Counter()

    def report(self, kind: str, step: int, line: str, **details: Any) -> None:
        """Take down a fault at a step, counted from 1."""
        self.counts[kind] += 1
        if not self._writes:
            return
        log.warning("train: step %d: %s", step, line)
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        record = {"kind": kind, "step": step, "line": line, **details}
        with self._path.open("a", encoding="utf-8", newline="\n") as lines:
            lines.write(json.dumps(_plain(record), sort_keys=True, allow_nan=False) + "\n")

    @property
    def where(self) -> str:
        """Return a half sentence on where the figures are."""
        return f"; figures and texts: {self._path}" if self._path else ""

    def incidents(self) -> Incidents:
        """Return the counts so far."""
        return Incidents(**{name: self.counts[name] for name in Incidents.__dataclass_fields__})


def _plain(value: Any) -> Any:
    """Return a value that JSON has a word for; NaN and infinities become their names."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else float(value)

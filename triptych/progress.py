"""Progress of long work: a bar in a terminal, a line every ten seconds in a log, nothing with ``--quiet``."""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
_DELAY = 2.0  # seconds before a bar appears
_LOG_INTERVAL = 10.0  # seconds between two lines of a log
_SWITCH = "TQDM_DISABLE"  # tqdm's own variable: other libraries respect it, child processes inherit it


def quiet() -> None:
    """Disable progress in this process and in its child processes."""
    os.environ[_SWITCH] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    transformers_logging = sys.modules.get("transformers.utils.logging")
    if transformers_logging is not None:  # it reads the variable only on import
        transformers_logging.disable_progress_bar()


def is_quiet() -> bool:
    """Return whether progress is disabled."""
    return os.environ.get(_SWITCH, "").lower() in ("1", "true")


def quiet_libraries() -> None:
    """Hide what libraries print for their own developers; to be called before they are imported."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # a note about optional kernels on each import
    logging.getLogger("transformers.trainer_utils").setLevel(logging.ERROR)  # a note about the padding token
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@contextmanager
def progress(label: str, total: int | None, unit: str) -> Iterator[Callable[[int], object]]:
    """Yield a function to be called with the number of units just finished; ``total`` is None if unknown.

    Writes to standard error, with rate and remaining time: a bar after two seconds, or a line of a log every ten.
    """
    if is_quiet():
        yield lambda number: None
    elif sys.stderr.isatty():
        with tqdm(total=total, desc=label, unit=f" {unit}", delay=_DELAY, leave=False, disable=False) as bar:
            yield bar.update
    else:
        yield _LogLines(label, total, unit).update


def strides(total: int, size: int, label: str, unit: str) -> Iterator[int]:
    """Yield the start of each batch of ``size`` units, with a `progress` over the units.

    >>> list(strides(5, 2, "mine", "anchors"))
    [0, 2, 4]
    """
    with progress(label, total, unit) as update:
        for start in range(0, total, size):
            yield start
            update(min(size, total - start))


def track(items: Iterable[Item], label: str, unit: str) -> Iterator[Item]:
    """Yield the items, of unknown number, with a `progress` that counts them."""
    with progress(label, None, unit) as update:
        for item in items:
            yield item
            update(1)


class _LogLines:
    """Progress as lines of a log."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._done = 0
        self._started = self._last_line = perf_counter()

    def update(self, number: int) -> None:
        self._done += number
        now = perf_counter()
        if now - self._last_line < _LOG_INTERVAL or not self._done:
            return
        self._last_line, rate = now, self._done / (now - self._started)
        of_total = remaining = ""
        if self._total is not None:
            of_total = f" of {self._total:,}"
            remaining = f", {tqdm.format_interval(max(self._total - self._done, 0) / rate)} left"
        sys.stderr.write(f"{self._label}: {self._done:,}{of_total} {self._unit}, {rate:,.1f} a second{remaining}\n")
        sys.stderr.flush()

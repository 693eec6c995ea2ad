"""Progress of long work: a bar in a terminal, a line now and then in a log, nothing where it is not wanted."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
_DELAY = 2.0  # seconds of work that is done before anybody wonders
_EVERY = 10.0  # seconds between two lines of a log
_SWITCH = "TQDM_DISABLE"  # tqdm's own, which other libraries heed, and processes inherit


def quiet() -> None:
    """Show no progress any more, in this process and in those it starts."""
    os.environ[_SWITCH] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    loaded = sys.modules.get("transformers.utils.logging")  # reads that only when it is imported
    if loaded is not None:
        loaded.disable_progress_bar()


@contextmanager
def progress(label: str, total: int | None, unit: str) -> Iterator[Callable[[int], object]]:
    """Yield what is told how many more units are done; ``total`` is None where nobody knows.

    On standard error: with rate and remaining time, from two seconds on; in a log every ten seconds.
    """
    if os.environ.get(_SWITCH, "").lower() in ("1", "true"):
        yield lambda number: None
    elif sys.stderr.isatty():
        with tqdm(total=total, desc=label, unit=f" {unit}", delay=_DELAY, leave=False, disable=False) as bar:
            yield bar.update
    else:
        yield _Lines(label, total, unit).update


def strides(total: int, size: int, label: str, unit: str) -> Iterator[int]:
    """Yield where each stretch of ``size`` units begins, under a `progress` that counts the units."""
    with progress(label, total, unit) as done:
        for start in range(0, total, size):
            yield start
            done(min(size, total - start))


def followed(items: Iterable[Item], label: str, unit: str) -> Iterator[Item]:
    """Yield items one after the other, nobody knows how many, under a `progress` that counts them."""
    with progress(label, None, unit) as done:
        for item in items:
            yield item
            done(1)


class _Lines:
    def __init__(self, label: str, total: int | None, unit: str) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._done = 0
        self._started = self._said = perf_counter()

    def update(self, number: int) -> None:
        self._done += number
        now = perf_counter()
        if now - self._said < _EVERY or not self._done:
            return
        self._said, rate = now, self._done / (now - self._started)
        of_total = left = ""
        if self._total is not None:
            of_total = f" of {self._total:,}"
            left = f", {tqdm.format_interval(max(self._total - self._done, 0) / rate)} left"
        sys.stderr.write(f"{self._label}: {self._done:,}{of_total} {self._unit}, {rate:,.1f} a second{left}\n")
        sys.stderr.flush()

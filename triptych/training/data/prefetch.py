"""Batches of a schedule, collated ahead of the step by threads.

torch's DataLoader prefetches too, but its workers are processes, each of which would get a copy of the corpus'
relations (pickled if processes are spawned, as on Windows), it asks for rows that depend on an evaluation still to
come, and the loop waits if its queue is empty. Here collating a batch is slicing the token store, for which a thread is
enough.
"""

from collections.abc import Callable, Iterator
from threading import Condition, Thread

import torch
from accelerate.utils import recursively_apply

from triptych.training.data.batch import Batch, Columns
from triptych.training.data.batch_schedule import DrawnSchedule, FixedSchedule


class BatchLoader:
    """Iterates over the batches of a schedule, in its order.

    ``first`` returns the number of the batch to begin with, more than 0 after a resume. Up to ``ahead`` batches are
    ready or being collated by ``workers`` threads, none beyond those whose rows the schedule knows; 0 collates each
    when it is asked for. For a CUDA ``device`` they are in page-locked memory, from which it copies without the CPU.
    `made_in_place` counts batches that were not ready: the first, the first after a decision of the schedule, and each
    that the loop collated itself because the threads were slower.
    """

    def __init__(
        self,
        schedule: FixedSchedule | DrawnSchedule,
        collator: Callable[[Columns], Batch],
        first: Callable[[], int],
        ahead: int,
        workers: int,
        device: torch.device,
    ) -> None:
        self._schedule, self._collator, self._first = schedule, collator, first
        self._ahead, self._workers, self._pinned = ahead, workers, device.type == "cuda"
        self._producers: Producers | None = None
        self.made_in_place = 0

    def __len__(self) -> int:
        """Return the number of batches of the whole run."""
        return len(self._schedule)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches in order; an earlier iteration ends."""
        self.close()
        first = self._first()
        self._producers = producers = Producers(self._make, self._schedule.known, first, self._ahead, self._workers)
        try:
            for number in range(first, len(self._schedule)):
                yield producers.take(number) or self._make_in_place(number)
        finally:
            producers.close()

    @property
    def ready(self) -> int:
        """Return how many batches are ready now."""
        return self._producers.ready if self._producers else 0

    def close(self) -> None:
        """End the threads, even if a traceback keeps the iterator of a failed loop alive."""
        if self._producers:
            self._producers.close()

    def _make_in_place(self, number: int) -> Batch:
        self.made_in_place += 1
        return self._make(number)

    def _make(self, number: int) -> Batch:
        batch = self._collator(self._schedule.rows(number))
        return recursively_apply(lambda tensor: tensor.pin_memory(), batch) if self._pinned else batch


class Producers:
    """Threads that make numbered batches in order, at most ``ahead`` of them before they are taken.

    Beside those, each thread may hold one batch whose number was taken in the meantime. An error is raised when its
    number is taken.
    """

    def __init__(
        self, make: Callable[[int], Batch], known: Callable[[], int], first: int, ahead: int, workers: int
    ) -> None:
        self._make, self._known, self._ahead = make, known, ahead
        self._made: dict[int, Batch | BaseException] = {}
        self._taken = self._begun = first  # all numbers below these are handed out, or being made
        self._stopped = False
        self._changed = Condition()
        self._threads = [Thread(target=self._work, daemon=True) for _ in range(workers if ahead else 0)]

    @property
    def ready(self) -> int:
        """Return how many batches are ready."""
        return len(self._made)

    def take(self, number: int) -> Batch | None:
        """Return the batch with the next number, or None if it is not ready; then the caller makes it."""
        with self._changed:
            made = self._made.pop(number, None)
            self._taken = number + 1
            self._begun = max(self._begun, self._taken)
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is None:  # started late, so that no thread makes the first batch while the caller does
                thread.start()
        if isinstance(made, BaseException):
            raise made
        return made

    def close(self) -> None:
        """End the threads, wait for them, and drop their batches."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        self._made.clear()

    def _work(self) -> None:
        while (number := self._next()) is not None:
            made: Batch | BaseException
            try:
                made = self._make(number)
            except BaseException as error:
                made = error
            with self._changed:
                if number >= self._taken and not self._stopped:
                    self._made[number] = made

    def _next(self) -> int | None:
        """Wait for a number to make; return None once the threads should end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._begun < self._limit())
            if self._stopped:
                return None
            self._begun += 1
            return self._begun - 1

    def _limit(self) -> int:
        return min(self._taken + self._ahead, self._known())

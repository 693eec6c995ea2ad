"""Batches of a schedule, from the step that training stands at, made ahead of it by threads.

Not torch's DataLoader, whose options make batches ahead too: its workers are processes, each of which would get a copy
of the corpus' relations (pickled where processes are spawned, as on Windows), it asks for rows that no evaluation has
decided yet, and where its queue is empty the loop stands still. Here a slice of the token store is a batch; a thread is
enough for that.
"""

from collections.abc import Callable, Iterator
from threading import Condition, Thread
from typing import Any

from accelerate.utils import recursively_apply

from triptych.training.data.batch_schedule import DrawnSchedule, FixedSchedule
from triptych.training.data.collator import Batch


class BatchLoader:
    """Iterates over the batches of a schedule, in its order.

    ``first`` tells at which to begin, more than 0 after a resume. Up to ``ahead`` batches lie ready or are being made
    by ``workers`` threads, none beyond what the schedule knows; 0 makes each when it is asked for. ``pinned`` puts them
    where a GPU can fetch them by itself. `made_in_place` counts batches that were not ready: the first, those behind a
    horizon, and each that the loop had to make because the threads were slower.
    """

    def __init__(
        self,
        schedule: FixedSchedule | DrawnSchedule,
        collator: Callable[[list[dict[str, Any]]], Batch],
        first: Callable[[], int],
        ahead: int = 0,
        workers: int = 1,
        pinned: bool = False,
    ) -> None:
        self._schedule, self._collator, self._first = schedule, collator, first
        self._ahead, self._workers, self._pinned = ahead, workers, pinned
        self._producers: Producers | None = None
        self.made_in_place = 0

    def __len__(self) -> int:
        """Return the number of batches of the whole run."""
        return len(self._schedule)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batch after batch; what was begun before ends."""
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
        """Return how many batches lie ready now."""
        return self._producers.ready if self._producers else 0

    def close(self) -> None:
        """End the threads, whatever way the loop was left; a traceback may keep the iterator from doing so."""
        if self._producers:
            self._producers.close()

    def _make_in_place(self, number: int) -> Batch:
        self.made_in_place += 1
        return self._make(number)

    def _make(self, number: int) -> Batch:
        batch = self._collator(self._schedule.rows(number))
        return recursively_apply(lambda tensor: tensor.pin_memory(), batch) if self._pinned else batch


class Producers:
    """Threads that make what is numbered in order, in a window that moves with who takes it.

    At most ``ahead`` are begun and not taken, and each thread may hold one that was taken in the meantime: no more are
    alive beside what was handed out. An error is raised where its number is taken.
    """

    def __init__(
        self, make: Callable[[int], Batch], known: Callable[[], int], first: int, ahead: int, workers: int
    ) -> None:
        self._make, self._known, self._ahead = make, known, ahead
        self._made: dict[int, Batch | BaseException] = {}
        self._taken = self._begun = first  # numbers below are handed out; below are begun by someone
        self._stopped = False
        self._changed = Condition()
        self._threads = [Thread(target=self._work, daemon=True) for _ in range(workers if ahead else 0)]

    @property
    def ready(self) -> int:
        """Return how many lie ready."""
        return len(self._made)

    def take(self, number: int) -> Batch | None:
        """Return what has the next number, or nothing where it is not ready; then the caller makes it."""
        with self._changed:
            made = self._made.pop(number, None)
            self._taken = number + 1
            self._begun = max(self._begun, self._taken)
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is None:  # started late, so that no one makes the first one beside the caller
                thread.start()
        if isinstance(made, BaseException):
            raise made
        return made

    def close(self) -> None:
        """End the threads, wait for them, and let go of what they made."""
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
        """Wait for a number to be made; return none when all is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._begun < self._until())
            if self._stopped:
                return None
            self._begun += 1
            return self._begun - 1

    def _until(self) -> int:
        return min(self._taken + self._ahead, self._known())

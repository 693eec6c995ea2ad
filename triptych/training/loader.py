"""Batches of a schedule, from the step that training stands at."""

from collections.abc import Callable, Iterator

from triptych.training.batches import Batch, Collator
from triptych.training.distilling import LessonCollator
from triptych.training.schedule import Schedule


class Loader:
    """Iterates over the batches of a schedule; ``first`` tells at which one to begin, more than 0 after a resume."""

    def __init__(self, schedule: Schedule, collator: Collator | LessonCollator, first: Callable[[], int]) -> None:
        self._schedule, self._collator, self._first = schedule, collator, first
        self.made_in_place = 0

    def __len__(self) -> int:
        """Return the number of batches of the whole run."""
        return len(self._schedule)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batch after batch."""
        for batch in range(self._first(), len(self._schedule)):
            self.made_in_place += 1
            yield self._collator(self._schedule.rows(batch))

"""Prefetched batches come in order, their number is bounded, and no thread outlives the loop."""

import threading
import time
import weakref

import numpy as np
import pytest
import torch

from triptych.training.data.batch_schedule import FixedSchedule
from triptych.training.data.prefetch import BatchLoader

LENGTH = 20
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class Made(dict):
    """A batch that is counted as long as anyone holds it."""

    __hash__ = object.__hash__


class Collate:
    """A collator that can be slow in a thread or fail, and keeps count of the batches alive."""

    def __init__(self, slow=0.0, fails_at=-1):
        self.slow, self.fails_at = slow, fails_at
        self.alive, self.most, self.made, self.threads = weakref.WeakSet(), 0, [], set()
        self._lock = threading.Lock()

    def __call__(self, columns):
        number = int(columns["anchor"][0])
        if threading.current_thread() is not threading.main_thread():
            time.sleep(self.slow)
        if number == self.fails_at:
            raise ValueError(f"batch {number} cannot be made")
        batch = Made(anchor=torch.tensor(number))
        with self._lock:
            self.threads.add(threading.current_thread())
            self.made.append(number)
            self.alive.add(batch)
            self.most = max(self.most, len(self.alive))
        return batch


class Opening(FixedSchedule):
    """A schedule whose rows behind a horizon are not known yet."""

    __slots__ = ()
    horizon = LENGTH

    def known(self):
        return self.horizon


@pytest.fixture
def schedule():
    return FixedSchedule.from_columns({"anchor": np.arange(LENGTH)}, 1)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def until(condition):
    """Wait until threads have made a condition true."""
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def seen(loader, pause=0.0):
    """Return the numbers of the batches; ``pause`` is the duration of a step in seconds."""
    numbers = []
    for batch in loader:
        numbers.append(int(batch["anchor"]))
        del batch
        time.sleep(pause)
    return numbers


@pytest.mark.parametrize(("ahead", "workers", "slow"), [(0, 1, 0.0), (4, 1, 0.0), (4, 3, 0.002), (1, 3, 0.002)])
@pytest.mark.parametrize("first", [0, 7])
def test_order_is_that_of_the_schedule_whatever_thread_collated_a_batch(schedule, ahead, workers, slow, first):
    loader = BatchLoader(schedule, Collate(slow), lambda: first, ahead, workers, CPU)
    assert seen(loader) == list(range(first, LENGTH))
    assert len(loader) == LENGTH


def test_batches_are_ready_when_the_loop_is_slower(schedule):
    collate = Collate()
    loader = BatchLoader(schedule, collate, lambda: 0, 4, 1, CPU)
    for number, batch in enumerate(loader):
        assert int(batch["anchor"]) == number
        until(lambda after=number + 1: loader.ready == min(4, LENGTH - after))
    assert loader.made_in_place == 1  # the first
    assert sorted(collate.made) == list(range(LENGTH))  # each once


def test_without_prefetch_no_thread_starts(schedule):
    collate = Collate()
    loader = BatchLoader(schedule, collate, lambda: 0, 0, 3, CPU)
    assert seen(loader) == list(range(LENGTH))
    assert collate.threads == {threading.main_thread()}
    assert loader.made_in_place == LENGTH


def test_an_empty_queue_does_not_stop_the_loop_and_is_counted(schedule):
    loader = BatchLoader(schedule, Collate(slow=0.05), lambda: 0, 4, 1, CPU)
    start = time.monotonic()
    assert seen(loader) == list(range(LENGTH))
    assert time.monotonic() - start < 0.05 * LENGTH / 2
    assert loader.made_in_place > LENGTH / 2


@pytest.mark.parametrize(("ahead", "workers"), [(4, 1), (4, 3), (2, 4)])
def test_batches_alive_are_bounded(schedule, ahead, workers):
    for slow, pause in ((0.0, 0.003), (0.003, 0.0), (0.002, 0.001)):
        collate = Collate(slow)
        seen(BatchLoader(schedule, collate, lambda: 0, ahead, workers, CPU), pause)
        assert collate.most <= ahead + workers + 1  # and the one that the loop is at
        assert not collate.alive


def test_only_batches_that_the_schedule_knows_are_collated(schedule):
    schedule = Opening(schedule.batches, 1)
    Opening.horizon = 5
    collate = Collate()
    loader = BatchLoader(schedule, collate, lambda: 0, 4, 1, CPU)
    for number, _ in enumerate(loader):
        if number < 4:
            until(lambda: max(collate.made) == 4)
        if number == 4:  # evaluated: the next five are known
            time.sleep(0.02)
            assert max(collate.made) == 4
            Opening.horizon = LENGTH
    assert loader.made_in_place >= 2
    assert sorted(set(collate.made)) == list(range(LENGTH))


@pytest.mark.parametrize("ahead", [0, 4])
def test_an_error_in_the_loop_ends_the_threads_once_the_loader_is_closed(schedule, ahead):
    loader = BatchLoader(schedule, Collate(), lambda: 0, ahead, 1, CPU)

    def loop():
        for _ in loader:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as kept:  # its traceback holds the iterator
        loop()
    loader.close()
    assert kept.value.__traceback__ is not None
    assert loader.ready == 0


def test_a_deleted_iterator_ends_its_threads(schedule):
    batches = iter(BatchLoader(schedule, Collate(), lambda: 0, 4, 1, CPU))
    next(batches)
    assert threading.active_count() > 1
    batches.close()


def test_the_threads_of_the_previous_loop_end_with_the_next(schedule):
    loader = BatchLoader(schedule, Collate(), lambda: 0, 4, 1, CPU)
    first = iter(loader)
    next(first)
    threads = threading.active_count()
    second = iter(loader)
    assert int(next(second)["anchor"]) == 0
    assert threading.active_count() == threads
    second.close()


@pytest.mark.parametrize("ahead", [0, 4])
def test_an_error_of_the_collator_comes_when_its_batch_is_due(schedule, ahead):
    numbers = []
    loader = BatchLoader(schedule, Collate(fails_at=6), lambda: 0, ahead, 1, CPU)

    def loop():
        for batch in loader:
            numbers.append(int(batch["anchor"]))
            until(lambda: loader.ready or ahead == 0 or numbers[-1] == 5)

    with pytest.raises(ValueError, match="batch 6 cannot be made"):
        loop()
    assert numbers == [0, 1, 2, 3, 4, 5]


def test_batches_for_cuda_are_pinned_and_those_for_a_cpu_are_not(schedule, monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(int(tensor)) or tensor)
    assert seen(BatchLoader(schedule, Collate(), lambda: 0, 4, 1, CPU)) == list(range(LENGTH))
    assert pinned == []
    assert seen(BatchLoader(schedule, Collate(), lambda: 0, 4, 1, CUDA)) == list(range(LENGTH))
    assert set(pinned) == set(range(LENGTH))

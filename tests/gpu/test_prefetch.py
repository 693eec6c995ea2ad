"""Prefetch: batches are collated while a step runs, in pinned memory, and copied without waiting for the GPU."""

import time
from dataclasses import replace
from threading import Condition

import torch
from transformers import TrainerCallback

from benchmarks.gpu_workload import make_rows
from triptych.training.fast.grad_cache import GradCache
from triptych.training.recovery.step_guard import StepGuard


class Collated(TrainerCallback):
    """Counts the batches that a collator makes, and waits within each step for those of the next steps."""

    def __init__(self, collator, timeout):
        self._collator, self._timeout, self._changed = collator, timeout, Condition()
        self.made, self.ahead = 0, []

    def __call__(self, columns):
        batch = self._collator(columns)
        with self._changed:
            self.made += 1
            self._changed.notify_all()
        return batch

    def on_step_end(self, args, state, control, **kwargs):
        with self._changed:
            wanted = min(state.global_step + 3, state.max_steps)
            self._changed.wait_for(lambda: self.made >= wanted, self._timeout)
            self.ahead.append(self.made - state.global_step)


def test_batches_are_collated_while_a_step_runs(device, short_run):
    def batches_ahead(prefetch_batches, timeout):
        rows = make_rows("tiny-bert", 4, 8, 16)
        collated = Collated(rows.training_data.collator, timeout)
        rows = rows._replace(training_data=replace(rows.training_data, collator=collated))
        short_run(rows=rows, callbacks=[collated], prefetch_batches=prefetch_batches)
        return collated.ahead

    assert min(batches_ahead(4, timeout=20)[:5]) >= 3
    assert max(batches_ahead(0, timeout=0.05)[:5]) < 3


def batch_tensors(batch):
    return [*batch["rows"].values(), *(one for group in batch["features"] for one in group.values())]


def test_batches_come_in_pinned_memory_and_copying_them_does_not_wait_for_the_gpu(gpu, short_run, monkeypatch):
    pinned, waited, clock = [], [], {}
    run, backward = StepGuard._run, GradCache.backward

    def busy(self, model, batches, *more, **changes):
        pinned.extend(one.is_pinned() for batch in batches for one in batch_tensors(batch))
        torch.cuda.synchronize()
        torch.cuda._sleep(400_000_000)  # cycles: some 0.2 s
        clock["start"] = time.perf_counter()
        return run(self, model, batches, *more, **changes)

    def begins(self, model, batch, *more):
        waited.append(time.perf_counter() - clock["start"])
        assert {one.device.type for one in batch_tensors(batch)} == {"cuda"}
        return backward(self, model, batch, *more)

    monkeypatch.setattr(StepGuard, "_run", busy)
    monkeypatch.setattr(GradCache, "backward", begins)
    short_run(steps=5)
    assert all(pinned)
    assert len(waited) == 5
    assert sorted(waited)[2] < 0.05


def test_the_trace_of_a_run_has_copies_from_pinned_memory(gpu, short_run):
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profiler:
        short_run(steps=5)
    copies = [event for event in profiler.events() if event.name.startswith("Memcpy HtoD (Pinned")]
    assert len(copies) >= 5 * 8  # tensors of a batch: at least six of the rows, and two for each width


def test_losses_do_not_depend_on_prefetching(device, short_run):
    ahead, on_demand = short_run(prefetch_batches=4, prefetch_workers=3), short_run(prefetch_batches=0)
    assert torch.allclose(ahead.losses, on_demand.losses, rtol=1e-5)

"""Concurrent requests run in batches: whoever waits while a thread works is served together by the next free one."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class OverloadedError(Exception):
    """As many items wait as may; try again later."""


class Batcher(Generic[Item, Result]):
    """Runs a function over the items of concurrent callers, several at a time, in threads.

    A free thread takes its share of what waits at once: nothing waits for a batch to fill. An item whose caller is
    gone is left out. If a batch fails, its items run one by one, so that each caller gets its own error.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], list[Result]],
        threads: Executor,
        workers: int,
        batch: int,
        waiting: int,
    ) -> None:
        """Run ``run`` on at most ``batch`` items in at most ``workers`` threads; at most ``waiting`` items wait."""
        self._run, self._threads, self._number, self._batch = run, threads, workers, batch
        self._queue: asyncio.Queue[tuple[Item, asyncio.Future[Result]]] = asyncio.Queue(waiting)
        self._workers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._number)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def submit(self, item: Item) -> Result:
        """Return the function's result for an item; raise what it raises, or `OverloadedError`."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait((item, future))
        except asyncio.QueueFull:
            raise OverloadedError from None
        return await future

    async def _work(self) -> None:
        while True:
            batch = [await self._queue.get()]
            share = -(-(self._queue.qsize() + 1) // self._number)
            while len(batch) < min(share, self._batch) and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._answer(batch)

    async def _answer(self, batch: list[tuple[Item, "asyncio.Future[Result]"]]) -> None:
        batch = [(item, future) for item, future in batch if not future.done()]
        if not batch:
            return
        loop = asyncio.get_running_loop()
        try:
            results = await loop.run_in_executor(self._threads, self._run, [item for item, _ in batch])
        except Exception as error:
            if len(batch) > 1:
                for one in batch:
                    await self._answer([one])
            elif not batch[0][1].done():
                batch[0][1].set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)

"""Work on a Ray cluster, by actors that hold the function and what it needs."""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any, TypeVar

from triptych.errors import UserError

Piece = TypeVar("Piece")
Result = TypeVar("Result")
_STORE = 2 * 2**30  # bytes of a local cluster for what is sent; more goes to the disk
_AHEAD = 2  # pieces of an actor that are sent before the result of the first is taken


class _Worker:
    """Keeps the last function: what it refers to, such as a model or an index, is read once, not with every piece."""

    def __init__(self) -> None:
        self._held: list[Any] = []
        self._work: Callable[[Any], Any] | None = None

    def run(self, folder: Path, held: list[Any], piece: Any) -> Any:
        """Return what the function under the only reference in ``held`` returns of a piece.

        ``folder`` is that of the project, to which paths are relative; every machine needs it at the same path.
        """
        os.chdir(folder)
        if self._work is None or held != self._held:
            import ray

            self._held, self._work = held, ray.get(held[0])
        return self._work(piece)


def in_order_on_ray(work: Callable[[Piece], Result], pieces: Iterable[Piece], gpu: bool) -> Iterator[Result]:
    """Yield what ``work`` returns of each piece, in the order of the pieces.

    A piece whose worker or machine dies is run again on another one. A single piece is run here.
    """
    first = list(islice(pieces := iter(pieces), 2))
    if len(first) < 2:
        yield from map(work, first)
        return
    ray = _connected()
    kind = "GPU" if gpu and ray.cluster_resources().get("GPU") else "CPU"
    workers = _workers(kind, ray.get_runtime_context().get_job_id())
    held, folder = [ray.put(work)], Path.cwd()
    pending: deque[Any] = deque()
    for piece, one in zip(chain(first, pieces), cycle(workers), strict=False):
        pending.append(one.run.remote(folder, held, piece))
        if len(pending) >= _AHEAD * len(workers):
            yield _result(ray, pending.popleft())
    while pending:
        yield _result(ray, pending.popleft())


@cache
def _workers(kind: str, _job: str) -> list[Any]:
    """Start a worker for each core or GPU of the cluster; they live as long as this process is connected to it."""
    import ray

    number = max(int(ray.cluster_resources().get(kind, 1)), 1)
    options = {"num_cpus": 1, "num_gpus": int(kind == "GPU"), "max_restarts": -1, "max_task_retries": -1}
    worker = ray.remote(_Worker).options(scheduling_strategy="SPREAD", **options)
    return [worker.remote() for _ in range(number)]


def _result(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None  # the error itself, without the traceback of the worker in its message


def _connected() -> Any:
    """Return the module ``ray``, connected to the cluster at ``RAY_ADDRESS`` or to a new one of this machine."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise UserError("TRIPTYCH_ENGINE is ray, which is not installed; run `pip install 'triptych[ray]'`") from error
    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS")
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
        if address:
            try:
                ray.init(address=address, **quiet)
            except ConnectionError as error:
                raise UserError(
                    f"RAY_ADDRESS is {address}, where no Ray cluster answers; start one with `ray start --head`, or"
                    " leave RAY_ADDRESS out for one of this machine"
                ) from error
        else:
            here = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}  # Ray counts the cores
            ray.init(address="local", object_store_memory=_STORE, **here, **quiet)
    return ray

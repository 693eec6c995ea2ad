"""The one door to parallel work: a function of many pieces, whose results come in the order of the pieces.

``TRIPTYCH_ENGINE=ray`` runs them on a Ray cluster, the one at ``RAY_ADDRESS`` or a local one. It is no param of a
stage, since the pieces and the function are the same everywhere, and so are the bytes that a stage writes.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from triptych.errors import UserError

Piece = TypeVar("Piece")
Result = TypeVar("Result")
_ENGINE = "TRIPTYCH_ENGINE"


def on_ray() -> bool:
    """Return whether work runs on a Ray cluster; raise `UserError` on the name of an engine that does not exist."""
    name = os.environ.get(_ENGINE, "")
    if name not in ("", "ray"):
        raise UserError(f"{_ENGINE} is {name!r}; expected ray, or leave it out to work in one process")
    return bool(name)


def in_order(
    work: Callable[[Piece], Result], pieces: Iterable[Piece], processes: int = 1, gpu: bool = False
) -> Iterator[Result]:
    """Yield what ``work`` returns of each piece, in the order of the pieces; an error of a piece is raised as it is.

    ``work``, pieces and results are pickled where other processes work. Here ``processes`` do, if it is above 1; on Ray
    as many as the cluster has cores, or with ``gpu`` as it has GPUs. There pieces are read as results are taken, so
    that few of both are in memory.
    """
    if on_ray():
        from triptych.engine.ray_workers import in_order_on_ray

        yield from in_order_on_ray(work, pieces, gpu)
    elif processes > 1:
        with multiprocessing.Pool(processes) as pool:
            yield from pool.imap(work, pieces)
    else:
        yield from map(work, pieces)

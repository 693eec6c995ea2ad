"""The one door to parallel work: a function of many pieces, whose results come in the order of the pieces."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def in_order(work: Callable[[Piece], Result], pieces: Iterable[Piece], processes: int = 1) -> Iterator[Result]:
    """Yield what ``work`` returns of each piece, in the order of the pieces; an error of a piece is raised as it is.

    ``work``, pieces and results are pickled where ``processes`` is above 1, and the pieces are then read ahead.
    """
    if processes > 1:
        with multiprocessing.Pool(processes) as pool:
            yield from pool.imap(work, pieces)
    else:
        yield from map(work, pieces)

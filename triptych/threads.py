"""How the threads of a process share the cores with other programs. Imports nothing that computes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_SPINS = "3000"  # docs/benchmarks.md compares


def wait_briefly() -> None:
    """Let the threads of PyTorch and FAISS spin a moment only, then sleep, where they wait for each other.

    By default GNU OpenMP lets them spin for milliseconds. Where another program has a core, threads that wait then take
    it from the one that works. Call it before these libraries are loaded. What the user has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute NumPy's products in one thread inside the block.

    For the small products of a question: a second thread saves a quarter of their time on idle cores, and where the
    cores have other work, each product waits until the other thread gets its turn. The number of threads is that of the
    process. Of several threads that are inside at once, the first to enter sets it and sets it back (`threadpoolctl`).
    """
    with _openblas().limit(limits=1):
        yield


@cache
def _openblas() -> Any:
    from threadpoolctl import ThreadpoolController  # of the extra search, which stages and commands may lack

    return ThreadpoolController().select(threading_layer="pthreads")  # of NumPy and SciPy; FAISS has its own

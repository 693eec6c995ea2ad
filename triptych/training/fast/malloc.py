"""Tell glibc's malloc to keep freed memory."""

import ctypes
import logging
import sys

log = logging.getLogger(__name__)
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_LARGEST = 1 << 30  # bytes; no activation of a step on a CPU is larger


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the rest of the process; other C libraries are left as they are.

    By default it returns large blocks to the system at once and requests them again, page by page, for the next matrix
    product: a fifth of the time of a step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None or not (mallopt(_MMAP_THRESHOLD, _LARGEST) and mallopt(_TRIM_THRESHOLD, 2 * _LARGEST - 1)):
        log.debug("freed memory is returned to the system: there is no mallopt")

"""Exceptions whose message is shown to the user, and which errors mean that memory ran out."""

import errno
from pathlib import Path

# What libraries write where they have no exception of their own: torch on a CPU, CUDA's libraries, FAISS, safetensors.
_OUT_OF_MEMORY = ("out of memory", "allocate memory", "bad_alloc", "ALLOC_FAILED", "CUDNN_STATUS_NOT_SUPPORTED")
_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
_FULL_TEXTS = ("No space left on device", "os error 28", "PytorchStreamWriter failed writing", " requested and ")
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


class UserError(Exception):
    """An error that the user can fix. The message names what is wrong and what to do; no traceback is shown."""


class ArtifactError(UserError):
    """A file or folder that a stage writes is missing, damaged, or does not fit the others.

    The library does not know which stage writes ``path``; the caller that prints the error adds the command
    (`triptych.pipeline.with_remedy`).
    """

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} {problem}")
        self.path = path


class NothingToTrainOnError(UserError):
    """The texts give a model nothing to learn from; a run goes on without training it."""


class OutOfMemoryError(UserError):
    """Memory ran out where nothing smaller is left to try; the message names what to set."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error is about running out of memory, on the device or on the host. Imports no PyTorch."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, UserError):
        return isinstance(error, OutOfMemoryError)
    return isinstance(error, MemoryError) or (
        isinstance(error, Exception)
        and (type(error).__name__ == "OutOfMemoryError" or any(part in str(error) for part in _OUT_OF_MEMORY))
    )


def out_of_memory_message(error: Exception) -> str | None:
    """Return what to print instead of a traceback if an error means that memory ran out; else None."""
    if not is_out_of_memory(error):
        return None
    return (
        f"memory ran out ({first_line(error)}); close other programs, or set what takes less: train.load_in: bf16, 8bit"
        " or 4bit, a lower tokenize.max_length or tokenize.max_windows, index.precision: int8 or binary, a smaller"
        " model.base; `triptych estimate` prints what training takes"
    )


def disk_message(error: Exception) -> str | None:
    """Return what to print instead of a traceback if a disk is full, broken, or may not be read or written; else None.

    Libraries raise errors of their own around that of the system, which is then known by its words.
    """
    number, name = (error.errno, error.filename) if isinstance(error, OSError) else (None, None)
    text = first_line(error)
    where = f"{name}" if name is not None else f"a file in {Path.cwd().name}"
    if number in _FULL or any(part in str(error) for part in _FULL_TEXTS):
        return f"{where}: the disk is full ({text}); make room, then run again: nothing half-written is used"
    if number in _FORBIDDEN or "Permission denied" in str(error):
        return f"{where}: may not be read or written by this user ({text}); change its owner or mode, then run again"
    if number == errno.EIO:
        return f"{where}: the disk cannot read or write it ({text}); check the disk, then run again"
    return None


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

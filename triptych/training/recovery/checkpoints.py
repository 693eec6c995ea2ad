"""Checkpoints of a run: written atomically, found again by a hash of the run's inputs, removed when it is done.

Each has the hashes of its files: one that a disk damaged would otherwise continue the run with other weights.
"""

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import file_digest, sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import TrainerCallback

import triptych
from triptych.errors import UserError
from triptych.training.recovery.fault_log import FAULTS

log = logging.getLogger(__name__)
_KEPT = 2
_HASHES = "sha256.json"
_PARTIAL = "partial"
_LIBRARIES = ("torch", "transformers", "sentence-transformers", "accelerate", "peft", "numpy", "bitsandbytes")


class CheckpointedCallback(TrainerCallback):
    """A callback whose state is saved in each checkpoint and loaded again in a resumed run."""

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs to continue in the same way, as JSON."""
        raise NotImplementedError

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a state; called before the weights of the checkpoint are loaded."""
        raise NotImplementedError


def write_states(path: Path, callbacks: list[TrainerCallback]) -> None:
    """Write the state of the checkpointed callbacks; floats keep all digits."""
    states = {type(one).__name__: one.state() for one in callbacks if isinstance(one, CheckpointedCallback)}
    path.write_text(json.dumps(states), encoding="utf-8")


def load_states(path: Path, callbacks: list[TrainerCallback]) -> None:
    """Load the state of the checkpointed callbacks."""
    states = json.loads(path.read_text(encoding="utf-8"))
    for one in callbacks:
        if isinstance(one, CheckpointedCallback):
            one.load(states[type(one).__name__])


def run_key(name: str, settings: list[Any], data: list[Path]) -> str:
    """Return a hash of everything that decides how a run goes: name, settings, data, our code, libraries, device.

    ``data`` are files, and folders with everything in them.
    """
    key = sha256(f"{name} {settings}".encode())
    code = sorted(Path(triptych.__file__).parent.rglob("*.py"))
    files = [one for path in data for one in ([path] if path.is_file() else sorted(path.rglob("*"))) if one.is_file()]
    for path in [*code, *files]:
        with path.open("rb") as file:
            key.update(path.name.encode() + file_digest(file, "sha256").digest())
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    key.update(f"{[version(one) for one in _LIBRARIES]} {device} {os.environ.get('WORLD_SIZE', 1)}".encode())
    return key.hexdigest()[:16]


def last_checkpoint(folder: Path) -> Path | None:
    """Return the last checkpoint that is whole, or None if there is none; a damaged one is left out with a warning."""
    for path in sorted(_checkpoints(folder), key=step_of, reverse=True):
        try:
            hashes = json.loads((path / _HASHES).read_text(encoding="utf-8"))
            damaged = [name for name, digest in hashes.items() if _sha256(path / name) != digest]
        except (OSError, ValueError, AttributeError) as error:
            damaged = [f"{_HASHES} ({error})"]
        if not damaged:
            return path
        log.warning("train: %s is damaged (%s) and is not continued from", path, ", ".join(damaged))
    return None


@contextmanager
def atomic_checkpoint(folder: Path, name: str, main: bool) -> Iterator[Path]:
    """Yield where to write a checkpoint; it gets its final name in ``folder`` only when it is complete.

    The previous checkpoint stays until this one is safely on disk. Raise `UserError` if it cannot be written. Of
    several processes the ``main`` one does this, the others only write their files.
    """
    partial = folder / _PARTIAL / name
    if not main:
        yield partial.parent
        return
    try:
        shutil.rmtree(partial.parent, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial.parent
        hashes = {path.name: _sha256(path) for path in sorted(partial.iterdir())}
        (partial / _HASHES).write_text(json.dumps(hashes), encoding="utf-8")
        for path in partial.iterdir():
            _fsync(path)
        shutil.rmtree(folder / name, ignore_errors=True)
        partial.rename(folder / name)
        _fsync(folder)
    # torch and safetensors raise their own errors if the disk is full.
    except (OSError, RuntimeError, SafetensorError) as error:
        raise _write_error(folder, partial, error) from error
    shutil.rmtree(partial.parent, ignore_errors=True)
    for path in sorted(_checkpoints(folder), key=step_of)[:-_KEPT]:
        shutil.rmtree(path, ignore_errors=True)


def step_of(checkpoint: Path) -> int:
    """Return the number of steps after which a checkpoint was written."""
    return int(checkpoint.name.rpartition("-")[2])


def clear_checkpoints(round_folder: Path) -> None:
    """Remove all checkpoints of a finished round; its list of faults stays."""
    for path in round_folder.glob("*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
    if round_folder.is_dir() and not (round_folder / FAULTS).exists():
        with suppress(OSError):  # it has files that are not ours
            round_folder.rmdir()


def _checkpoints(folder: Path) -> list[Path]:
    return [path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit()]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    """Wait until a file, or on POSIX the entries of a folder, would survive a power failure."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_error(folder: Path, partial: Path, error: Exception) -> UserError:
    size = sum(one.stat().st_size for one in partial.glob("*"))
    shutil.rmtree(partial.parent, ignore_errors=True)
    before, free = last_checkpoint(folder), shutil.disk_usage(folder).free
    return UserError(
        f"{folder / partial.name} cannot be written: {str(error).strip().splitlines()[0]} (after {size / 2**20:.1f} MB,"
        f" {free / 2**20:.1f} MB are free); make room and run again, "
        + (f"training continues from {before.name}" if before else "training starts from scratch")
    )

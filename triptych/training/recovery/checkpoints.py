"""Checkpoints of a run: written whole, found again by what the run is made of, removed when it is done."""

import json
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
from transformers.trainer_utils import get_last_checkpoint

import triptych
from triptych.errors import UserError
from triptych.training.recovery.fault_log import FAULTS

_KEPT = 2
_PARTIAL = "partial"
_LIBRARIES = ("torch", "transformers", "sentence-transformers", "accelerate", "peft", "numpy", "bitsandbytes")


class Resumable(TrainerCallback):
    """A callback that remembers: what it knows is in each checkpoint, and given back to it in a resumed run."""

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs to go on in the same way, as JSON."""
        raise NotImplementedError

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state; the weights of the checkpoint are loaded after that."""
        raise NotImplementedError


def write_states(path: Path, callbacks: list[TrainerCallback]) -> None:
    """Write what the resumable ones among some callbacks know, numbers to the last digit."""
    states = {type(one).__name__: one.state() for one in callbacks if isinstance(one, Resumable)}
    path.write_text(json.dumps(states), encoding="utf-8")


def load_states(path: Path, callbacks: list[TrainerCallback]) -> None:
    """Give the resumable callbacks back what they knew."""
    states = json.loads(path.read_text(encoding="utf-8"))
    for one in callbacks:
        if isinstance(one, Resumable):
            one.load(states[type(one).__name__])


def run_key(name: str, settings: list[Any], data: list[Path]) -> str:
    """Return a key of all that decides how a run goes: its name, settings, data, our code, libraries, the device.

    ``data`` are files, and folders with all that is in them.
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
    """Return the checkpoint to go on from, or None where there is none."""
    found = get_last_checkpoint(folder) if folder.is_dir() else None
    return Path(found) if found else None


@contextmanager
def whole_checkpoint(folder: Path, name: str, first: bool) -> Iterator[Path]:
    """Yield where to write a checkpoint; what is there when the block ends is in ``folder`` as a whole, or not at all.

    The checkpoint before stays until this one is safe on the disk. Where it cannot be written, raise `UserError`. Of
    several processes the ``first`` sees to that, the others write what is theirs.
    """
    partial = folder / _PARTIAL / name
    if not first:
        yield partial.parent
        return
    try:
        shutil.rmtree(partial.parent, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial.parent
        for path in partial.iterdir():
            _to_disk(path)
        shutil.rmtree(folder / name, ignore_errors=True)
        partial.rename(folder / name)
        _to_disk(folder)
    # torch and safetensors have their own words for a disk that is full.
    except (OSError, RuntimeError, SafetensorError) as error:
        raise _not_written(folder, partial, error) from error
    shutil.rmtree(partial.parent, ignore_errors=True)
    for path in sorted(folder.glob("checkpoint-*"), key=step_of)[:-_KEPT]:
        shutil.rmtree(path, ignore_errors=True)


def step_of(checkpoint: Path) -> int:
    """Return how many steps a checkpoint has behind it."""
    return int(checkpoint.name.rpartition("-")[2])


def clear_checkpoints(round_folder: Path) -> None:
    """Remove all checkpoints of a round that is done; a list of its faults stays."""
    for path in round_folder.glob("*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
    if round_folder.is_dir() and not (round_folder / FAULTS).exists():
        with suppress(OSError):  # something of the user's is in it
            round_folder.rmdir()


def _to_disk(path: Path) -> None:
    """Wait until a file, or on POSIX the entries of a folder, would survive a power cut."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _not_written(folder: Path, partial: Path, error: Exception) -> UserError:
    size = sum(one.stat().st_size for one in partial.glob("*"))
    shutil.rmtree(partial.parent, ignore_errors=True)
    before, free = last_checkpoint(folder), shutil.disk_usage(folder).free
    return UserError(
        f"{folder / partial.name} cannot be written: {str(error).strip().splitlines()[0]} (after {size / 2**20:.1f} MB,"
        f" {free / 2**20:.1f} MB are free); make room and run again, "
        + (f"training goes on from {before.name}" if before else "training begins anew")
    )

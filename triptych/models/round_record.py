"""The record of a round, ``round.json``, which describes the trained weights beside it."""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from triptych.artifacts import read_json, write_json

_SKIPPED = "end.json"


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """A trained round, or the base model itself (method ``base``)."""

    method: str
    base: dict[str, Any]
    max_length: int
    strength: float  # chosen on dev; 0 is the base model
    trained_in: str  # the round that trained these weights; an earlier one if this round was not better on dev
    dev: float | None  # `promote.measure` on dev at that strength; None if dev was not evaluated


def write_round_record(folder: Path, record: RoundRecord) -> None:
    """Write ``round.json`` into an existing folder."""
    write_json(folder / "round.json", asdict(record))


def read_round_record(folder: Path) -> RoundRecord:
    """Read ``round.json``."""
    return RoundRecord(**read_json(folder / "round.json"))


def write_better_round(folder: Path, record: RoundRecord, previous_folder: Path) -> RoundRecord:
    """Write a round's record beside its weights, or replace both by the previous round if it is as good on dev."""
    previous = read_round_record(previous_folder)
    if previous.dev is not None and record.dev is not None and previous.dev >= record.dev:
        shutil.rmtree(folder)
        return copy_round(folder, previous_folder)
    write_round_record(folder, record)
    return record


def copy_round(folder: Path, previous_folder: Path) -> RoundRecord:
    """Copy the previous round into an existing folder; return its record."""
    shutil.copytree(previous_folder, folder, copy_function=shutil.copyfile, dirs_exist_ok=True)
    return read_round_record(previous_folder)


def write_skipped_round(round_folder: Path, churn: float) -> None:
    """Mark a round as not to be trained, since mining renewed only the share ``churn`` of its hard negatives."""
    write_json(round_folder / _SKIPPED, {"churn": churn})


def read_skipped_round(round_folder: Path) -> float | None:
    """Return the churn of a round that is not to be trained, or None if it is to be trained."""
    path = round_folder / _SKIPPED
    return read_json(path)["churn"] if path.exists() else None

"""What a round leaves behind: the trained weights and ``round.json``, which says what they are."""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from triptych.artifacts import read_json, write_json

_END = "end.json"


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """A trained round, or the base model itself (method ``base``)."""

    method: str
    base: dict[str, Any]
    max_length: int
    strength: float  # chosen on dev; 0 is the base model
    trained_in: str  # the round whose weights these are; an earlier one if this round was no better on dev
    dev: float | None  # mrr@10 on dev at that strength; None where nothing was measured


def write_round_record(folder: Path, record: RoundRecord) -> None:
    """Write ``round.json`` into an existing folder."""
    write_json(folder / "round.json", asdict(record))


def read_round_record(folder: Path) -> RoundRecord:
    """Read ``round.json``."""
    return RoundRecord(**read_json(folder / "round.json"))


def keep_better(folder: Path, record: RoundRecord, previous_folder: Path) -> RoundRecord:
    """Write a round's record beside its weights; where the round before is no worse on dev, put that in its place."""
    previous = read_round_record(previous_folder)
    if previous.dev is not None and record.dev is not None and previous.dev >= record.dev:
        shutil.rmtree(folder)
        return keep_previous(folder, previous_folder)
    write_round_record(folder, record)
    return record


def keep_previous(folder: Path, previous_folder: Path) -> RoundRecord:
    """Fill an existing folder with the round before; return its record."""
    shutil.copytree(previous_folder, folder, copy_function=shutil.copyfile, dirs_exist_ok=True)
    return read_round_record(previous_folder)


def write_end(round_folder: Path, churn: float) -> None:
    """Write beside a round's mined examples that they are too few new ones to train on."""
    write_json(round_folder / _END, {"churn": churn})


def read_end(round_folder: Path) -> float | None:
    """Return the churn at which mining ended the rounds, or None where the round is to be trained."""
    path = round_folder / _END
    return read_json(path)["churn"] if path.exists() else None

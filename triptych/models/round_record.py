"""The record of a round, ``round.json``, which describes the trained weights beside it."""

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from triptych.artifacts import read_json, write_json
from triptych.models.weight_form import FULL, WeightForm

_SKIPPED = "end.json"

Sides = Literal["both", "query"]  # what trained weights encode: queries and passages, or queries alone


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """A trained round, or the base model itself (method ``base``)."""

    method: str
    base: dict[str, Any]
    max_length: int
    strength: float  # chosen on dev; 0 is the base model
    trained_in: str  # the round that trained these weights; an earlier one if this round was not better on dev
    dev: float | None  # `promote.measure` on dev at that strength; None if dev was not evaluated
    weights: WeightForm = FULL  # of the base that was trained beside, and on which the round is evaluated
    sides: Sides = "both"  # with "query" passages are encoded by the base model


def write_round_record(folder: Path, record: RoundRecord) -> None:
    """Write ``round.json`` into an existing folder."""
    written = asdict(record)
    if record.weights == FULL:
        del written["weights"]
    if record.sides == "both":
        del written["sides"]
    write_json(folder / "round.json", written)


def read_round_record(folder: Path) -> RoundRecord:
    """Read ``round.json``."""
    record = read_json(folder / "round.json")
    return RoundRecord(**record | {"weights": WeightForm(**record.get("weights", {}))})


def write_better_round(
    folder: Path, record: RoundRecord, previous_folder: Path, previous: RoundRecord | None = None
) -> RoundRecord:
    """Write a round's record beside its weights, or replace both by the previous round if it is as good on dev.

    ``previous`` is the record of the previous round where the one in its folder is not about the dev set of today.
    """
    before = previous or read_round_record(previous_folder)
    if before.dev is not None and record.dev is not None and before.dev >= record.dev:
        shutil.rmtree(folder)
        copy_round(folder, previous_folder)
        if previous is not None:
            write_round_record(folder, previous)
        return before
    write_round_record(folder, record)
    return record


def copy_round(folder: Path, previous_folder: Path, weights: WeightForm | None = None) -> RoundRecord:
    """Copy the previous round into an existing folder; return its record.

    ``weights`` is the form in which the base model is to be evaluated, where it is the base that is copied.
    """
    shutil.copytree(previous_folder, folder, copy_function=shutil.copyfile, dirs_exist_ok=True)
    record = read_round_record(previous_folder)
    if record.method == "base" and weights is not None:
        record = replace(record, weights=weights)
        write_round_record(folder, record)
    return record


def write_skipped_round(round_folder: Path, churn: float) -> None:
    """Mark a round as not to be trained, since mining renewed only the share ``churn`` of its hard negatives."""
    write_json(round_folder / _SKIPPED, {"churn": churn})


def read_skipped_round(round_folder: Path) -> float | None:
    """Return the churn of a round that is not to be trained, or None if it is to be trained."""
    path = round_folder / _SKIPPED
    return read_json(path)["churn"] if path.exists() else None

"""What a round leaves behind: the trained weights and ``round.json``, which says what they are."""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from triptych.artifacts import read_json, write_json
from triptych.errors import UserError
from triptych.params import Model
from triptych.training.adapter import Blend, difference
from triptych.training.base import describe, load_base

_END = "end.json"


@dataclass(frozen=True, slots=True)
class Round:
    """A trained round, or the base model itself (method ``base``)."""

    method: str
    base: dict[str, Any]
    max_length: int
    strength: float  # chosen on dev; 0 is the base model
    trained_in: str  # the round whose weights these are; an earlier one if this round was no better on dev
    dev: float | None  # mrr@10 on dev at that strength; None where nothing was measured


def write_round_record(folder: Path, record: Round) -> None:
    """Write ``round.json`` into an existing folder."""
    write_json(folder / "round.json", asdict(record))


def read_round_record(folder: Path) -> Round:
    """Read ``round.json``; a missing one is the user's to mend."""
    stage = "tokenize" if folder.name == "base" else f"train@{folder.name}"
    return Round(**read_json(folder / "round.json", stage))


def keep_better(folder: Path, record: Round, previous_folder: Path) -> Round:
    """Write a round's record beside its weights; where the round before is no worse on dev, put that in its place."""
    previous = read_round_record(previous_folder)
    if previous.dev is not None and record.dev is not None and previous.dev >= record.dev:
        shutil.rmtree(folder)
        return keep_previous(folder, previous_folder)
    write_round_record(folder, record)
    return record


def keep_previous(folder: Path, previous_folder: Path) -> Round:
    """Fill an existing folder with the round before; return its record."""
    shutil.copytree(previous_folder, folder, copy_function=shutil.copyfile, dirs_exist_ok=True)
    return read_round_record(previous_folder)


def write_end(round_folder: Path, churn: float) -> None:
    """Write beside a round's mined examples that they are too few new ones to train on."""
    write_json(round_folder / _END, {"churn": churn})


def read_end(round_folder: Path) -> float | None:
    """Return the churn at which mining ended the rounds, or None where the round is to be trained."""
    path = round_folder / _END
    return read_json(path, maker_of(round_folder))["churn"] if path.exists() else None


def maker_of(round_folder: Path) -> str:
    """Return the stage that makes a round's examples: ``round0`` is what tokenize hands on, others are mined."""
    return {"round0": "tokenize", "reranker0": "triplets"}.get(round_folder.name, f"mine@{round_folder.name}")


def load_round(folder: Path, model: Model) -> tuple[Blend, Round]:
    """Load the base model with what a round changed, set to the strength that was chosen."""
    record = read_round_record(folder)
    base = load_base(model)
    if describe(model, base) != record.base:
        raise UserError(
            f"{folder} was trained from {record.base['base']}, params.yaml names {model.base};"
            " `dvc repro` trains it anew"
        )
    base.max_seq_length = record.max_length
    blend = Blend(base, {} if record.method == "base" else difference(base, folder))
    blend.at(record.strength)
    return blend, record


def load_model(folder: Path, model: Model) -> SentenceTransformer:
    """Load the embedder that a round gives, at its chosen strength."""
    return load_round(folder, model)[0].model

"""Keep a publication for next month: `triptych keep` copies what a later run needs into a folder of the user's.

DVC removes what a stage wrote before it runs the stage again, so a run cannot read what the one before it published.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych.artifacts import dvc_hash, read_json, write_json, writing
from triptych.corpus.last_publication import KEPT, ROUND, open_unchanged
from triptych.errors import ArtifactError, UserError
from triptych.evaluation.verdict import Verdicts
from triptych.models.round_record import read_round_record
from triptych.params.sections import Params

CORPUS, METRICS, MODELS = Path("data/corpus"), Path("metrics"), Path("models")
_CORPUS = ("chunks.parquet", "queries.jsonl", "qrels/train.tsv", "qrels/dev.tsv", "qrels/test.tsv")
_METRICS = ("evaluate.json", "verdict.json")


@dataclass(frozen=True, slots=True)
class Kept:
    """What was kept."""

    published: str  # tuned or base
    megabytes: float


def keep(folder: Path, params: Params) -> Kept:
    """Copy the publication of the run in the working directory into ``folder``, which must not exist.

    The weights are those of the judged round, or those that the last publication had where these stayed published.
    Raise `UserError` where the run is not finished, or where its files are of different runs.
    """
    if folder.exists():
        raise UserError(f"{folder} exists; keep each publication in a folder of its own")
    outs = next((one for one in ("data/corpus", "models", "metrics") if folder.is_relative_to(one)), None)
    if outs:
        raise UserError(f"{folder} is in {outs}, where stages write and delete; name a folder such as previous/2026-11")
    evaluation, verdicts = read_json(METRICS / "evaluate.json"), Verdicts.read(METRICS / "verdict.json")
    if not CORPUS.exists():
        raise ArtifactError(CORPUS, "is missing")
    if (corpus := dvc_hash(CORPUS)) != evaluation["corpus"]:
        raise UserError(
            f"{CORPUS} is not the one that was evaluated (hash {corpus}, metrics/evaluate.json has"
            f" {evaluation['corpus']}): finish the run with `dvc repro`, then keep it"
        )
    weights = _weights(verdicts, evaluation, params)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with writing(folder) as out:
        for name in _CORPUS:
            _copy(CORPUS / name, out / "corpus" / name)
        for name in _METRICS:
            _copy(METRICS / name, out / "metrics" / name)
        _copy(Path("params.yaml"), out / "params.yaml")
        if weights is not None:
            shutil.copytree(weights, out / ROUND, copy_function=shutil.copyfile)
        published = "tuned" if weights else "base"
        write_json(out / KEPT, {"corpus": corpus, "model": params.model.base, "published": published})
    size = sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())
    return Kept(published, size / 1e6)


def _weights(verdicts: Verdicts, evaluation: dict[str, Any], params: Params) -> Path | None:
    """Return the folder of the round that is published; None where the base model is."""
    if verdicts.published == "base":
        return None
    if verdicts.published == "previous":
        before = evaluation["previous"]
        return open_unchanged(Path(before["folder"]), before["kept"]).round
    folder = MODELS / params.evaluate.round
    strength = read_round_record(folder).strength
    if strength != verdicts.strength:
        raise UserError(
            f"{folder} is not the round that was judged (strength {strength:g}, metrics/verdict.json has"
            f" {verdicts.strength:g}): finish the run with `dvc repro`, then keep it"
        )
    return folder


def _copy(source: Path, target: Path) -> None:
    if not source.exists():
        raise ArtifactError(source, "is missing")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)

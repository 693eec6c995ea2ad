"""All that a run measured, read from what its stages left."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych.artifacts import read_json, read_jsonl, read_rows
from triptych.evaluation.comparison import NamedInterval, read_intervals
from triptych.params.sections import Params

CsvRow = dict[str, str]


@dataclass(frozen=True, slots=True)
class RoundResults:
    """How one round trained, and what was mined for it."""

    name: str
    figures: dict[str, Any]
    steps: list[CsvRow]
    dev: list[CsvRow]  # none where dev was not measured between
    strengths: list[CsvRow]  # none where the round was not trained
    mined: dict[str, Any] | None  # None for a round without mining


@dataclass(frozen=True, slots=True)
class RunResults:
    """The figures of every stage, as the stages wrote them."""

    params: Params
    ingest: dict[str, Any]
    split: dict[str, Any]
    triplets: dict[str, Any]
    rating: dict[str, Any]
    examples: list[dict[str, Any]]
    tokens: dict[str, Any]
    rounds: list[RoundResults]
    reranker: list[CsvRow]  # its steps; none where none was trained
    evaluation: dict[str, Any]
    intervals: list[NamedInterval]
    recall: list[CsvRow]
    heldout: list[CsvRow]
    verdict: dict[str, Any]


def read_run_results(metrics: Path, tokens: Path, params: Params) -> RunResults:
    """Read the metrics of all stages and the metadata of the tokens; a missing file is the user's to mend."""
    return RunResults(
        params=params,
        ingest=read_json(metrics / "ingest.json"),
        split=read_json(metrics / "split.json"),
        triplets=read_json(metrics / "triplets.json"),
        rating=read_json(metrics / "rate.json"),
        examples=read_jsonl(metrics / "rate" / "examples.jsonl"),
        tokens=read_json(tokens),
        rounds=[_read_round(metrics, name, name in params.rounds.mine) for name in params.rounds.train],
        reranker=read_rows(metrics / "train_reranker.csv"),
        evaluation=read_json(metrics / "evaluate.json"),
        intervals=read_intervals(metrics / "evaluate" / "intervals.csv"),
        recall=read_rows(metrics / "evaluate" / "recall.csv"),
        heldout=read_rows(metrics / "evaluate" / "heldout_triplets.csv"),
        verdict=read_json(metrics / "verdict.json"),
    )


def _read_round(metrics: Path, name: str, mined: bool) -> RoundResults:
    folder = metrics / "train"
    return RoundResults(
        name,
        figures=read_json(folder / f"{name}.json"),
        steps=read_rows(folder / f"{name}.csv"),
        dev=read_rows(folder / name / "dev.csv"),
        strengths=read_rows(folder / name / "strengths.csv"),
        mined=read_json(metrics / "mine" / f"{name}.json")["mined"] if mined else None,
    )

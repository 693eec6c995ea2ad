"""The metrics of a run, read from the files that its stages wrote."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych.artifacts import read_json, read_jsonl, read_rows
from triptych.evaluation.chosen_on_dev import ChosenOnDev
from triptych.evaluation.comparison import NamedInterval, read_intervals
from triptych.evaluation.verdict import Verdicts
from triptych.params.sections import Params
from triptych.report.system_costs import SystemCosts

CsvRow = dict[str, str]


@dataclass(frozen=True, slots=True)
class RoundResults:
    """The training metrics of one round, and the mining metrics of its negatives."""

    name: str
    metrics: dict[str, Any]
    steps: list[CsvRow]
    dev: list[CsvRow]  # empty where dev was evaluated at the end only
    strengths: list[CsvRow]  # empty where the round was not trained
    mined: dict[str, Any] | None  # None for a round without mining


@dataclass(frozen=True, slots=True)
class RunResults:
    """The metrics of every stage, as the stages wrote them."""

    params: Params
    ingest: dict[str, Any]
    split: dict[str, Any]
    triplets: dict[str, Any]
    rating: dict[str, Any]
    examples: list[dict[str, Any]]
    tokens: dict[str, Any]
    rounds: list[RoundResults]
    reranker: list[CsvRow]  # its steps; empty where none was trained
    evaluation: dict[str, Any]
    intervals: list[NamedInterval]
    recall: list[CsvRow]
    heldout: list[CsvRow]
    chosen: ChosenOnDev
    verdicts: Verdicts
    costs: SystemCosts | None  # of each system; with times where `triptych costs` was run
    transfer: dict[str, Any] | None  # what `benchmarks.transfer` wrote of this corpus; None where it was not run


def read_run_results(metrics: Path, tokens: Path, params: Params) -> RunResults:
    """Read the metrics of all stages and the metadata of the tokens; raise `ArtifactError` where a file is missing."""
    evaluation = read_json(metrics / "evaluate.json")
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
        evaluation=evaluation,
        intervals=read_intervals(metrics / "evaluate" / "intervals.csv"),
        recall=read_rows(metrics / "evaluate" / "recall.csv"),
        heldout=read_rows(metrics / "evaluate" / "heldout_triplets.csv"),
        chosen=ChosenOnDev.from_record(evaluation["chosen_on_dev"]),
        verdicts=Verdicts.read(metrics / "verdict.json"),
        costs=SystemCosts.read(metrics, evaluation),
        transfer=_read_transfer(metrics / "transfer.json", evaluation["corpus"]),
    )


def _read_transfer(path: Path, corpus: str) -> dict[str, Any] | None:
    transfer = read_json(path) if path.exists() else None
    return transfer if transfer and transfer["corpus"] == corpus else None


def _read_round(metrics: Path, name: str, mined: bool) -> RoundResults:
    folder = metrics / "train"
    return RoundResults(
        name,
        metrics=read_json(folder / f"{name}.json"),
        steps=read_rows(folder / f"{name}.csv"),
        dev=read_rows(folder / name / "dev.csv"),
        strengths=read_rows(folder / name / "strengths.csv"),
        mined=read_json(metrics / "mine" / f"{name}.json")["mined"] if mined else None,
    )

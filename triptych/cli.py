"""The command line: ``triptych <command>``."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from triptych.artifacts import read_jsonl, read_rows
from triptych.errors import UserError
from triptych.evaluation.comparison import read_intervals
from triptych.params_triplets import PROFILES
from triptych.report.table import show_results
from triptych.report.triplets import show_triplets
from triptych.triplets.exchange import export as write_flat

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


@app.callback()
def _triptych() -> None:
    """Tune a retriever to documentation, and prove what it is worth."""


@app.command()
def results(
    metrics: Annotated[Path, typer.Option(help="where the stages write their figures")] = Path("metrics"),
    embedder: Annotated[Path, typer.Option(help="where promote publishes")] = Path("models/embedder"),
) -> None:
    """Show the last run: every system per category with intervals, the verdict, and where the model lies."""
    try:
        evaluation, verdict = (_read(metrics / f"{name}.json") for name in ("evaluate", "verdict"))
        intervals = read_intervals(metrics / "evaluate" / "intervals.csv")
        held_out = read_rows(metrics / "evaluate" / "heldout_triplets.csv", "evaluate")
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    show_results(_console(), evaluation, intervals, held_out, verdict, embedder.as_posix())


@app.command()
def triplets(
    metrics: Annotated[Path, typer.Option(help="where the stages write their figures")] = Path("metrics"),
    profile: Annotated[str, typer.Option(help="embedder or reranker")] = PROFILES[0],
) -> None:
    """Show how hard the triplets are for the base model, and examples of each tier to read."""
    try:
        if profile not in PROFILES:
            raise UserError(f"--profile {profile!r} is none of {', '.join(PROFILES)}")
        rating, examples = _read(metrics / "rate.json"), read_jsonl(metrics / "rate" / "examples.jsonl", "rate")
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    show_triplets(_console(), rating, examples, profile)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="a .csv, a .parquet, or a folder for datasets.load_from_disk")],
    source: Annotated[Path, typer.Option(help="the round or profile to export")] = Path("data/triplets/embedder"),
) -> None:
    """Write triplets as anchor, positive, negative, difficulty, category, for any other trainer."""
    try:
        number = write_flat(source, out)
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"export: {number} triplets of {source.as_posix()}; {out.as_posix()}")


def _console() -> Console:
    """Return a console that is wide enough for a table where the output is no terminal (a log, a pipe)."""
    return Console(width=None if Console().is_terminal else 140)


def _read(path: Path) -> Any:
    if not path.exists():
        raise UserError(f"{path} is missing; `dvc repro` makes it")
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    app()

"""The command line: ``triptych <command>``."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from triptych.artifacts import read_jsonl
from triptych.errors import UserError
from triptych.evaluation.comparison import read_intervals
from triptych.params import Model
from triptych.params_file import load_params
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
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    show_results(_console(), evaluation, intervals, verdict, embedder.as_posix())


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


@app.command()
def estimate(
    model: Annotated[str, typer.Argument(help="a hub name, a folder, or package:<name>")],
    batch: Annotated[int, typer.Option(min=1, help="texts that go through the model at once")] = 96,
    length: Annotated[int, typer.Option(min=1, help="tokens of a text")] = 256,
    r: Annotated[int | None, typer.Option("--r", min=1, help="rank of the adapter; else as in params.yaml")] = None,
    memory: Annotated[float | None, typer.Option(help="GiB; else the card at hand, or 16")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="bytes, for a program")] = False,
) -> None:
    """Say what memory training takes, fully, with LoRA and on a quantized base, and what fits the card."""
    from triptych.report.memory import show_memory  # imports torch, for which the other commands need not wait
    from triptych.training import estimate as memory_of
    from triptych.training.base import memory_at_hand

    try:
        params = load_params()
        lora = params.train.lora.model_copy(update={"r": r or params.train.lora.r})
        train = params.train.model_copy(update={"lora": lora})
        other = Model(base=model, revision=None, query_prompt="", passage_prompt="")
        empty = memory_of.empty_model(params.model if params.model.base == model else other)
        found = memory_of.estimate(empty, train, batch, length)
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps([one.record() for one in found], sort_keys=True))
    else:
        title = f"{model}: {batch} texts of {length} tokens at once, r {lora.r}, {train.optimizer}"
        show_memory(_console(), found, memory or memory_at_hand() or 16.0, title)


@app.command()
def diagnose(model: Annotated[Path, typer.Argument(help="a model's folder, or models/<round>")]) -> None:
    """Check a model's files and weights; name the first module whose output is no number."""
    from triptych.training import diagnosis
    from triptych.training.base import device
    from triptych.training.precision import resolve_precision

    try:
        params = load_params()
        problems = diagnosis.weight_problems(model)
        unreadable = any(": no weights" in line or ": cannot be read" in line for line in problems)
        loaded = None if unreadable else diagnosis.load(model, params.model)
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    for precision in dict.fromkeys(("fp32", resolve_precision(params.train.precision, device()))) if loaded else ():
        found = diagnosis.forward(loaded, precision)
        if found.broken:
            problems.append(f"{precision}: the first output that is not finite is that of {found.broken}")
        else:
            figures = ", ".join(f"{name} {value:.4f}" for name, value in found.figures.items())
            typer.echo(f"{precision}: finite everywhere; embeddings: {figures}")
    for problem in problems:
        typer.echo(problem, err=True)
    raise typer.Exit(1 if problems else 0)


@app.command()
def smoke(
    steps: Annotated[int, typer.Option(min=1, help="so many")] = 5,
    tokens: Annotated[Path, typer.Option(help="what tokenize leaves")] = Path("data/tokens"),
    round_folder: Annotated[Path, typer.Option("--round", help="what is trained on")] = Path("data/triplets/round0"),
    previous: Annotated[Path, typer.Option(help="what training starts from")] = Path("models/base"),
) -> None:
    """Train a few steps of the first round and keep nothing: time, memory, sound numbers, batches ready in time."""
    # Here, because the other commands need no torch and start in a moment.
    from triptych.report.smoke import show_smoke
    from triptych.training.smoke import smoke as run

    try:
        seen = run(tokens, round_folder, previous, load_params(), steps)
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    show_smoke(_console(), seen)


def _console() -> Console:
    """Return a console that is wide enough for a table where the output is no terminal (a log, a pipe)."""
    return Console(width=None if Console().is_terminal else 120)


def _read(path: Path) -> Any:
    if not path.exists():
        raise UserError(f"{path} is missing; `dvc repro` makes it")
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    app()

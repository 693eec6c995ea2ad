"""The command line: ``triptych <command>``."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from triptych.artifacts import read_jsonl, read_rows
from triptych.corpus.questions import answered_chunks, read_corpus, read_questions
from triptych.errors import UserError
from triptych.evaluation.comparison import ALL, read_intervals
from triptych.evaluation.labeling import Journal
from triptych.params_file import load_params
from triptych.params_triplets import PROFILES
from triptych.report.labeling import hold
from triptych.report.table import show_measures, show_results
from triptych.report.triplets import show_triplets
from triptych.triplets.exchange import export as write_flat

VECTORS = Path("data/vectors")  # as in dvc.yaml
FOUND = 10  # chunks that are shown for a question
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
def evaluate(
    queries: Annotated[Path, typer.Option(help="questions as in BEIR's queries.jsonl: _id, text")],
    qrels: Annotated[Path, typer.Option(help="a .tsv of query-id, corpus-id, score")],
    corpus: Annotated[Path, typer.Option(help="data/corpus, data/chunks, or a BEIR folder")] = Path("data/corpus"),
    embedder: Annotated[Path, typer.Option(help="a saved embedder")] = Path("models/embedder"),
    metrics: Annotated[Path, typer.Option(help="where evaluate says how to fuse")] = Path("metrics"),
) -> None:
    """Measure a saved embedder beside the base model and BM25 on questions of your own."""
    from triptych.training.trial import fusions_on_record, put_on_trial  # needs torch, which takes seconds to import

    try:
        params = load_params()
        chunks, left_out = read_corpus(corpus)
        asked, judged, unjudged = read_questions(queries, qrels, chunks)
        fusions = fusions_on_record(metrics)
        found = put_on_trial(embedder, chunks, asked, judged, params, fusions, VECTORS)
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    title = f"{embedder.as_posix()} on {queries.as_posix()}; tuned is the saved embedder"
    show_measures(_console(), title, found.measures, found.intervals, params.promote.measure)
    without = "".join(f", {number} records left out: {reason}" for reason, number in left_out.items())
    typer.echo(
        f"evaluate: {len(asked)} questions of kind {found.kinds[ALL]}, {unjudged} without judgments left out;"
        f" {len(chunks)} chunks{without}; fused by {fusions['base']} and {fusions['tuned']}"
    )


@app.command()
def label(
    out: Annotated[Path, typer.Argument(help="a folder for the questions, to be named in split.queries")],
    corpus: Annotated[Path, typer.Option(help="data/corpus, or data/chunks before stage split")] = Path("data/corpus"),
    embedder: Annotated[Path, typer.Option(help="the published embedder")] = Path("models/embedder"),
    metrics: Annotated[Path, typer.Option(help="where the verdict says how to fuse")] = Path("metrics"),
) -> None:
    """Write questions for chunks that are shown, and mark what else answers them; stop and go on at any time."""
    from triptych.training.trial import todays_search

    try:
        params, journal = load_params(), Journal(out)
        chunks, _ = read_corpus(corpus)
        search = todays_search(embedder, chunks, params, metrics, VECTORS, FOUND)
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    hold(_console(), chunks, journal, answered_chunks(corpus), search, params.split.seed)
    asked = sum(1 for one in journal.labels if one.question)
    typer.echo(
        f"label: {asked} chunks with a question, {len(journal.labels) - asked} passed over; {out.as_posix()};"
        f" set split.queries: {out.as_posix()} in params.yaml, then `dvc repro`"
    )


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

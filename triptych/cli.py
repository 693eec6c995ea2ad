"""The command line: ``triptych <command>``."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from triptych import progress
from triptych.errors import ArtifactError, UserError
from triptych.pipeline import with_remedy

# Commands import what they need themselves: a search should not wait for what another command takes seconds to import.

CORPUS, TEXTS, TOKENS = Path("data/corpus"), Path("data/triplets/texts"), Path("data/tokens")  # as in dvc.yaml
VECTORS, METRICS = Path("data/vectors"), Path("metrics")
FOUND = 10  # chunks that are shown for a question
app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


@app.callback()
def _triptych(
    quiet: Annotated[bool, typer.Option("--quiet", help="show no progress; TQDM_DISABLE=1 does the same")] = False,
) -> None:
    """Tune a retriever to documentation, and prove what it is worth."""
    if quiet:
        progress.quiet()


@app.command()
def results(
    metrics: Annotated[Path, typer.Option(help="where the stages write their figures")] = Path("metrics"),
    embedder: Annotated[Path, typer.Option(help="where promote publishes")] = Path("models/embedder"),
) -> None:
    """Show the last run: every system per category with intervals, the verdict, and where the model lies."""
    from triptych.artifacts import read_json, read_rows
    from triptych.evaluation.comparison import read_intervals
    from triptych.report.console.results_table import show_results

    with user_errors_as_messages():
        evaluation = read_json(metrics / "evaluate.json")
        verdict = read_json(metrics / "verdict.json")
        if "late_interaction" not in verdict:
            raise ArtifactError(metrics / "verdict.json", "was written by an older version")
        intervals = read_intervals(metrics / "evaluate" / "intervals.csv")
        held_out = read_rows(metrics / "evaluate" / "heldout_triplets.csv")
    show_results(_console(), evaluation, intervals, held_out, verdict, embedder.as_posix())


@app.command()
def triplets(
    metrics: Annotated[Path, typer.Option(help="where the stages write their figures")] = Path("metrics"),
    profile: Annotated[str, typer.Option(help="embedder or reranker")] = "embedder",
    limit: Annotated[int, typer.Option(min=1, help="examples of each tier")] = 1,
) -> None:
    """Show how hard the triplets are for the base model, and examples of each tier to read."""
    from triptych.artifacts import read_json, read_jsonl
    from triptych.params.triplets import PROFILES
    from triptych.report.console.triplet_table import show_triplets

    with user_errors_as_messages():
        if profile not in PROFILES:
            raise UserError(f"--profile {profile!r} is none of {', '.join(PROFILES)}")
        rating = read_json(metrics / "rate.json")
        examples = read_jsonl(metrics / "rate" / "examples.jsonl")
    show_triplets(_console(), rating, examples, profile, limit)


@app.command()
def search(
    question: Annotated[str, typer.Argument(help="what you want to know; - reads a question from each line")] = "-",
    k: Annotated[int, typer.Option("--k", help="hits of a question")] = 10,
    category: Annotated[str | None, typer.Option(help="of the documentation; else all of it")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="show the score that each step gave")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object for each question")] = False,
    index: Annotated[Path, typer.Option(help="what stage index leaves")] = Path("data/index"),
    embedder: Annotated[Path, typer.Option(help="the published embedder")] = Path("models/embedder"),
    reranker: Annotated[Path, typer.Option(help="the published reranker")] = Path("models/reranker"),
    verdict: Annotated[Path, typer.Option(help="says how to search")] = Path("metrics/verdict.json"),
) -> None:
    """Search the documentation as the verdict says: with BM25, late interaction and a reranker where they help."""
    from triptych.report.console.hit_list import show_hits
    from triptych.serving.searcher import Searcher

    with user_errors_as_messages():
        if question == "-" and sys.stdin.isatty():
            raise UserError('ask something: triptych search "how do I ...", or give questions on standard input')
        searcher = Searcher(index, embedder, reranker, verdict)
        for one in (line.strip() for line in sys.stdin if line.strip()) if question == "-" else (question,):
            if one.encode("utf-8", "ignore").decode() != one:  # bytes that were no UTF-8
                raise UserError(f"{one!r} is not UTF-8; save the questions as UTF-8")
            hits = searcher.search(one, k, category)
            if as_json:
                record = {"question": one, "hits": [hit.record() for hit in hits]}
                typer.echo(json.dumps(record, ensure_ascii=False))
            else:
                show_hits(_console(), one, hits, explain=explain)


@app.command()
def evaluate(
    queries: Annotated[Path, typer.Option(help="questions as in BEIR's queries.jsonl: _id, text")],
    qrels: Annotated[Path, typer.Option(help="a .tsv of query-id, corpus-id, score")],
    corpus: Annotated[Path, typer.Option(help="data/corpus, data/chunks, or a BEIR folder")] = Path("data/corpus"),
    embedder: Annotated[Path, typer.Option(help="a saved embedder")] = Path("models/embedder"),
    metrics: Annotated[Path, typer.Option(help="where evaluate says how to fuse")] = METRICS,
) -> None:
    """Measure a saved embedder beside the base model and BM25 on questions of your own."""
    from triptych.corpus.readers.judged_questions import read_corpus, read_questions
    from triptych.evaluation.comparison import ALL
    from triptych.evaluators.own_questions import compare_on_questions, fusions_on_record
    from triptych.params.load import load_params
    from triptych.report.console.results_table import show_measures

    with user_errors_as_messages():
        params = load_params()
        _check_file("--queries", queries, "a file such as BEIR's queries.jsonl")
        _check_file("--qrels", qrels, "a .tsv of query-id, corpus-id, score")
        _check_folder("--corpus", corpus, "chunks.parquet", "corpus.jsonl")
        _check_folder("--embedder", embedder, "modules.json")
        if metrics != METRICS:  # before the first run there are none
            _check_folder("--metrics", metrics, "evaluate.json")
        chunks, left_out = read_corpus(corpus)
        asked, judged, unjudged = read_questions(queries, qrels, chunks)
        fusions = fusions_on_record(metrics)
        found = compare_on_questions(embedder, chunks, asked, judged, params, fusions, VECTORS)
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
    from triptych.corpus.readers.judged_questions import answered_chunks, read_corpus
    from triptych.evaluation.label_journal import Journal
    from triptych.evaluators.own_questions import current_search
    from triptych.params.load import load_params
    from triptych.report.console.label_session import hold

    with user_errors_as_messages():
        params, journal = load_params(), Journal(out)
        chunks, _ = read_corpus(corpus)
        search = current_search(embedder, chunks, params, metrics, VECTORS, FOUND)
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
    from triptych.triplets.export.import_export import export as write_flat

    with user_errors_as_messages():
        number = write_flat(source, out)
    typer.echo(f"export: {number} triplets of {source.as_posix()}; {out.as_posix()}")


@app.command()
def estimate(
    model: Annotated[str, typer.Argument(help="a hub name, a folder, or package:<name>")],
    batch: Annotated[int, typer.Option(min=1, help="texts that go through the model at once")] = 96,
    length: Annotated[int | None, typer.Option(min=1, help="tokens of a text; else tokenize.max_length")] = None,
    r: Annotated[int | None, typer.Option("--r", min=1, help="rank of the adapter; else as in params.yaml")] = None,
    memory: Annotated[float | None, typer.Option(help="GiB; else the card at hand, or 16")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="bytes, for a program")] = False,
) -> None:
    """Say what memory training takes, fully, with LoRA and on a quantized base, and what fits the card."""
    from triptych.diagnostics import memory_estimate as memory_of
    from triptych.models.loading import memory_at_hand
    from triptych.params.load import load_params
    from triptych.params.sections import Model
    from triptych.report.console.memory_table import show_memory

    with user_errors_as_messages():
        if memory is not None and not memory > 0:
            raise UserError(f"--memory: expected GiB above 0, got {memory:g}")
        if Path(model).expanduser().exists() or model.startswith((".", "/", "~")):
            _check_folder("MODEL", Path(model).expanduser(), "config.json", "modules.json")
        params = load_params()
        tokens = length or memory_of.text_length(params.tokenize, TOKENS)
        lora = params.train.lora.model_copy(update={"r": r or params.train.lora.r})
        train = params.train.model_copy(update={"lora": lora})
        other = Model(base=model, revision=None, query_prompt="", passage_prompt="")
        empty = memory_of.empty_model(params.model if params.model.base == model else other)
        found = memory_of.estimate(empty, train, batch, tokens)
    if as_json:
        typer.echo(json.dumps([one.record() for one in found], sort_keys=True))
    else:
        title = f"{model}: {batch} texts of {tokens} tokens at once, r {lora.r}, {train.optimizer}"
        show_memory(_console(), found, memory or memory_at_hand() or 16.0, title)


@app.command()
def diagnose(model: Annotated[Path, typer.Argument(help="a model's folder, or models/<round>")]) -> None:
    """Check a model's files and weights; name the first module whose output is no number."""
    from triptych.diagnostics import model_check
    from triptych.models.loading import device
    from triptych.models.precision import resolve_precision
    from triptych.params.load import load_params

    with user_errors_as_messages():
        params = load_params()
        problems = model_check.weight_problems(model)
        unreadable = any(": no weights" in line or ": cannot be read" in line for line in problems)
        loaded = None if unreadable else model_check.load(model, params.model)
    for precision in dict.fromkeys(("fp32", resolve_precision(params.train.precision, device()))) if loaded else ():
        found = model_check.forward(loaded, precision)
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
    from triptych.diagnostics.smoke_test import smoke as run
    from triptych.params.load import load_params
    from triptych.report.console.smoke_table import show_smoke

    with user_errors_as_messages():
        seen = run(CORPUS, TEXTS, tokens, round_folder, previous, load_params(), steps)
    show_smoke(_console(), seen)


@contextmanager
def user_errors_as_messages() -> Iterator[None]:
    """End the command with the one message of a user's mistake."""
    try:
        yield
    except UserError as error:
        typer.echo(f"error: {with_remedy(error)}", err=True)
        raise typer.Exit(1) from None


def _console() -> Console:
    """Return a console that is wide enough for a table where the output is no terminal (a log, a pipe)."""
    return Console(width=None if Console().is_terminal else 140)


def _check_file(option: str, path: Path, expected: str) -> None:
    if not path.is_file():
        raise UserError(f"{option}: {path} is {'a folder' if path.is_dir() else 'missing'}; expected {expected}")


def _check_folder(option: str, path: Path, *any_of: str) -> None:
    """Raise `UserError` unless a path that an option gives is a folder with one of some files."""
    if not any((path / name).is_file() for name in any_of):
        found = f"holds neither {' nor '.join(any_of)}" if len(any_of) > 1 else f"holds no {any_of[0]}"
        state = found if path.is_dir() else "is a file" if path.exists() else "is missing"
        raise UserError(f"{option}: {path} {state}; expected a folder with {' or '.join(any_of)}")


if __name__ == "__main__":
    app()

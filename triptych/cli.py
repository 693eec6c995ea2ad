"""The command line: ``triptych <command>``."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from triptych import progress
from triptych.errors import UserError
from triptych.pipeline import message_of
from triptych.streams import use_utf8

use_utf8()
progress.quiet_libraries()

# Each command imports what it needs, so that a search does not wait for the slow imports of the others.

CORPUS, TEXTS, TOKENS = Path("data/corpus"), Path("data/triplets/texts"), Path("data/tokens")  # as in dvc.yaml
VECTORS, METRICS, WRITTEN = Path("data/vectors"), Path("metrics"), Path("data/questions")
LABEL_HITS = 10  # hits shown for a question
app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
# Options of the commands that search.
Index = Annotated[Path, typer.Option(help="the index of stage index")]
Embedder = Annotated[Path, typer.Option(help="the published embedder")]
Reranker = Annotated[Path, typer.Option(help="the published reranker")]
Verdict = Annotated[Path, typer.Option(help="the verdicts, which decide how to search")]


@app.callback()
def _triptych(
    quiet: Annotated[bool, typer.Option("--quiet", help="show no progress; TQDM_DISABLE=1 does the same")] = False,
) -> None:
    """Tune a retriever to documentation, and prove whether it is better."""
    if quiet:
        progress.quiet()


@app.command()
def inspect(
    paths: Annotated[list[Path], typer.Argument(help="folders of pages, or files of chunks", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="print the whole record as JSON")] = False,
) -> None:
    """Show what documentation gives before anything is set: pages, links, judgments, the split, the time of a run."""
    from dataclasses import asdict

    from triptych.inspection.inspection import inspect as inspect_paths
    from triptych.report.console.inspection_table import show_inspection

    with user_errors_as_messages():
        found = inspect_paths(paths, lambda line: typer.echo(f"inspect: {line}", err=True))
    if as_json:
        typer.echo(json.dumps(asdict(found), ensure_ascii=False, sort_keys=True))
    else:
        show_inspection(_console(), found)


@app.command()
def new(
    folder: Annotated[Path, typer.Argument(help="a folder that is missing or empty", show_default=False)],
    source: Annotated[list[Path], typer.Option(help="documentation: a folder of pages, or a file of chunks")],
    model: Annotated[str | None, typer.Option(help="base model: a hub name, a folder or package:NAME")] = None,
) -> None:
    """Lay out a project for your own documentation beside the installed package; `dvc repro` there runs it."""
    from triptych.project.new_project import new_project

    with user_errors_as_messages():
        made = new_project(folder, source, model, lambda line: typer.echo(f"new: {line}", err=True))
    found = made.found
    for warning in found.warnings:
        typer.echo(f"warning: {warning}")
    typer.echo(
        f"new: {found.chunks:,} chunks in {found.documents:,} documents of {', '.join(made.sources)}; a run takes about"
        f" {found.run_time.seconds / 60:.0f} minutes here with {made.model}\n"
        f"new: next: cd {folder}, look at params.yaml, then `dvc repro` and `triptych results`"
    )


@app.command()
def results(
    metrics: Annotated[Path, typer.Option(help="folder of the stages' metrics")] = Path("metrics"),
    embedder: Annotated[Path, typer.Option(help="the published embedder")] = Path("models/embedder"),
) -> None:
    """Show the last run: every system per category with intervals, the verdicts, and where the model is."""
    from triptych.artifacts import read_json, read_rows
    from triptych.evaluation.chosen_on_dev import ChosenOnDev
    from triptych.evaluation.comparison import read_intervals
    from triptych.evaluation.verdict import Verdicts
    from triptych.report.console.results_table import show_results
    from triptych.report.query_groups import query_groups
    from triptych.report.since_last import lines_since_last
    from triptych.report.system_costs import SystemCosts

    with user_errors_as_messages():
        evaluation = read_json(metrics / "evaluate.json")
        chosen = ChosenOnDev.from_record(evaluation["chosen_on_dev"])
        verdicts = Verdicts.read(metrics / "verdict.json")
        intervals = read_intervals(metrics / "evaluate" / "intervals.csv")
        held_out = read_rows(metrics / "evaluate" / "heldout_triplets.csv")
        costs = SystemCosts.read(metrics, evaluation)
        split = read_json(metrics / "split.json") if verdicts.previous else {}
    groups = query_groups(evaluation["measures"], evaluation["by_kind"], verdicts.taught)
    show_results(_console(), groups, chosen, intervals, held_out, verdicts, embedder.as_posix(), costs)
    for number, line in enumerate(lines_since_last(split, evaluation, verdicts)):
        typer.echo(f"  {line}" if number else f"{line}:")


@app.command()
def keep(
    folder: Annotated[Path, typer.Argument(help="a new folder, such as previous/2026-11", show_default=False)],
) -> None:
    """Keep what this run published, with its split and its figures, for a run on the documentation of next month."""
    from triptych.params.load import load_params
    from triptych.project.keep import keep as keep_publication

    with user_errors_as_messages():
        kept = keep_publication(folder, load_params())
    typer.echo(
        f"keep: the {kept.published} embedder, {kept.megabytes:.1f} MB, in {folder.as_posix()}; next month set"
        f" split.previous: {folder.as_posix()}"
        + (" and train.start_from: previous" if kept.published == "tuned" else "")
        + " in params.yaml, then `dvc repro`"
    )


@app.command()
def triplets(
    metrics: Annotated[Path, typer.Option(help="folder of the stages' metrics")] = Path("metrics"),
    profile: Annotated[str, typer.Option(help="embedder or reranker")] = "embedder",
    limit: Annotated[int, typer.Option(min=1, help="examples of each tier")] = 1,
) -> None:
    """Show how hard the triplets are for the base model, and examples of each tier to read, each with its rating."""
    from triptych.artifacts import read_json, read_jsonl
    from triptych.params.load import load_params
    from triptych.params.triplets import PROFILES
    from triptych.report.console.triplet_table import show_triplets

    with user_errors_as_messages():
        if profile not in PROFILES:
            raise UserError(f"--profile {profile!r} is unknown; expected {' or '.join(PROFILES)}")
        rating = read_json(metrics / "rate.json")
        examples = read_jsonl(metrics / "rate" / "examples.jsonl")
        params = load_params()
    show_triplets(_console(), rating, examples, profile, limit, params)


@app.command()
def search(
    question: Annotated[str, typer.Argument(help="your question; - reads one from each line of standard input")] = "-",
    k: Annotated[int, typer.Option("--k", help="hits per question")] = 10,
    category: Annotated[str | None, typer.Option(help="search this category only")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="show the score of each search step")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON object per question")] = False,
    index: Index = Path("data/index"),
    embedder: Embedder = Path("models/embedder"),
    reranker: Reranker = Path("models/reranker"),
    verdict: Verdict = Path("metrics/verdict.json"),
) -> None:
    """Search the documentation as the verdicts say: with BM25, late interaction and a reranker where they help."""
    from triptych.report.console.hit_list import show_hits
    from triptych.serving.searcher import Searcher

    with user_errors_as_messages():
        if question == "-" and sys.stdin.isatty():
            raise UserError('no question; use triptych search "how do I ...", or give questions on standard input')
        searcher = Searcher(index, embedder, reranker, verdict)
        for one in (line.strip() for line in sys.stdin if line.strip()) if question == "-" else (question,):
            if one.encode("utf-8", "ignore").decode() != one:  # bytes that are not UTF-8
                raise UserError(f"{one!r} is not UTF-8; save the questions as UTF-8")
            hits = searcher.search(one, k, category)
            if as_json:
                record = {"question": one, "hits": [hit.record() for hit in hits]}
                typer.echo(json.dumps(record, ensure_ascii=False))
            else:
                show_hits(_console(), one, hits, explain=explain)


@app.command()
def serve(
    mcp: Annotated[bool, typer.Option("--mcp", help="serve MCP over standard input and output, no HTTP")] = False,
    host: Annotated[str, typer.Option(help="address; others than this machine's need TRIPTYCH_SERVE_TOKEN")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 8000,
    source_url: Annotated[
        str, typer.Option(help="address of a hit's page, such as https://docs.example.com/{filename}")
    ] = "",
    queue: Annotated[int, typer.Option(help="requests that may wait; further ones are answered 503")] = 64,
    timeout: Annotated[float, typer.Option(help="seconds for a request")] = 30.0,
    max_mib: Annotated[float, typer.Option(help="MiB for a request's body")] = 4.0,
    index: Index = Path("data/index"),
    embedder: Embedder = Path("models/embedder"),
    reranker: Reranker = Path("models/reranker"),
    verdict: Verdict = Path("metrics/verdict.json"),
) -> None:
    """Serve search, embeddings and reranking over HTTP with a search page, or search as MCP tools."""
    from triptych.server.run import serve_http, serve_stdio
    from triptych.server.settings import TOKEN, ServerSettings
    from triptych.serving.searcher import Searcher

    with user_errors_as_messages():
        token = os.environ.get(TOKEN, "").strip()
        settings = ServerSettings(host, port, token, queue, timeout, int(max_mib * 2**20), source_url)
        settings.check()
        searcher = Searcher(index, embedder, reranker, verdict)
        if mcp:
            serve_stdio(searcher, settings)
        else:
            serve_http(searcher, settings, typer.echo)


@app.command()
def evaluate(
    queries: Annotated[Path, typer.Option(help="questions as in BEIR's queries.jsonl: _id, text")],
    qrels: Annotated[Path, typer.Option(help="a .tsv of query-id, corpus-id, score")],
    corpus: Annotated[Path, typer.Option(help="data/corpus, data/chunks, or a BEIR folder")] = Path("data/corpus"),
    embedder: Annotated[Path, typer.Option(help="a saved embedder")] = Path("models/embedder"),
    metrics: Annotated[Path, typer.Option(help="folder of evaluate.json, which has the fusions")] = METRICS,
) -> None:
    """Evaluate a saved embedder, the base model and BM25 on your own questions."""
    from triptych.corpus.readers.judged_questions import read_corpus, read_questions
    from triptych.corpus.records import ALL
    from triptych.evaluators.own_questions import compare_on_questions, read_search_settings
    from triptych.params.load import load_params
    from triptych.report.console.results_table import show_measures
    from triptych.report.query_groups import query_groups
    from triptych.tokens.token_store import with_lengths

    with user_errors_as_messages():
        params = load_params()
        _check_file("--queries", queries, "a file such as BEIR's queries.jsonl")
        _check_file("--qrels", qrels, "a .tsv of query-id, corpus-id, score")
        _check_folder("--corpus", corpus, "chunks.parquet", "corpus.jsonl")
        _check_folder("--embedder", embedder, "modules.json")
        if metrics != METRICS:  # the default folder may be missing before the first run
            _check_folder("--metrics", metrics, "evaluate.json")
        chunks, left_out = read_corpus(corpus)
        questions, judged, unjudged = read_questions(queries, qrels, chunks)
        settings = read_search_settings(metrics)
        params = params.model_copy(update={"tokenize": with_lengths(params.tokenize, TOKENS)})
        comparison = compare_on_questions(embedder, chunks, questions, judged, params, settings, VECTORS, WRITTEN)
    title = f"{embedder.as_posix()} on {queries.as_posix()}; tuned is the saved embedder"
    groups = query_groups(comparison.measures, comparison.by_kind, [])
    show_measures(_console(), title, groups, comparison.intervals, params.promote.measure, "base_hybrid")
    rejected = "".join(f", {number} records left out: {reason}" for reason, number in left_out.items())
    typer.echo(
        f"evaluate: {len(questions)} questions of kind {comparison.kinds[ALL]}, {unjudged} without judgments left out;"
        f" {len(chunks)} chunks{rejected}; fused by {settings.fusions['base']} and {settings.fusions['tuned']}"
    )


@app.command()
def label(
    out: Annotated[Path, typer.Argument(help="folder for the questions; name it in split.queries")],
    corpus: Annotated[Path, typer.Option(help="data/corpus, or data/chunks before stage split")] = Path("data/corpus"),
    embedder: Annotated[Path, typer.Option(help="the published embedder")] = Path("models/embedder"),
    metrics: Annotated[Path, typer.Option(help="folder of verdict.json, which decides how to search")] = METRICS,
    index: Index = Path("data/index"),
    reranker: Annotated[Path, typer.Option(help="the published reranker")] = Path("models/reranker"),
) -> None:
    """Write questions for the chunks shown, and mark other chunks that answer them; stop and resume at any time."""
    from triptych.corpus.readers.judged_questions import answered_chunks, read_corpus
    from triptych.evaluation.label_journal import Journal
    from triptych.evaluators.own_questions import base_search, deployed_search, read_search_settings
    from triptych.params.load import load_params
    from triptych.report.console.label_session import label_chunks
    from triptych.serving.searcher import Searcher

    with user_errors_as_messages():
        params, journal = load_params(), Journal(out)
        chunks, _ = read_corpus(corpus)
        verdict = metrics / "verdict.json"
        if index.exists() and verdict.exists():
            search = deployed_search(Searcher(index, embedder, reranker, verdict), chunks, LABEL_HITS)
        else:
            search = base_search(chunks, params, read_search_settings(metrics), VECTORS, WRITTEN, LABEL_HITS)
        label_chunks(_console(), chunks, journal, answered_chunks(corpus), search, params.split.seed)
    answered = sum(1 for one in journal.labels if one.question)
    typer.echo(
        f"label: {answered} chunks with a question, {len(journal.labels) - answered} skipped; {out.as_posix()};"
        f" set split.queries: {out.as_posix()} in params.yaml, then `dvc repro`"
    )


@app.command()
def export(
    what: Annotated[
        str, typer.Argument(help="onnx, openvino; or a .csv, a .parquet, a folder: the triplets", metavar="FORMAT")
    ],
    folder: Annotated[Path | None, typer.Argument(help="where onnx and openvino are written")] = None,
    source: Annotated[Path, typer.Option(help="of triplets: the round or profile")] = Path("data/triplets/embedder"),
    embedder: Annotated[Path, typer.Option(help="the published embedder")] = Path("models/embedder"),
    corpus: Annotated[Path, typer.Option(help="whose dev queries compare the export")] = CORPUS,
    dimensions: Annotated[
        int | None, typer.Option(help="dimensions to keep, from the first on; default: index.dimensions")
    ] = None,
) -> None:
    """Write the embedder in ONNX or OpenVINO, compared with the published one; or triplets for any other trainer."""
    if what in ("onnx", "openvino"):
        _export_embedder("onnx" if what == "onnx" else "openvino", folder, embedder, corpus, dimensions)
        return

    from triptych.triplets.exchange.import_export import export as write_flat

    with user_errors_as_messages():
        if folder is not None:
            raise UserError(f"{what!r} is not a format; expected onnx or openvino, or one path for the triplets")
        number = write_flat(source, Path(what))
    typer.echo(f"export: {number} triplets of {source.as_posix()}; {Path(what).as_posix()}")


def _export_embedder(
    kind: Literal["onnx", "openvino"], folder: Path | None, embedder: Path, corpus: Path, dimensions: int | None
) -> None:
    from triptych.exporting.export import export_embedder, read_sample
    from triptych.params.load import load_params

    with user_errors_as_messages():
        if folder is None:
            raise UserError(f"export {kind}: name the folder to write, such as models/{kind}")
        _check_folder("--embedder", embedder, "modules.json")
        _check_folder("--corpus", corpus, "chunks.parquet")
        params = load_params()
        sample = read_sample(corpus, params.triplets.text_template)
        size = dimensions if dimensions is not None else params.index.dimensions
        export_embedder(
            embedder, kind, folder, sample, VECTORS, size, lambda line: typer.echo(f"export {kind}: {line}")
        )
    typer.echo(f"export {kind}: {folder.as_posix()}")


@app.command()
def costs(
    metrics: Annotated[Path, typer.Option(help="folder of index.json; costs.json is written there")] = METRICS,
    index: Index = Path("data/index"),
    embedder: Embedder = Path("models/embedder"),
    reranker: Reranker = Path("models/reranker"),
    corpus: Annotated[Path, typer.Option(help="whose dev queries are timed")] = CORPUS,
) -> None:
    """Measure what each system costs here: bytes for a chunk, milliseconds for a question; for `results` and page."""
    from triptych.artifacts import read_json
    from triptych.corpus.records import read_qrels, read_queries
    from triptych.report.system_costs import COSTS
    from triptych.serving.costs import measure_costs

    with user_errors_as_messages():
        sizes, queries = read_json(metrics / "index.json")["bytes_per_chunk"], read_queries(corpus)
        judged = [one for split in ("dev", "test") for one in read_qrels(corpus / "qrels" / f"{split}.tsv")]
        measured = measure_costs(index, embedder, reranker, [queries[one].text for one in judged], sizes)
        measured.write(metrics / COSTS)
    steps = ", ".join(f"{step} {value:.1f}" for step, value in measured.milliseconds.items())
    sizes = ", ".join(f"{part} {value:,.0f}" for part, value in measured.bytes_per_chunk.items())
    typer.echo(f"costs: ms a question on {measured.machine}: {steps}; bytes a chunk: {sizes}; {metrics / COSTS}")


@app.command()
def publish(
    url: Annotated[str, typer.Argument(help="postgresql://..., lancedb:DIR, qdrant://..., parquet:DIR")],
    name: Annotated[str, typer.Option(help="tables or collections are <name>_chunks and <name>_vectors")] = "docs",
    as_json: Annotated[bool, typer.Option("--json", help="print counts and metrics as JSON")] = False,
    index: Index = Path("data/index"),
    corpus: Annotated[Path, typer.Option(help="data/corpus, for its dev queries")] = CORPUS,
    embedder: Embedder = Path("models/embedder"),
    reranker: Reranker = Path("models/reranker"),
    verdict: Verdict = Path("metrics/verdict.json"),
) -> None:
    """Write what changed in the index into a database, and compare the search there on the dev queries."""
    from triptych.publishing.comparison import compare
    from triptych.publishing.index_rows import IndexRows
    from triptych.publishing.publish import publish as publish_rows
    from triptych.publishing.targets import open_database
    from triptych.report.console.publication import show_publication
    from triptych.serving.searcher import Searcher

    with user_errors_as_messages():
        searcher = Searcher(index, embedder, reranker, verdict)
        rows, database = IndexRows(index), open_database(url, name)
        try:
            published = publish_rows(rows, database)
            comparison = compare(database, rows, searcher, corpus)
        finally:
            database.close()
        if as_json:
            measured = comparison.record() if comparison else None
            typer.echo(json.dumps({"rows": published.record(), "dev": measured}, sort_keys=True))
        else:
            show_publication(_console(), database.shown, published, comparison, corpus)
        if comparison:
            comparison.check(database.shown)


@app.command()
def estimate(
    model: Annotated[str, typer.Argument(help="a Hub name, a folder, or package:<name>")],
    batch: Annotated[int, typer.Option(min=1, help="texts per batch")] = 96,
    length: Annotated[int | None, typer.Option(min=1, help="tokens per text; default: tokenize.max_length")] = None,
    r: Annotated[int | None, typer.Option("--r", min=1, help="rank of the adapter; default: as in params.yaml")] = None,
    memory: Annotated[float | None, typer.Option(help="GiB; default: memory of the GPU, or 16")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print bytes as JSON")] = False,
) -> None:
    """Estimate the memory of full training and LoRA, by the form of the base, and whether it fits on the GPU."""
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
        estimates = memory_of.estimate(empty, train, batch, tokens)
    if as_json:
        typer.echo(json.dumps([one.record() for one in estimates], sort_keys=True))
    else:
        title = f"{model}: {batch} texts of {tokens} tokens per batch, r {lora.r}, {train.optimizer}"
        show_memory(_console(), estimates, memory or memory_at_hand() or 16.0, title)


@app.command()
def diagnose(model: Annotated[Path, typer.Argument(help="a model's folder, or models/<round>")]) -> None:
    """Check a model's files and weights; report the first module that outputs NaN or Inf."""
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
        result = model_check.forward(loaded, precision)
        if result.broken:
            problems.append(f"{precision}: the first module that outputs NaN or Inf is {result.broken}")
        else:
            statistics = ", ".join(f"{name} {value:.4f}" for name, value in result.figures.items())
            typer.echo(f"{precision}: finite everywhere; embeddings: {statistics}")
    for problem in problems:
        typer.echo(problem, err=True)
    raise typer.Exit(1 if problems else 0)


@app.command()
def smoke(
    steps: Annotated[int, typer.Option(min=1, help="number of steps")] = 5,
    tokens: Annotated[Path, typer.Option(help="the output of stage tokenize")] = Path("data/tokens"),
    round_folder: Annotated[Path, typer.Option("--round", help="the round's training examples")] = Path(
        "data/triplets/round0"
    ),
    previous: Annotated[Path, typer.Option(help="the model to start from")] = Path("models/base"),
) -> None:
    """Train a few steps of the first round, keep nothing, and report time, memory, NaN or Inf, and late batches."""
    from triptych.diagnostics.smoke_test import smoke as run
    from triptych.params.load import load_params
    from triptych.report.console.smoke_table import show_smoke

    with user_errors_as_messages():
        result = run(CORPUS, TEXTS, tokens, round_folder, previous, load_params(), steps)
    show_smoke(_console(), result)


@contextmanager
def user_errors_as_messages() -> Iterator[None]:
    """End the command with one message where a `UserError` is raised, or where memory or a disk runs out."""
    try:
        yield
    except Exception as error:
        message = message_of(error)
        if message is None:
            raise
        typer.echo(f"error: {message}", err=True)
        raise typer.Exit(1) from None


def _console() -> Console:
    """Return a console that is wide enough for tables where the output is not a terminal (a log, a pipe)."""
    return Console(width=None if Console().is_terminal else 140)


def _check_file(option: str, path: Path, expected: str) -> None:
    if not path.is_file():
        raise UserError(f"{option}: {path} is {'a folder' if path.is_dir() else 'missing'}; expected {expected}")


def _check_folder(option: str, path: Path, *any_of: str) -> None:
    """Raise `UserError` unless an option's path is a folder with at least one of the files ``any_of``."""
    if not any((path / name).is_file() for name in any_of):
        lacks = f"has neither {' nor '.join(any_of)}" if len(any_of) > 1 else f"does not have {any_of[0]}"
        state = lacks if path.is_dir() else "is a file" if path.exists() else "is missing"
        raise UserError(f"{option}: {path} {state}; expected a folder with {' or '.join(any_of)}")


if __name__ == "__main__":
    app()

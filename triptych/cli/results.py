"""What a run gave: verdicts, triplets, costs; and what is kept of it for the next."""

from pathlib import Path
from typing import Annotated

import typer

from triptych.cli.options import CORPUS, METRICS, Embedder, Index, Reranker
from triptych.cli.output import console, user_errors_as_messages
from triptych.errors import UserError


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
    show_results(console(), groups, chosen, intervals, held_out, verdicts, embedder.as_posix(), costs)
    for number, line in enumerate(lines_since_last(split, evaluation, verdicts)):
        typer.echo(f"  {line}" if number else f"{line}:")


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
    show_triplets(console(), rating, examples, profile, limit, params)


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
    typer.echo(
        f"costs: ms a question on {measured.machine}: {steps}; bytes a chunk: {sizes}; {metrics / COSTS}; `triptych"
        " results` has them, and so has the page after `dvc repro --force --single-item report`"
    )

"""Questions of one's own: evaluate models on them, and write them."""

from pathlib import Path
from typing import Annotated

import typer

from triptych.cli.options import METRICS, TOKENS, VECTORS, WRITTEN, Index, check_file, check_folder
from triptych.cli.output import console, user_errors_as_messages

LABEL_HITS = 10  # hits shown for a question


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
        check_file("--queries", queries, "a file such as BEIR's queries.jsonl")
        check_file("--qrels", qrels, "a .tsv of query-id, corpus-id, score")
        check_folder("--corpus", corpus, "chunks.parquet", "corpus.jsonl")
        check_folder("--embedder", embedder, "modules.json")
        if metrics != METRICS:  # the default folder may be missing before the first run
            check_folder("--metrics", metrics, "evaluate.json")
        chunks, left_out = read_corpus(corpus)
        questions, judged, unjudged = read_questions(queries, qrels, chunks)
        settings = read_search_settings(metrics)
        params = params.model_copy(update={"tokenize": with_lengths(params.tokenize, TOKENS)})
        comparison = compare_on_questions(embedder, chunks, questions, judged, params, settings, VECTORS, WRITTEN)
    title = f"{embedder.as_posix()} on {queries.as_posix()}; tuned is the saved embedder"
    groups = query_groups(comparison.measures, comparison.by_kind, [])
    show_measures(console(), title, groups, comparison.intervals, params.promote.measure, "base_hybrid")
    rejected = "".join(f", {number} records left out: {reason}" for reason, number in left_out.items())
    typer.echo(
        f"evaluate: {len(questions)} questions of kind {comparison.kinds[ALL]}, {unjudged} without judgments left out;"
        f" {len(chunks)} chunks{rejected}; fused by {settings.fusions['base']} and {settings.fusions['tuned']}"
    )


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
        label_chunks(console(), chunks, journal, answered_chunks(corpus), search, params.split.seed)
    answered = sum(1 for one in journal.labels if one.question)
    typer.echo(
        f"label: {answered} chunks with a question, {len(journal.labels) - answered} skipped; {out.as_posix()};"
        f" set split.queries: {out.as_posix()} in params.yaml, then `dvc repro`"
    )

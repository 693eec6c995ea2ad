"""Search by the published models: at the command line, over HTTP and MCP, and through a database."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from triptych.cli.options import CORPUS, Embedder, Index, Reranker, Verdict
from triptych.cli.output import console, user_errors_as_messages
from triptych.errors import UserError


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
                show_hits(console(), one, hits, explain=explain)


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
            show_publication(console(), database.shown, published, comparison, corpus)
        if comparison:
            comparison.check(database.shown)

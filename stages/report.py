"""Write the HTML page of a run: the verdicts, every test query, the data, the training, and how to reproduce it.

``python -m stages.report --metrics metrics --corpus data/corpus --tokens data/tokens/metadata.json --runs data/runs
--embedder models/embedder --page metrics/report.html``
"""

from pathlib import Path

from triptych.artifacts import write_text
from triptych.corpus.records import read_chunks, read_qrels, read_queries
from triptych.evaluation.run_files import read_hits
from triptych.params.load import load_params
from triptych.report.html_page import render
from triptych.report.provenance import hashes, versions
from triptych.report.query_explorer import SHOWN, Explorer
from triptych.report.run_results import read_run_results

from .command import paths, print_line, run


def main(argv: list[str] | None = None) -> None:
    """Write one HTML file that opens without a network."""
    args = paths(__doc__, "metrics", "corpus", "tokens", "runs", "embedder", "page", argv=argv)
    params = load_params()
    results = read_run_results(args.metrics, args.tokens, params)
    chunks = read_chunks(args.corpus / "chunks.parquet")
    queries = read_queries(args.corpus)
    qrels = read_qrels(args.corpus / "qrels" / "test.tsv")
    hits = read_hits(args.runs / "runs.parquet", qrels, [chunk.chunk_id for chunk in chunks], SHOWN)
    free, deployed = results.verdicts.free.system, results.verdicts.deployed
    # Where nothing is added to what is free, the page compares the latter with the base model alone.
    compared = (free if deployed != free else "base", deployed)
    snippet = params.report.snippet_chars
    explorer = Explorer(chunks, [queries[one] for one in qrels], qrels, hits, compared, snippet)
    provenance = {"versions": versions(), "hashes": hashes(args.corpus, args.tokens, args.runs, args.embedder)}
    write_text(args.page, render(results, explorer, provenance, Path("params.yaml").read_text(encoding="utf-8")))
    queries_word, size = "query" if len(qrels) == 1 else "queries", args.page.stat().st_size / 1e6
    print_line(f"report: {len(qrels)} test {queries_word}, {size:.1f} MB; open {args.page} in a browser")


if __name__ == "__main__":
    run(main)

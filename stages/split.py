"""Cluster near-duplicates, split by document, build the queries, and prove that nothing leaks.

``python -m stages.split --chunks data/chunks --corpus data/corpus --metrics metrics/split.json``
"""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.command import paths, print_line, run
from triptych.artifacts import open_table, read_table, write_json, write_table, writing
from triptych.corpus.chunk_table import ChunkTable, read_columns
from triptych.corpus.duplicates.duplicate_report import near_duplicate_metrics, near_duplicate_table
from triptych.corpus.duplicates.near_duplicates import cluster
from triptych.corpus.duplicates.query_overlap import query_overlap_metrics
from triptych.corpus.queries.pseudo_queries import pseudo_queries
from triptych.corpus.queries.written_queries import crossref_queries, user_queries
from triptych.corpus.records import SPLITS, write_queries
from triptych.corpus.splits.by_document import assign, documents, leaks, place
from triptych.corpus.splits.query_counts import count, thin_categories
from triptych.errors import UserError
from triptych.params.load import load_params
from triptych.progress import progress


def main(argv: list[str] | None = None) -> None:
    """Write the corpus with clusters, documents, splits, queries and qrels."""
    args = paths(__doc__, "chunks", "corpus", "metrics", argv=argv)
    all_params = load_params()
    params, min_words = all_params.split, all_params.ingest.min_link_words
    corpus = ChunkTable(open_table(args.chunks / "chunks.parquet"))
    columns = read_columns(corpus)
    links = read_table(args.chunks / "links.parquet", ["from_chunk_id", "to_chunk_id", "text"])
    judged, dropped = crossref_queries(corpus, columns, links, min_words)
    left_out: list[str] = []
    if params.queries is not None:
        own, own_dropped = user_queries(Path(params.queries), columns)
        judged, dropped = own + judged, dropped | {f"user_{reason}": n for reason, n in own_dropped.items()}
        left_out = [f"split.queries: left out {n} of {reason}" for reason, n in own_dropped.items()]
    found = cluster(_texts(corpus), params.near_duplicates)
    document_ids = documents(columns, found.cluster, judged, params.group_titles)
    sides = assign(columns, document_ids, judged, params.fractions, params.seed)
    placed, moved = place(judged, columns, sides)
    if not judged:
        placed, moved = pseudo_queries(corpus, columns, sides, params.seed, min_words)
    leaking = leaks(found, document_ids, sides, placed)
    if any(leaking.values()):
        raise UserError(
            f"the splits leak: {leaking}; this is a fault of Triptych, please report it with your params.yaml"
        )
    counts = count(columns, sides, placed)
    warnings = left_out + thin_categories(counts, params, document_ids, found.cluster)
    if not judged:
        number = sum(map(len, placed.values()))
        warnings.insert(0, f"nobody asked anything here: {number} pseudo-queries stand in, which prove nothing")
    with writing(args.corpus) as out:
        splits = pa.DictionaryArray.from_arrays(pa.array(sides), list(SPLITS)).cast(pa.string())
        numbers = {"cluster_id": pa.array(found.cluster), "document_id": pa.array(document_ids)}
        corpus.write_with(out / "chunks.parquet", **numbers, split=splits)
        write_table(out / "near_duplicates.parquet", near_duplicate_table(columns, found))
        shutil.copyfile(args.chunks / "links.parquet", out / "links.parquet")
        queries = [item.query for split in SPLITS for item in placed[split]]
        qrels = {split: {item.query.query_id: item.relevant for item in placed[split]} for split in SPLITS}
        write_queries(out, queries, qrels)
    figures = near_duplicate_metrics(columns, found)
    metrics = {
        "splits": counts,
        "kinds": {split: dict(Counter(item.query.kind for item in placed[split])) for split in SPLITS},
        "leaks": leaking,
        "nearest_train_query": query_overlap_metrics(
            *([item.query for item in placed[one]] for one in ("test", "train"))
        ),
        "near_duplicates": figures,
        "documents": int(document_ids.max()) + 1,
        "queries_dropped": dropped | dict(moved),
        "warnings": warnings,
    }
    write_json(args.metrics, metrics)
    for warning in warnings:
        print_line(f"warning: {warning}")
    sizes = ", ".join(f"{one} {np.sum(sides == side)}/{len(placed[one])}" for side, one in enumerate(SPLITS))
    print_line(
        f"split: {len(columns)} chunks in {metrics['documents']} documents, {figures['redundant_share']:.1%} redundant,"
        f" {figures['across_categories']['clusters']} near-duplicate clusters across categories;"
        f" chunks/queries: {sizes}; no leak; {args.corpus}"
    )


def _texts(corpus: ChunkTable) -> Iterator[list[str]]:
    """Yield the contents batch by batch, under a progress bar."""
    with progress("split", len(corpus), "chunks") as done:
        for (texts,) in corpus.batches("content"):
            yield texts
            done(len(texts))


if __name__ == "__main__":
    run(main)

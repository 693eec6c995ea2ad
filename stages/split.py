"""Cluster near-duplicates, split by document, build the queries, and check for leaks.

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
from triptych.corpus.language import corpus_language, sampled_rows, write_language
from triptych.corpus.queries.link_queries import crossref_queries
from triptych.corpus.queries.pseudo_queries import pseudo_queries
from triptych.corpus.queries.user_queries import user_queries
from triptych.corpus.records import SPLITS, write_queries
from triptych.corpus.splits.by_document import assign_queries, assign_splits, count_leaks, group_documents
from triptych.corpus.splits.query_counts import check_query_counts, count_by_category
from triptych.errors import UserError
from triptych.ids import ChunkRows
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
    queries, dropped = crossref_queries(corpus, columns, links, min_words)
    warnings: list[str] = []
    if params.queries is not None:
        own, own_dropped = user_queries(Path(params.queries), columns)
        queries, dropped = own + queries, dropped | {f"user_{reason}": n for reason, n in own_dropped.items()}
        warnings = [f"split.queries: left out {n} of {reason}" for reason, n in own_dropped.items()]
    sampled = ChunkRows(np.array(sampled_rows(len(corpus))))
    sample = [chunk.content for _, chunk in corpus.chunks_at(sampled)]
    language = corpus_language(sample, params.language)
    clusters = cluster(_texts(corpus), params.near_duplicates)
    document_ids = group_documents(columns, clusters.cluster, queries, params.group_titles)
    split_codes = assign_splits(columns, document_ids, queries, params.fractions, params.seed)
    by_split, dropped_by_split = assign_queries(queries, columns, split_codes)
    if not queries:
        by_split, dropped_by_split = pseudo_queries(corpus, columns, split_codes, params.seed, min_words)
    leaks = count_leaks(clusters, document_ids, split_codes, by_split)
    if any(leaks.values()):
        raise UserError(f"the splits leak: {leaks}; this is a bug in Triptych, please report it with your params.yaml")
    counts = count_by_category(columns, split_codes, by_split)
    warnings += check_query_counts(counts, params, document_ids, clusters.cluster)
    if not queries:
        number = sum(map(len, by_split.values()))
        warnings.insert(
            0, f"no questions and no usable links: {number} pseudo-queries are used instead, which prove nothing"
        )
    with writing(args.corpus) as out:
        splits = pa.DictionaryArray.from_arrays(pa.array(split_codes), list(SPLITS)).cast(pa.string())
        numbers = {"cluster_id": pa.array(clusters.cluster), "document_id": pa.array(document_ids)}
        corpus.write_with(out / "chunks.parquet", **numbers, split=splits)
        write_table(out / "near_duplicates.parquet", near_duplicate_table(columns, clusters))
        shutil.copyfile(args.chunks / "links.parquet", out / "links.parquet")
        qrels = {split: {one.query.query_id: one.relevant for one in by_split[split]} for split in SPLITS}
        write_language(out, language)
        write_queries(out, [one.query for split in SPLITS for one in by_split[split]], qrels)
    redundancy = near_duplicate_metrics(columns, clusters)
    metrics = {
        "language": language,
        "splits": counts,
        "kinds": {split: dict(Counter(one.query.kind for one in by_split[split])) for split in SPLITS},
        "leaks": leaks,
        "nearest_train_query": query_overlap_metrics(
            *([one.query for one in by_split[split]] for split in ("test", "train"))
        ),
        "near_duplicates": redundancy,
        "documents": int(document_ids.max()) + 1,
        "queries_dropped": dropped | dict(dropped_by_split),
        "warnings": warnings,
    }
    write_json(args.metrics, metrics)
    for warning in warnings:
        print_line(f"warning: {warning}")
    sizes = ", ".join(
        f"{split} {np.sum(split_codes == code)}/{len(by_split[split])}" for code, split in enumerate(SPLITS)
    )
    print_line(
        f"split: {len(columns)} chunks in {metrics['documents']} documents,"
        f" {redundancy['redundant_share']:.1%} redundant,"
        f" {redundancy['across_categories']['clusters']} near-duplicate clusters across categories;"
        f" chunks/queries: {sizes}; no leak; {args.corpus}"
    )


def _texts(corpus: ChunkTable) -> Iterator[list[str]]:
    """Yield the contents batch by batch, with a progress bar."""
    with progress("split", len(corpus), "chunks") as update:
        for (texts,) in corpus.batches("content"):
            yield texts
            update(len(texts))


if __name__ == "__main__":
    run(main)

"""Cluster near-duplicates, split by document, build the queries, and check for leaks.

``python -m stages.split --chunks data/chunks --corpus data/corpus --metrics metrics/split.json``
"""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from triptych.artifacts import open_table, read_table, write_json, write_table, writing
from triptych.corpus.chunk_table import ChunkTable, read_columns
from triptych.corpus.duplicates.duplicate_report import near_duplicate_table
from triptych.corpus.duplicates.near_duplicates import cluster
from triptych.corpus.language import language_of, write_language
from triptych.corpus.last_publication import LastPublication, write_last
from triptych.corpus.records import SPLITS, write_queries
from triptych.corpus.splits.corpus_split import split_corpus, split_metrics
from triptych.corpus.splits.last_split import own_clusters, read_last_split, texts_of
from triptych.params.load import load_params
from triptych.progress import progress

from .command import paths, print_line, run


def main(argv: list[str] | None = None) -> None:
    """Write the corpus with clusters, documents, splits, queries and qrels."""
    args = paths(__doc__, "chunks", "corpus", "metrics", argv=argv)
    params = load_params()
    corpus = ChunkTable(open_table(args.chunks / "chunks.parquet"))
    columns = read_columns(corpus)
    links = read_table(args.chunks / "links.parquet")
    last = LastPublication.open(Path(params.split.previous)) if params.split.previous else None
    texts = chain(_texts(corpus), texts_of(last.corpus)) if last else _texts(corpus)
    clusters = cluster(texts, params.split.near_duplicates)
    last_split = read_last_split(last.corpus, corpus, clusters) if last else None
    clusters = own_clusters(clusters, len(corpus)) if last else clusters
    language = language_of(corpus, params.split.language)
    split = split_corpus(corpus, columns, links, clusters, params.split, params.ingest.min_link_words, last_split)
    chunks = split.chunks
    metrics = {"language": language, **split_metrics(columns, clusters, split)}
    with writing(args.corpus) as out:
        splits = pa.DictionaryArray.from_arrays(pa.array(chunks.codes), list(SPLITS)).cast(pa.string())
        numbers = {"cluster_id": pa.array(clusters.cluster), "document_id": pa.array(chunks.document_ids)}
        corpus.write_with(out / "chunks.parquet", **numbers, split=splits)
        write_table(out / "near_duplicates.parquet", near_duplicate_table(columns, clusters))
        shutil.copyfile(args.chunks / "links.parquet", out / "links.parquet")
        write_language(out, language)
        write_queries(out, [one.query for name in SPLITS for one in split.queries[name]], split.qrels())
        if last and last_split:
            last = replace(last, exam=last_split.exam(split.queries["test"]), changes=last_split.changes)
            write_last(out, last, last_split.known)
            metrics["previous"] = _since(last, len(split.queries["test"]))
    write_json(args.metrics, metrics)
    for warning in split.warnings:
        print_line(f"warning: {warning}")
    sizes = ", ".join(
        f"{name} {np.sum(chunks.codes == code)}/{len(split.queries[name])}" for code, name in enumerate(SPLITS)
    )
    if last:
        print_line(f"split: since {last.folder}: {_sentence(metrics['previous'])}")
    redundancy = metrics["near_duplicates"]
    if held_out := metrics["judgments"].get("held_out"):
        number, about_train = (
            sum(one[key] for one in held_out.values()) for key in ("questions", "about_train_chunks")
        )
        print_line(
            f"split: {number} questions only judge ({held_out['dev']['questions']} dev, {held_out['test']['questions']}"
            f" test); {about_train} of them are about chunks of train, whose text training reads"
        )
    print_line(
        f"split: {len(columns)} chunks in {chunks.documents} documents, {redundancy['redundant_share']:.1%} redundant,"
        f" {redundancy['across_categories']['clusters']} near-duplicate clusters across categories;"
        f" chunks/queries: {sizes}; no leak; {args.corpus}"
    )


def _texts(corpus: ChunkTable) -> Iterator[list[str]]:
    """Yield the contents batch by batch, with a progress bar."""
    with progress("split", len(corpus), "chunks") as update:
        for (texts,) in corpus.batches("content"):
            yield texts
            update(len(texts))


def _since(last: LastPublication, test: int) -> dict[str, Any]:
    """Return what the metrics say of the publication before: its exam as a number, and what changed."""
    exam = {"last": len(last.exam), "new": test - len(last.exam)}
    return {"folder": last.folder, "test_queries": exam, "pages": last.changes.pages, "chunks": last.changes.chunks}


def _sentence(since: dict[str, Any]) -> str:
    pages, chunks, queries = since["pages"], since["chunks"], since["test_queries"]
    return (
        f"pages: {pages['added']:,} added, {pages['changed']:,} changed, {pages['gone']:,} gone, {pages['same']:,} the"
        f" same; chunks: {chunks['added']:,} added, {chunks['gone']:,} gone; test queries: {queries['last']:,} of the"
        f" last exam, {queries['new']:,} new"
    )


if __name__ == "__main__":
    run(main)

"""Cluster near-duplicates, split by document, build the queries, and check for leaks.

``python -m stages.split --chunks data/chunks --corpus data/corpus --metrics metrics/split.json``
"""

import shutil
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from triptych.artifacts import open_table, read_table, write_json, write_table, writing
from triptych.corpus.chunk_table import ChunkTable, read_columns
from triptych.corpus.duplicates.duplicate_report import near_duplicate_table
from triptych.corpus.duplicates.near_duplicates import cluster
from triptych.corpus.language import language_of, write_language
from triptych.corpus.records import SPLITS, write_queries
from triptych.corpus.splits.corpus_split import split_corpus, split_metrics
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
    clusters = cluster(_texts(corpus), params.split.near_duplicates)
    language = language_of(corpus, params.split.language)
    split = split_corpus(corpus, columns, links, clusters, params.split, params.ingest.min_link_words)
    chunks = split.chunks
    with writing(args.corpus) as out:
        splits = pa.DictionaryArray.from_arrays(pa.array(chunks.codes), list(SPLITS)).cast(pa.string())
        numbers = {"cluster_id": pa.array(clusters.cluster), "document_id": pa.array(chunks.document_ids)}
        corpus.write_with(out / "chunks.parquet", **numbers, split=splits)
        write_table(out / "near_duplicates.parquet", near_duplicate_table(columns, clusters))
        shutil.copyfile(args.chunks / "links.parquet", out / "links.parquet")
        write_language(out, language)
        write_queries(out, [one.query for name in SPLITS for one in split.queries[name]], split.qrels())
    metrics = {"language": language, **split_metrics(columns, clusters, split)}
    write_json(args.metrics, metrics)
    for warning in split.warnings:
        print_line(f"warning: {warning}")
    sizes = ", ".join(
        f"{name} {np.sum(chunks.codes == code)}/{len(split.queries[name])}" for code, name in enumerate(SPLITS)
    )
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


if __name__ == "__main__":
    run(main)

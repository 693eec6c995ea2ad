"""What can be had without training, on several corpora: BM25, the base model's vectors, and every fusion of both.

``python -m benchmarks.free_search FOLDER… --out build/free.jsonl``; each FOLDER is a ``data/corpus`` (the outputs of
``split``). All queries of a corpus are asked, since nothing is trained. The vectors are those of the first 64 and
128 tokens of each passage, and of windows of 64 and 128 tokens, all or a few of each passage, whose best one counts.
A line of ``--out`` has the values of one corpus; a corpus that it has is not computed again. Tables follow: mrr@10 of
each system, and for each corpus the fusion that is best over all *other* corpora, which is what
`triptych.retrieval.fusion.PRIOR` stands for.
"""

import argparse
import json
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from triptych.artifacts import read_jsonl
from triptych.corpus.embedded_text import framed_passage
from triptych.corpus.language import read_language
from triptych.corpus.records import read_chunks, read_qrels, read_queries
from triptych.encoding.encode_texts import encode
from triptych.encoding.text_encoder import tokenized
from triptych.encoding.vector_cache import VectorCache
from triptych.evaluation.metrics import per_query
from triptych.models.loading import device, load_base
from triptych.models.precision import resolve_precision
from triptych.params.load import load_params
from triptych.retrieval.fusion import Fusion
from triptych.retrieval.lexical import LexicalIndex
from triptych.retrieval.rankings import lexical_run, search_depth, to_run
from triptych.tokens.windows import WindowCutter

FIRST = (64, 128)  # tokens
WINDOWS = ((64, 4), (64, 8), (64, 64), (128, 4), (128, 64))  # tokens, and the most windows of a chunk
DENSE = [*(f"first {one}" for one in FIRST), *(f"windows {most} of {length}" for length, most in WINDOWS)]
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
DEPTH = 100


def main() -> None:
    """Compute what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, default=Path("build/free_search.jsonl"))
    args = parser.parse_args()
    known = {row["corpus"] for row in read_jsonl(args.out)} if args.out.exists() else set()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for folder in args.folders:
        if str(folder) not in known:
            with args.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(measured(folder)) + "\n")
    rows = read_jsonl(args.out)
    print_systems(rows)
    print_left_out(rows)


def measured(folder: Path) -> dict[str, Any]:
    """Return the mean of mrr@10 of each system, over all queries of a corpus and by kind."""
    params = load_params()
    chunks, by_id = read_chunks(folder / "chunks.parquet"), read_queries(folder)
    qrels = {
        query_id: judged
        for split in ("train", "dev", "test")
        for query_id, judged in read_qrels(folder / "qrels" / f"{split}.tsv").items()
        if by_id[query_id].kind != "pseudo"
    }
    queries = [by_id[query_id] for query_id in qrels]
    ids = [chunk.chunk_id for chunk in chunks]
    framed = [framed_passage(chunk, params.triplets.text_template) for chunk in chunks]
    passages = [one.text for one in framed]
    bm25 = lexical_run(LexicalIndex(ids, passages, read_language(folder)), queries, DEPTH)
    model = load_base(params.model)
    precision = resolve_precision("auto", device())
    kinds = np.array([query.kind for query in queries])
    systems: dict[str, Any] = {}

    def add(name: str, run: dict[str, dict[str, float]]) -> None:
        found = per_query(qrels, run)["mrr@10"]
        values = np.array([found[query_id] for query_id in qrels])
        systems[name] = {"all": values.mean()} | {kind: values[kinds == kind].mean() for kind in sorted(set(kinds))}

    add("bm25", bm25)
    cost: dict[str, Any] = {}

    def add_dense(name: str, texts: list[str], of_chunk: np.ndarray, length: int) -> None:
        model.max_seq_length = length
        started = perf_counter()
        store = tokenized(model, texts, "document")
        cache = VectorCache(Path("build/free_search"), model, precision)
        vectors = encode(model, store, np.arange(len(texts)), precision, f"{folder}: {name}", cache)
        cost[name] = {"vectors": len(texts), "seconds": perf_counter() - started}
        store = tokenized(model, [query.text for query in queries], "query")
        asked = encode(model, store, np.arange(len(queries)), precision, "queries")
        scores = asked @ vectors.T
        best = np.full((len(queries), len(chunks)), -np.inf, np.float32)
        np.maximum.at(best, (slice(None), of_chunk), scores)
        depth = search_depth(queries, DEPTH)
        order = np.argsort(-best, axis=1, kind="stable")[:, :depth]
        dense = to_run(queries, ids, order, np.take_along_axis(best, order, axis=1), DEPTH)
        add(name, dense)
        for method in ("zscore", "rrf"):
            for weight in WEIGHTS:
                add(f"{name} {method} {weight}", Fusion(method, weight).fuse(dense, bm25, DEPTH))

    for length in FIRST:
        add_dense(f"first {length}", passages, np.arange(len(chunks)), length)
    for length, most in WINDOWS:
        further = WindowCutter(model.tokenizer, "", length, most).further(framed)
        windows = [[one.text, *rest] for one, rest in zip(framed, further, strict=True)]
        of_chunk = np.repeat(np.arange(len(chunks)), [len(one) for one in windows])
        add_dense(f"windows {most} of {length}", [text for one in windows for text in one], of_chunk, length)
    return {
        "corpus": str(folder),
        "chunks": len(chunks),
        "queries": {kind: int((kinds == kind).sum()) for kind in sorted(set(kinds))},
        "systems": systems,
        "cost": cost,
    }


def print_systems(rows: list[dict[str, Any]]) -> None:
    """Print mrr@10 of each system without fusion, and of the fusion that is usual."""
    names = ["bm25", *DENSE]
    columns = [*names, *(f"{name} zscore 0.7" for name in names[1:])]
    print("| corpus (chunks) | kind (queries) | " + " | ".join(columns) + " |")
    print("| --- | --- |" + " ---: |" * len(columns))
    for row in rows:
        for kind in ("all", *row["queries"]):
            number = row["queries"].get(kind, sum(row["queries"].values()))
            values = " | ".join(f"{row['systems'][name][kind]:.3f}" for name in columns)
            print(f"| {row['corpus']} ({row['chunks']}) | {kind} ({number}) | {values} |")


def print_left_out(rows: list[dict[str, Any]]) -> None:
    """Print, for each corpus, what the fusion that is best over the others gives, and its own best."""
    for dense in DENSE:
        names = [f"{dense} {method} {weight}" for method in ("zscore", "rrf") for weight in WEIGHTS]
        table = np.array([[row["systems"][name]["all"] for name in names] for row in rows])
        overall = table.mean(axis=0)
        print(f"\n{dense}: best over all {names[int(overall.argmax())]} ({overall.max():.3f})")
        for name, value in sorted(zip(names, overall, strict=True), key=lambda one: -one[1])[:5]:
            print(f"  {name}: {value:.3f}")
        for number, row in enumerate(rows):
            best = int(np.delete(table, number, axis=0).mean(axis=0).argmax()) if len(rows) > 1 else 0
            own = int(table[number].argmax())
            print(
                f"  {row['corpus']}: best of the others {names[best]} {table[number, best]:.3f},"
                f" own best {names[own]} {table[number, own]:.3f}, vectors alone {row['systems'][dense]['all']:.3f},"
                f" BM25 alone {row['systems']['bm25']['all']:.3f}"
            )


if __name__ == "__main__":
    main()

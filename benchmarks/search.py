"""Search compared with plain sentence-transformers: cold start, latency per query, and recall of quantized vectors.

``python -m benchmarks.search [--project .] [--quick]``, after ``dvc repro`` in the project.

Cold: `triptych search` from start to exit, and a script that loads the embedder with sentence-transformers, encodes the
query and searches saved float32 vectors; alternating, each in its own process, with files in the page cache. Warm: one
query after the other in one process. Precisions: the vectors of all chunks as each side stores them (the peer with
`quantize_embeddings` and `semantic_search_faiss`, rescored), compared with exact search in float32 on the dev queries.
Test queries are not read.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np

QUESTION = "how do I join two tables on a key"
PEER = """
import sys
import numpy as np
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import semantic_search
model = SentenceTransformer("models/embedder")
vectors = np.load(sys.argv[1])
print(semantic_search(model.encode_query(sys.argv[2], convert_to_tensor=True), vectors, top_k=10))
"""


def cold(command: list[str]) -> dict[str, float]:
    """Return wall time and CPU time of a process from start to exit, in seconds."""
    before, started = os.times(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - started, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"wall": wall, "processor": cpu}


def median_run(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each time, and the longest wall time."""
    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    return medians | {"longest": max(run["wall"] for run in runs)}


def warm(search: Any, questions: list[str]) -> dict[str, float]:
    """Return the latency per query in milliseconds: median, 95th percentile, and mean CPU time."""
    search(questions[0])
    latencies, before = [], time.process_time()
    for question in questions:
        started = time.perf_counter()
        search(question)
        latencies.append(1000 * (time.perf_counter() - started))
    cpu = 1000 * (time.process_time() - before) / len(questions)
    return {"median": statistics.median(latencies), "p95": float(np.percentile(latencies, 95)), "processor": cpu}


def precisions(passages: np.ndarray, queries: np.ndarray) -> dict[str, dict[str, float]]:
    """Return for each storage precision its recall@10 of the exact hits, and its size relative to float32."""
    import faiss
    from sentence_transformers.util import quantization

    from triptych.params.load import load_params
    from triptych.retrieval.dense import search
    from triptych.retrieval.vector_index import VectorIndex

    exact, _ = search(queries, passages, 10)
    settings, depth = load_params().index, load_params().evaluate.depth

    def metrics(hits: Any, size: int) -> dict[str, float]:
        shared = [len(set(rows) & set(exact_rows)) / 10 for rows, exact_rows in zip(hits, exact.tolist(), strict=True)]
        return {"recall@10": float(np.mean(shared)), "size": size / passages.nbytes}

    table = {}
    for precision in ("float32", "float16", "int8", "binary"):
        index = VectorIndex.build(passages, precision, settings.clip_percentile, settings.rescore)
        with tempfile.TemporaryDirectory() as folder:
            size = index.save(Path(folder))
        table[precision] = metrics(index.search(queries, depth)[0][:, :10].tolist(), size)
    for precision in ("uint8", "ubinary"):
        quantized = quantization.quantize_embeddings(passages, precision, calibration_embeddings=passages)
        results, _, index = quantization.semantic_search_faiss(
            queries,
            corpus_embeddings=quantized,
            corpus_precision=precision,
            calibration_embeddings=passages,
            rescore_multiplier=min(settings.rescore * depth, len(passages)) // 10,  # as many as ours
            output_index=True,
        )
        serialize = faiss.serialize_index_binary if precision == "ubinary" else faiss.serialize_index
        rows = [[hit["corpus_id"] for hit in hits] for hits in results]
        table[f"peer {precision}"] = metrics(rows, serialize(index).nbytes)
    return table


def main() -> None:
    """Print a table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, default=Path())
    parser.add_argument("--quick", action="store_true", help="two cold runs, 50 queries")
    args = parser.parse_args()
    repeats, limit = (2, 50) if args.quick else (7, 1000)
    with chdir(args.project), tempfile.TemporaryDirectory() as scratch:
        from sentence_transformers.util import semantic_search

        from triptych import Searcher
        from triptych.corpus.embedded_text import passage
        from triptych.corpus.records import read_chunks, read_qrels, read_queries
        from triptych.encoding.text_encoder import TextEncoder, load_saved
        from triptych.params.load import load_params

        params, model = load_params(), load_saved(Path("models/embedder"))
        chunks = read_chunks(Path("data/corpus/chunks.parquet"))
        encoder = TextEncoder(model, params.train.precision, "chunks")
        texts = [passage(chunk, params.triplets.text_template) for chunk in chunks]
        vectors = encoder.passages(texts, Path("data/vectors"))
        np.save(saved := Path(scratch) / "vectors.npy", vectors)
        queries = read_queries(Path("data/corpus"))
        questions = [queries[one].text for one in read_qrels(Path("data/corpus/qrels/dev.tsv"))][:limit]

        our_command = [sys.executable, "-m", "triptych.cli", "search", QUESTION]
        peer_command = [sys.executable, "-c", PEER, str(saved), QUESTION]
        runs = [(cold(our_command), cold(peer_command)) for _ in range(repeats + 1)][1:]
        first = {"triptych": median_run([run[0] for run in runs]), "peer": median_run([run[1] for run in runs])}
        searcher = Searcher()
        latency = {
            "triptych": warm(searcher.search, questions),
            "peer": warm(lambda one: semantic_search(model.encode_query(one), vectors, top_k=10), questions),
        }
        by_precision = precisions(vectors, encoder.queries(questions))
    for side in ("triptych", "peer"):
        start, ms = first[side], latency[side]
        print(
            f"{side:<9} first hit {start['wall']:.2f} s"
            f" (longest {start['longest']:.2f}, processor {start['processor']:.2f});"
            f" a query {ms['median']:.1f} ms (p95 {ms['p95']:.1f}, processor {ms['processor']:.1f})"
        )
    for name, values in by_precision.items():
        print(f"{name:<13} recall@10 {values['recall@10']:.4f}  size {values['size']:.1%} of float32")
    ratio = first["peer"]["wall"] / first["triptych"]["wall"]
    shape = {"chunks": len(vectors), "questions": len(questions)}
    times = {"first_hit": first, "warm_ms": latency}
    print(json.dumps(shape | times | {"precisions": by_precision, "first_hit_ratio": ratio}))


if __name__ == "__main__":
    main()

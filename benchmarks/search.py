"""Search beside plain sentence-transformers: seconds to the first hit, milliseconds a question, what eight bits lose.

``python -m benchmarks.search [--project .] [--quick]``, after ``dvc repro`` in the project.

Cold: `triptych search` from start to exit, and a script that loads the embedder with sentence-transformers, encodes the
question and searches saved float32 vectors; in turn, a process each, files in the page cache as after any first use.
Warm: one question after the other in one process. Precisions: the vectors of all chunks, kept as each side keeps them
(the peer by `quantize_embeddings` and `semantic_search_faiss`, rescored), against an exact search in float32 over the
dev queries. Test queries are not asked.
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
    """Return seconds of the wall and of processors that a process takes from start to exit."""
    before, started = os.times(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - started, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return {"wall": wall, "processor": used}


def middle(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each figure, and the longest wall time."""
    found = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    return found | {"longest": max(run["wall"] for run in runs)}


def warm(ask: Any, questions: list[str]) -> dict[str, float]:
    """Return milliseconds a question, asked one by one: median, 95th percentile, and mean of the processor's."""
    ask(questions[0])
    taken, before = [], time.process_time()
    for question in questions:
        started = time.perf_counter()
        ask(question)
        taken.append(1000 * (time.perf_counter() - started))
    used = 1000 * (time.process_time() - before) / len(questions)
    return {"median": statistics.median(taken), "p95": float(np.percentile(taken, 95)), "processor": used}


def precisions(passages: np.ndarray, asked: np.ndarray) -> dict[str, dict[str, float]]:
    """Return for each way to keep vectors the share of exact hits among its ten best, and its size against float32."""
    import faiss
    from sentence_transformers.util import quantization

    from triptych.params.load import load_params
    from triptych.retrieval.dense import search
    from triptych.retrieval.vector_index import VectorIndex

    exact, _ = search(asked, passages, 10)
    settings, depth = load_params().index, load_params().evaluate.depth

    def figures(found: Any, size: int) -> dict[str, float]:
        shared = [len(set(ours) & set(wanted)) / 10 for ours, wanted in zip(found, exact.tolist(), strict=True)]
        return {"recall@10": float(np.mean(shared)), "size": size / passages.nbytes}

    table = {}
    for precision in ("float32", "float16", "int8", "binary"):
        index = VectorIndex.build(passages, precision, settings.clip_percentile, settings.rescore)
        with tempfile.TemporaryDirectory() as folder:
            size = index.save(Path(folder))
        table[precision] = figures(index.search(asked, depth)[0][:, :10].tolist(), size)
    for precision in ("uint8", "ubinary"):
        kept = quantization.quantize_embeddings(passages, precision, calibration_embeddings=passages)
        found, _, index = quantization.semantic_search_faiss(
            asked,
            corpus_embeddings=kept,
            corpus_precision=precision,
            calibration_embeddings=passages,
            rescore_multiplier=4,
            output_index=True,
        )
        write = faiss.serialize_index_binary if precision == "ubinary" else faiss.serialize_index
        rows = [[hit["corpus_id"] for hit in hits] for hits in found]
        table[f"peer {precision}"] = figures(rows, write(index).nbytes)
    return table


def main() -> None:
    """Print a table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, default=Path())
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    repeats, most = (2, 50) if args.quick else (7, 1000)
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
        questions = [queries[one].text for one in read_qrels(Path("data/corpus/qrels/dev.tsv"))][:most]

        ours = [sys.executable, "-m", "triptych.cli", "search", QUESTION]
        peer = [sys.executable, "-c", PEER, str(saved), QUESTION]
        runs = [(cold(ours), cold(peer)) for _ in range(repeats + 1)][1:]
        first = {"triptych": middle([run[0] for run in runs]), "peer": middle([run[1] for run in runs])}
        searcher = Searcher()
        each = {
            "triptych": warm(searcher.search, questions),
            "peer": warm(lambda one: semantic_search(model.encode_query(one), vectors, top_k=10), questions),
        }
        kept = precisions(vectors, encoder.queries(questions))
    for side in ("triptych", "peer"):
        at, ms = first[side], each[side]
        print(
            f"{side:<9} first hit {at['wall']:.2f} s (longest {at['longest']:.2f}, processor {at['processor']:.2f});"
            f" a question {ms['median']:.1f} ms (95 % within {ms['p95']:.1f}, processor {ms['processor']:.1f})"
        )
    for name, figures in kept.items():
        print(f"{name:<13} recall@10 {figures['recall@10']:.4f}  size {figures['size']:.1%} of float32")
    ratio = first["peer"]["wall"] / first["triptych"]["wall"]
    shape = {"chunks": len(vectors), "questions": len(questions)}
    print(json.dumps(shape | {"first_hit": first, "warm_ms": each, "precisions": kept, "first_hit_ratio": ratio}))


if __name__ == "__main__":
    main()

"""Encode queries by numpy, as `triptych search` does, ONNX Runtime, OpenVINO and PyTorch, on one and two threads.

``python -m benchmarks.query_encoders [--embedder models/embedder] [--corpus data/corpus]``; the number of threads is
set before the libraries are loaded, so each row is a process of its own. Queries are those of dev, encoded one at a
time, as a search does, each three times, of which the quickest counts. ``--exports`` names a folder with ``onnx`` and
``openvino`` from an earlier `triptych export`; else they are written first. Needs these extras.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_REPEATS, _QUERIES = 3, 100
WAYS = ("numpy", "onnx", "onnx_int8", "openvino", "openvino_int8", "torch")


def measured(way: str, embedder: Path, exports: Path, texts: list[str]) -> dict[str, float]:
    """Return queries per second, the time to load, and the median of a query in milliseconds."""
    from triptych.encoding.numpy_encoder_check import numpy_encoder_settings
    from triptych.exporting.runtimes import ExportedEncoder
    from triptych.serving.numpy_encoder import NumpyEncoder, TorchEncoder

    threads = int(os.environ["OMP_NUM_THREADS"])
    if way == "numpy":
        from triptych.encoding.text_encoder import load_sides

        settings = numpy_encoder_settings(embedder, load_sides(embedder)[0])
        if settings is None:
            return {}
    started = time.perf_counter()
    if way == "numpy":
        encoder = NumpyEncoder(embedder, settings)
    elif way == "torch":
        import torch

        torch.set_num_threads(threads)
        encoder = TorchEncoder(embedder)
    else:
        kind = "onnx" if way.startswith("onnx") else "openvino"
        name = "model" + ("_int8" if way.endswith("int8") else "") + (".onnx" if kind == "onnx" else ".xml")
        if not (exports / kind / name).exists():
            return {}
        encoder = ExportedEncoder(kind, exports / kind / name, threads=threads)
    encoder.encode(texts[:1])
    loaded, times = time.perf_counter() - started, []
    for text in texts:
        of_text = []
        for _ in range(_REPEATS):
            begun = time.perf_counter()
            encoder.encode([text])
            of_text.append(time.perf_counter() - begun)
        times.append(min(of_text))
    return {"load_s": loaded, "median_ms": 1000 * statistics.median(times), "per_second": len(times) / sum(times)}


def main() -> None:
    """Export the embedder, and print the times of each encoder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embedder", type=Path, default=Path("models/embedder"))
    parser.add_argument("--corpus", type=Path, default=Path("data/corpus"))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--exports", type=Path)
    args = parser.parse_args()

    from triptych.corpus.records import read_qrels, read_queries

    queries = read_queries(args.corpus)
    texts = [queries[one].text for one in read_qrels(args.corpus / "qrels/dev.tsv")][:_QUERIES]
    if args.way:
        print(json.dumps(measured(args.way, args.embedder, args.exports, texts)))
        return

    from triptych.exporting.export import export_embedder, read_sample
    from triptych.params.load import load_params

    sample = read_sample(args.corpus, load_params().triplets.text_template)
    with tempfile.TemporaryDirectory() as temporary:
        place = str(args.exports or temporary)
        for kind in () if args.exports else ("onnx", "openvino"):
            export_embedder(args.embedder, kind, Path(place) / kind, sample, Path("data/vectors"), None, print)
        for threads in args.threads:
            variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
            environment = os.environ | dict.fromkeys(variables, str(threads))
            for way in WAYS:
                command = [sys.executable, "-m", "benchmarks.query_encoders", "--way", way, "--exports", place]
                command += ["--embedder", str(args.embedder), "--corpus", str(args.corpus)]
                ran = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
                print(f"{way}, {threads} threads: {ran.stdout.strip().splitlines()[-1]}")


if __name__ == "__main__":
    main()

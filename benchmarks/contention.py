"""How encoding slows down while other programs use the cores: ``python -m benchmarks.contention``.

Texts per second by number of threads and by how threads wait for each other, with none, some and all cores taken by
programs that compute. Prints a Markdown table.
"""

import argparse
import os
import subprocess
import sys
import time

SETTINGS: dict[str, dict[str, str]] = {
    "as PyTorch comes": {},
    "passive waits": {"OMP_WAIT_POLICY": "passive"},
    "3,000 spins (GNU), as Triptych sets it": {"GOMP_SPINCOUNT": "3000"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
_BUSY = "while True: sum(range(1000))"


def measure(seconds: float) -> None:
    """Encode texts of the store for some seconds and print how many a second."""
    import numpy as np

    from triptych.corpus.readers.sources import SourceReader
    from triptych.encoding.encode_texts import encode
    from triptych.encoding.text_encoder import tokenized
    from triptych.models.loading import device, load_base
    from triptych.models.precision import resolve_precision
    from triptych.params.load import load_params
    from triptych.params.sections import Ingest

    reader = SourceReader(Ingest(sources=[{"path": "numpy.ma", "format": "package"}]))
    contents = [chunk.content for chunk in reader.chunks(lambda path, rejected: None) if len(chunk.content) > 600]
    params = load_params()
    model, precision = load_base(params.model), resolve_precision(params.train.precision, device())
    model.max_seq_length = 128
    store = tokenized(model, contents, "document")
    texts = np.arange(len(contents))
    encode(model, store, texts[:32], precision, "warm up")
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        block = texts[done % len(texts) :][:64]
        encode(model, store, block, precision, "contention")
        done += len(block)
    print(done / (time.perf_counter() - started))


def main() -> None:
    """Measure each setting with none to all cores taken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--measure", action="store_true", help="measure once, in this process")
    args = parser.parse_args()
    if args.measure:
        measure(args.seconds)
        return
    cores = len(os.sched_getaffinity(0))
    print(f"| setting | {' | '.join(f'{taken} of {cores} cores taken' for taken in range(cores + 1))} |")
    print(f"| --- |{' ---: |' * (cores + 1)}")
    for name, environment in SETTINGS.items():
        rates = []
        for taken in range(cores + 1):
            others = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(taken)]
            try:
                plain = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")}
                command = [sys.executable, "-m", "benchmarks.contention", "--measure", "--seconds", str(args.seconds)]
                output = subprocess.run(
                    command, env=plain | environment, capture_output=True, text=True, check=True
                ).stdout
            finally:
                for one in others:
                    one.kill()
                    one.wait()
            rates.append(float(output.split()[-1]))
        print(f"| {name} | {' | '.join(f'{rate:.0f}' for rate in rates)} |", flush=True)


if __name__ == "__main__":
    main()

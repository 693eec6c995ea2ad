"""Cost of the triplets stage by size of the corpus: all pools of both profiles at 10 k, 100 k and 1 M chunks.

``python -m benchmarks.triplets_scale [--quick] [--sizes 10000 100000 1000000]``

The corpus is made of sentences of numpy's and pandas' documentation, drawn anew for each chunk, under header paths of
two to four levels in files of twenty chunks, so that frequent words stay frequent and every word's list grows with the
corpus. Each size runs in a process of its own, for its peak memory. Above ``--anchors`` anchors only so many are drawn
for, evenly from the whole corpus, and the time for all of them is their mean times the number of anchors.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import numpy as np

from triptych.corpus.outcomes import SourceCounts
from triptych.corpus.readers.docstrings import read_package
from triptych.corpus.records import Chunk
from triptych.corpus.texts import sentence_spans
from triptych.params.load import load_params
from triptych.params.sections import Source
from triptych.triplets.false_negatives import Relations
from triptych.triplets.heuristics.pools import PoolBuilder
from triptych.triplets.views import anchors

_FILE = 20  # chunks in a file


def corpus(size: int) -> list[Chunk]:
    """Return ``size`` chunks of five to twelve real sentences each, all of the train split."""
    sentences = [
        chunk.content[start:end]
        for name in ("numpy", "pandas")
        for chunk in read_package(Source(path=name, format="package"), SourceCounts(name))
        if isinstance(chunk, Chunk)
        for start, end in sentence_spans(chunk.content)
    ]
    random = Random(7)
    chunks = []
    for row in range(size):
        file = row // _FILE
        words = random.choice(sentences).split()
        path = (f"part {file % 50}", f"page {file}", f"section {row % 5}", f"{words[0]} {row}")[: random.randint(2, 4)]
        title = f"{path[-1]} {row}"
        content = "\n\n".join(random.choices(sentences, k=random.randint(5, 12)))
        category = ("guide", "reference")[file % 2]
        chunks.append(
            Chunk(f"c{row}", category, f"{file}.md", (*path[:-1], title), title, content, "", row, file, "train")
        )
    return chunks


def measure(size: int, limit: int) -> dict[str, float]:
    """Make all pools once; seconds, anchors, and peak memory of this process in MiB."""
    params = load_params().triplets
    chunks = corpus(size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    found = anchors(chunks, [], {}, {}, set(), params)
    pools = PoolBuilder(chunks, "train", Relations(chunks, []), params)
    built = time.perf_counter() - start
    chosen = found[:: max(1, len(found) // limit)]
    start = time.perf_counter()
    drawn = pools.build(chosen)
    drawing = time.perf_counter() - start
    return {
        "chunks": size,
        "anchors": len(found),
        "anchors_drawn": len(chosen),
        "negatives_per_anchor": float(np.mean([len(pool.chunk) / len(chosen) for pool in drawn.pools.values()])),
        "build_s": built,
        "draw_ms_per_anchor": 1000 * drawing / len(chosen),
        "ms_per_anchor": 1000 * (built / len(found) + drawing / len(chosen)),
        "total_s": built + drawing / len(chosen) * len(found),
        "corpus_mib": before,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Run each size in a process of its own; print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--anchors", type=int, default=400_000)
    parser.add_argument("--quick", action="store_true", help="10 k and 30 k chunks")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args.anchors)))
        return
    rows = []
    for size in [10_000, 30_000] if args.quick else args.sizes:
        command = f"-m benchmarks.triplets_scale --one {size} --anchors {args.anchors}".split()
        root = Path(__file__).parents[1]
        done = subprocess.run([sys.executable, *command], check=True, stdout=subprocess.PIPE, text=True, cwd=root)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print("  ".join(f"{key} {value:,.4g}" for key, value in rows[-1].items()), flush=True)
    ratio = rows[-1]["ms_per_anchor"] / rows[0]["ms_per_anchor"]
    print(json.dumps({"sizes": rows, "ratio_cost_per_anchor": ratio}))


if __name__ == "__main__":
    main()

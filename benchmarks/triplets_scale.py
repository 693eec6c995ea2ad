"""Cost of the triplets stage by size of the corpus: all pools of both profiles at 10 k, 100 k and 1 M chunks.

``python -m benchmarks.triplets_scale [--quick] [--sizes 10000 100000 1000000]``

The corpus consists of sentences from numpy's and pandas' documentation, sampled independently for each chunk, under
header paths of two to four levels in files of twenty chunks, so that frequent words stay frequent and the posting list
of every word grows with the corpus. Each size runs in its own process, to measure its peak memory. If there are more
anchors than ``--anchors``, pools are built for about that many, evenly spaced over the corpus; the total time is
extrapolated from their mean.
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
    """Return ``size`` chunks of five to twelve real sentences each, all in the train split."""
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
    """Build all pools once; return seconds, numbers of anchors, and the peak memory of this process in MiB."""
    params = load_params().triplets
    chunks = corpus(size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    all_anchors = anchors(chunks, [], {}, {}, set(), params)
    pools = PoolBuilder(chunks, "train", Relations(chunks, []), params)
    views_s = time.perf_counter() - start
    sampled = all_anchors[:: max(1, len(all_anchors) // limit)]
    start = time.perf_counter()
    profiles = pools.build(sampled)
    pools_s = time.perf_counter() - start
    return {
        "chunks": size,
        "anchors": len(all_anchors),
        "anchors_drawn": len(sampled),
        "negatives_per_anchor": float(np.mean([len(pool.chunk) / len(sampled) for pool in profiles.pools.values()])),
        "build_s": views_s,
        "draw_ms_per_anchor": 1000 * pools_s / len(sampled),
        "ms_per_anchor": 1000 * (views_s / len(all_anchors) + pools_s / len(sampled)),
        "total_s": views_s + pools_s / len(sampled) * len(all_anchors),
        "corpus_mib": before,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Run each size in its own process; print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="chunks")
    parser.add_argument("--anchors", type=int, default=400_000, help="about how many get pools")
    parser.add_argument("--quick", action="store_true", help="10 k and 30 k chunks only")
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

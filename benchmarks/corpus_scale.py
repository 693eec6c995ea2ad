"""Cost of ``ingest`` and ``split`` by size of the corpus, and whether planted near-duplicates are found.

``python -m benchmarks.corpus_scale [--quick] [--sizes 10000 100000 1000000]``

Both run as stages, in processes of their own, on JSON Lines that are made here: chunks of 60 to 140 words drawn by
Zipf's law, in files of twenty, in three categories. 15 % of the chunks are copies of another one in which so many
words were changed that the Jaccard similarity of word 3-grams is still 0.8; 5 % are look-alikes of which it is less.
One file holds 0.5 % of the corpus, all copies of one text, and another as many look-alikes of one text, which is what
makes comparing all pairs of a bucket quadratic. Every tenth chunk has a question.

Cost per chunk leaves out the start of Python, timed as ``import stages.<stage>``. Peak memory is the larger one of the
two stages. Recall is the share of copies in the cluster of their original; precision the share of pairs in a cluster
that were planted.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq
import yaml

ROOT = Path(__file__).parents[1]
_SEED = 7
_FILE, _BLOCK = 20, 100  # chunks in a file; chunks among which copies are made
_VOCABULARY = 200_000
_LOOK_ALIKE = 16  # place in a file; those after it are copies
_STAGES = {
    "ingest": "--chunks data/chunks --metrics metrics/ingest.json",
    "split": "--chunks data/chunks --corpus data/corpus --metrics metrics/split.json",
}


def vocabulary() -> np.ndarray:
    """Return distinct words of two to four syllables, the frequent ones first."""
    random = np.random.default_rng(_SEED)
    syllables = np.array([a + b for a in "bcdfghklmnprstvz" for b in "aeiou"])
    words: dict[str, None] = {}
    while len(words) < _VOCABULARY:
        for row in random.integers(len(syllables), size=(_VOCABULARY, 4)):
            words["".join(syllables[row[: 2 + len(words) // 5_000]])] = None
    return np.array(list(words)[:_VOCABULARY], dtype=object)


class Maker:
    """Makes each chunk from its number alone, so that a copy can be made without keeping the original."""

    def __init__(self, size: int) -> None:
        """Make a corpus of ``size`` chunks."""
        self.size = size
        self.family = size // 200  # chunks of each of the two large families, the last of the corpus
        self._words = vocabulary()
        self._weights = np.cumsum(1 / np.arange(1, _VOCABULARY + 1))

    def original(self, row: int) -> int:
        """Return the chunk that this one was made from, itself for one that was made anew."""
        if row >= self.size - 2 * self.family:
            return self.size - self.family * (2 if row < self.size - self.family else 1)
        if row % _FILE < _LOOK_ALIKE:
            return row
        random = np.random.default_rng([_SEED, row, 1])
        block = row - row % _BLOCK
        return int(block + random.integers(_BLOCK // _FILE) * _FILE + random.integers(_LOOK_ALIKE))

    def copied(self, row: int) -> bool:
        """Tell near-duplicates of the original from look-alikes."""
        if row >= self.size - 2 * self.family:
            return row < self.size - self.family
        return row % _FILE > _LOOK_ALIKE

    def text(self, row: int) -> list[str]:
        """Return the words of a chunk."""
        original = self.original(row)
        random = np.random.default_rng([_SEED, original])
        length = int(random.integers(60, 141))
        places = np.searchsorted(self._weights, random.random(length) * self._weights[-1])
        words = self._words[np.minimum(places, _VOCABULARY - 1)].tolist()
        if row == original:
            return words
        random = np.random.default_rng([_SEED, row, 2])
        # A word changed takes three of the shingles away and brings three others; places are four apart.
        shingles = length - 2
        changed = int(random.integers(shingles // 27 + 1)) if self.copied(row) else shingles // 24 + 1
        for place in random.choice(length // 4 - 1, changed, replace=False):
            words[4 * place + 2] = f"{self._words[random.integers(_VOCABULARY)]}{row}"
        return words

    def records(self) -> Iterator[dict[str, object]]:
        """Yield every chunk as a user's record."""
        for row in range(self.size):
            words, file = self.text(row), min(row, self.size - 2 * self.family) // _FILE
            if row >= self.size - self.family:
                file += 1
            yield {
                "chunk_id": f"c{row}",
                "category": ("guide", "reference", "tutorial")[file // (_BLOCK // _FILE) % 3],
                "filename": f"{file}.md",
                "header_path": [f"part {file % 50}", f"page {file}", f"{words[0]} {row}"],
                "title": f"{words[0]} {row}",
                "content": " ".join(words),
            }


def make(folder: Path, maker: Maker) -> None:
    """Write a project: the corpus, questions about it in BEIR's format, and params."""
    asked = folder / "asked"
    (asked / "qrels").mkdir(parents=True)
    with (
        (folder / "corpus.jsonl").open("w", encoding="utf-8") as corpus,
        (asked / "queries.jsonl").open("w", encoding="utf-8") as queries,
        (asked / "qrels" / "all.tsv").open("w", encoding="utf-8") as qrels,
    ):
        qrels.write("query-id\tcorpus-id\tscore\n")
        for row, record in enumerate(maker.records()):
            corpus.write(json.dumps(record) + "\n")
            if row % 10 == 0:
                words = str(record["content"]).split()[5:12]
                queries.write(json.dumps({"_id": str(row), "text": " ".join(words)}) + "\n")
                qrels.write(f"{row}\tc{row}\t1\n")
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["ingest"]["sources"] = [{"path": "corpus.jsonl"}]
    params["split"] |= {"queries": "asked", "group_titles": False}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Run a command; return seconds, and the peak memory of its process in GB."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - start, usage.ru_maxrss * 1024 / 1e9


def found(folder: Path, maker: Maker) -> tuple[float, float]:
    """Return recall and precision of the planted near-duplicates."""
    table = pq.read_table(folder / "data/corpus/chunks.parquet", columns=["chunk_id", "cluster_id"])
    rows = np.array([int(one[1:]) for one in table["chunk_id"].to_pylist()])
    cluster = np.empty(maker.size, dtype=np.int64)
    cluster[rows] = table["cluster_id"].to_numpy()
    copied = np.array([maker.copied(row) for row in range(maker.size)])
    original = np.array([maker.original(row) if copied[row] else row for row in range(maker.size)])
    planted = np.flatnonzero(original != np.arange(maker.size))
    recall = (cluster[planted] == cluster[original[planted]]).mean()
    return float(recall), _pairs(cluster * maker.size + original) / _pairs(cluster)


def _pairs(groups: np.ndarray) -> int:
    sizes = np.unique(groups, return_counts=True)[1]
    return int((sizes * (sizes - 1) // 2).sum())


def measure(size: int) -> dict[str, float]:
    """Make a corpus, run both stages, and look at what they found."""
    maker = Maker(size)
    with TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, maker)
        row: dict[str, float] = {"chunks": size, "corpus_gb": (folder / "corpus.jsonl").stat().st_size / 1e9}
        for stage, paths in _STAGES.items():
            started, _ = timed([sys.executable, "-c", f"import stages.{stage}"], folder)
            row[f"{stage}_s"], row[f"{stage}_gb"] = timed(
                [sys.executable, "-m", f"stages.{stage}", *paths.split()], folder
            )
            row[f"{stage}_ms_per_chunk"] = 1000 * (row[f"{stage}_s"] - started) / size
        row["recall"], row["precision"] = found(folder, maker)
    return row


def main() -> None:
    """Measure each size; print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--quick", action="store_true", help="10 k and 30 k chunks")
    args = parser.parse_args()
    if any(size % 10_000 for size in args.sizes):
        parser.error("sizes: expected multiples of 10000, so that the two large families fill whole files")
    rows = []
    for size in [10_000, 30_000] if args.quick else args.sizes:
        rows.append(measure(size))
        print("  ".join(f"{key} {value:,.4g}" for key, value in rows[-1].items()), flush=True)
    first, last = (
        {"cost": sum(row[f"{stage}_ms_per_chunk"] for stage in _STAGES)} | row for row in (rows[0], rows[-1])
    )
    name = f"{last['chunks'] // 1_000_000}m" if last["chunks"] >= 1_000_000 else f"{last['chunks'] // 1000}k"
    result = {
        f"cost_ratio_{name}": last["cost"] / first["cost"],
        f"minutes_{name}": sum(last[f"{stage}_s"] for stage in _STAGES) / 60,
        f"peak_gb_{name}": max(last[f"{stage}_gb"] for stage in _STAGES),
        "planted_recall": min(row["recall"] for row in rows),
        "planted_precision": min(row["precision"] for row in rows),
    }
    print(json.dumps(result | {"sizes": rows}))


if __name__ == "__main__":
    main()

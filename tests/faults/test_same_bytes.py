"""Every stage writes the same bytes whatever threads, hash seed, time zone, locale and path it runs with."""

import shlex
import shutil
import time
from pathlib import Path

import pytest
from forked_stages import FULL, STAGES, Stage, count, run_in_one_process, stages_of

pytestmark = [pytest.mark.faults, pytest.mark.posix]
PLACES = {
    "one thread, another seed, Kathmandu, C": {
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "7",
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "C",
    },
    "two threads, another seed, Samoa, POSIX": {
        "OMP_NUM_THREADS": "2",
        "MKL_NUM_THREADS": "2",
        "PYTHONHASHSEED": "4242",
        "TZ": "Pacific/Apia",
        "LC_ALL": "POSIX",
        "LANGUAGE": "tr",
    },
}


DATA = ("ingest", "split", "ask", "triplets", "tokenize")  # whose bytes are the same on each machine


@pytest.mark.parametrize("place", PLACES if FULL else list(PLACES)[:1])
def test_another_place(place, copied, tmp_path):
    (folder := tmp_path / "Kopie mit Ümlauten 2").mkdir()
    stages = stages_of(copied(folder))
    run_each(stages, PLACES[place])
    for name, stage in stages.items():
        same = not stage.half_written()
        count(f"other place: {place}", name, f"{name}: {'same' if same else 'other'} bytes")
        # Two threads add the products of a matrix in another order, so that the last bits of vectors may differ.
        assert same or (name not in DATA and "two threads" in place), name


def run_each(stages: dict[str, Stage], environment: dict[str, str]) -> None:
    """Run each stage once with the inputs of the undisturbed run and nothing cached: the last one first."""
    project = next(iter(stages.values())).project
    shutil.rmtree(project / "data/vectors", ignore_errors=True)
    begun = time.time()
    run_in_one_process(project, [shlex.join(stages[name].command) for name in reversed(STAGES)], **environment)
    for stage in stages.values():
        assert not stage.missing()
        for out in stage.outs:
            assert newest(project / out) > begun - 1, f"{out} was not written"


def newest(path: Path) -> float:
    return max(one.stat().st_mtime for one in [path, *path.rglob("*")])


@pytest.mark.skipif(not FULL, reason="prints what differs, asserts little")
def test_a_cpu_with_other_instructions(copied):
    """A CPU without AVX-512 and bf16: sums are added in another order, so the last bits of vectors differ."""
    stages = stages_of(copied())
    run_each(stages, {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"})
    for name, stage in stages.items():
        same = not stage.half_written()
        count("a CPU without AVX-512 and bf16", name, f"{name}: {'same' if same else 'other'} bytes")
        assert same or name not in DATA

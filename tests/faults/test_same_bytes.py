"""Every stage writes the same bytes whatever threads, hash seed, time zone, locale and path it runs with."""

import shlex
import shutil
from pathlib import Path

import pytest
from forked_stages import FULL, STAGES, count, run_in_one_process, stages_of

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
        "PYTHONHASHSEED": "4242",
        "TZ": "Pacific/Apia",
        "LC_ALL": "POSIX",
        "LANGUAGE": "tr",
    },
}


@pytest.mark.parametrize("place", PLACES if FULL else list(PLACES)[:1])
def test_another_place(place, copied, tmp_path):
    (folder := tmp_path / "Kopie mit Ümlauten 2").mkdir()
    stages = stages_of(copied(folder))
    names = [name for name in STAGES if FULL or not name.startswith("train")]
    for name in names:
        stages[name].remove_outs()
    run_all(folder, [stages[name].command for name in names], PLACES[place])
    for name in names:
        assert not stages[name].missing()
        assert not stages[name].half_written()
        count(f"other place: {place}", name, "same bytes")


def run_all(folder: Path, commands: list[list[str]], environment: dict[str, str]) -> None:
    """Run stages one after another, with nothing cached."""
    shutil.rmtree(folder / "data/vectors", ignore_errors=True)
    run_in_one_process(folder, list(map(shlex.join, commands)), **environment)


@pytest.mark.skipif(not FULL, reason="prints what differs, asserts little")
def test_a_cpu_with_other_instructions(copied):
    """A CPU without AVX-512 and bf16: sums are added in another order, so the last bits of vectors differ."""
    folder = copied()
    stages = stages_of(folder)
    for name in STAGES:
        stages[name].remove_outs()
    older = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
    run_all(folder, [stages[name].command for name in STAGES], older)
    for name in STAGES:
        assert not stages[name].missing()
        same = not stages[name].half_written()
        count("a CPU without AVX-512 and bf16", name, f"{name}: {'same' if same else 'other'} bytes")
        if name in ("ingest", "split", "ask", "triplets", "tokenize"):
            assert same

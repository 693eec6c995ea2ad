"""Progress in a terminal, in a log, and with ``--quiet``."""

import io
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stages.command import paths
from triptych import progress as module
from triptych.cli import app
from triptych.progress import progress, quiet, strides, track


@pytest.fixture
def shown(monkeypatch):
    """Capture standard error, as a terminal or a log; each call of the clock advances it by 4 seconds."""
    monkeypatch.setenv("TQDM_DISABLE", "0")

    def call(*, terminal):
        out = io.StringIO()
        out.isatty = lambda: terminal
        monkeypatch.setattr(sys, "stderr", out)
        clock = iter(range(0, 10_000, 4))
        monkeypatch.setattr(module, "perf_counter", lambda: next(clock))
        return out

    return call


def test_log_gets_a_line_every_ten_seconds_with_rate_and_remaining_time(shown):
    out = shown(terminal=False)
    with progress("index", 2000, "texts") as done:
        for _ in range(7):
            done(100)
    assert out.getvalue() == (
        "index: 300 of 2,000 texts, 25.0 a second, 01:08 left\nindex: 600 of 2,000 texts, 25.0 a second, 00:56 left\n"
    )


def test_unknown_total_gives_no_remaining_time(shown):
    out = shown(terminal=False)
    assert list(track("abcd", "ingest", "chunks")) == list("abcd")
    assert out.getvalue() == "ingest: 3 chunks, 0.2 a second\n"


def test_terminal_gets_a_bar_that_disappears(shown, monkeypatch):
    monkeypatch.setattr(module, "_DELAY", 0)
    out = shown(terminal=True)
    with progress("index", 2000, "texts") as done:
        done(100)
        time.sleep(0.2)  # tqdm draws it at most ten times a second
        done(1400)
    assert re.search(r"\rindex:  75%.*1500/2000 \[\d\d:\d\d<.*texts/s\]", out.getvalue())
    assert "\n" not in out.getvalue()


def test_short_work_shows_nothing(shown):
    out = shown(terminal=True)
    assert list(strides(5, 2, "mine", "anchors")) == [0, 2, 4]
    assert out.getvalue() == ""


def test_strides_count_units_to_the_last(shown, monkeypatch):
    updates = []
    monkeypatch.setattr(module._LogLines, "update", lambda self, number: updates.append(number))
    shown(terminal=False)
    list(strides(5, 2, "mine", "anchors"))
    assert updates == [2, 2, 1]


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_shows_nothing(shown, monkeypatch, terminal):
    monkeypatch.setattr(module, "_DELAY", 0)
    out = shown(terminal=terminal)
    quiet()
    with progress("index", 200, "texts") as done:
        for _ in range(9):
            done(10)
    assert out.getvalue() == ""


@pytest.mark.parametrize("stage", ["split", "index"])
def test_stages_and_the_command_line_take_quiet(stage, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "0")
    paths("", stage, argv=[f"--{stage}", "somewhere"])
    assert os.environ["TQDM_DISABLE"] == "0"
    paths("", stage, argv=[f"--{stage}", "somewhere", "--quiet"])
    assert os.environ["TQDM_DISABLE"] == "1"
    monkeypatch.setenv("TQDM_DISABLE", "0")
    CliRunner().invoke(app, ["--quiet", "results", "--metrics", "nowhere"])
    assert os.environ["TQDM_DISABLE"] == "1"


@pytest.mark.dag
def test_training_shows_its_steps_and_does_not_print_dicts(prepared, tmp_path):
    """Run a stage of the real pipeline in a process whose standard error is a log."""
    code = (
        "import triptych.progress as p; p._LOG_INTERVAL = 0;"
        "from hand_made import TRAIN; from stages import train; train.main(TRAIN.split())"
    )
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    here = [str(Path(module.__file__).parents[1]), *sys.path]
    environment = os.environ | {"TQDM_DISABLE": "0", "PYTHONPATH": os.pathsep.join(here), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert "train: 2 of 2 steps" in done.stderr
    assert "{'" not in done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_quiet_silences_the_loading_of_weights_before_and_after_it_is_imported():
    shown = "from transformers.utils import logging; assert not logging.is_progress_bar_enabled()"
    for code in (
        f"from triptych.progress import quiet; quiet(); {shown}",
        f"import transformers; from triptych.progress import quiet; quiet(); {shown}",
    ):
        subprocess.run([sys.executable, "-c", code], check=True)

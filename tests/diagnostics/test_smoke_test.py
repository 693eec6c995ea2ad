"""``triptych smoke``: the table of a few steps."""

import re
import shutil
import statistics

import pytest
from typer.testing import CliRunner

from triptych.cli import app


@pytest.fixture
def project(prepared, tmp_path, monkeypatch):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_smoke_shows_each_step_with_time_memory_vectors_and_queue_and_keeps_nothing(project):
    before = sorted(project.rglob("*"))
    done = CliRunner().invoke(app, ["smoke", "--steps", "3"])
    assert done.exit_code == 0, done.output
    rows = [line.strip("│ ").split() for line in done.output.splitlines() if line.startswith("│")]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert all("0 of" in " ".join(row) and float(row[2]) > 0 for row in (line for line in rows))
    seconds = [float(row[2]) for row in rows][1:]
    line = " ".join(done.output.split())
    said = re.search(r"smoke: ([\d.]+) s per step, deviation ([\d.]+) \(without the first\)", line)
    assert float(said[1]) == pytest.approx(statistics.mean(seconds), abs=2e-3)
    assert float(said[2]) == pytest.approx(statistics.stdev(seconds), abs=2e-3)
    assert "MB resident" in done.output
    assert "batches were not ready" in done.output
    assert "faults: none" in done.output
    assert sorted(project.rglob("*")) == before


def test_smoke_shows_a_step_that_was_left_out(project, monkeypatch):
    from triptych.training.losses import ContrastiveLoss

    calls, forward = [], ContrastiveLoss.forward

    def spoiled(self, vectors, rows):
        calls.append(1)
        return forward(self, vectors, rows) * (float("nan") if len(calls) in (2, 3) else 1.0)

    monkeypatch.setattr(ContrastiveLoss, "forward", spoiled)
    done = CliRunner().invoke(app, ["smoke", "--steps", "3"])
    assert done.exit_code == 0, done.output
    assert "left out" in done.output
    assert "faults: repeated_in_float32 1, restored 1" in " ".join(done.output.split())


def test_smoke_names_what_is_missing(tmp_path, monkeypatch, write_params, tiny_model):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model, tmp_path / "tiny")
    write_params(tmp_path, **{"model.base": "./tiny"})
    done = CliRunner().invoke(app, ["smoke"])
    assert done.exit_code == 1
    assert "dvc repro tokenize" in done.output

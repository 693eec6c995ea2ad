"""A small project that `dvc repro` has finished, copies of it, and the table of the faults that were tried."""

import codecs
import os
import shutil
import subprocess
import sys
from pathlib import Path

import forked_stages
import pytest
from forked_stages import STAGES, run_in_one_process, stages_of
from test_dag import make_project, run

from triptych.pipeline import _filled, _stages


def pytest_terminal_summary(terminalreporter):
    """Print what was tried."""
    if forked_stages.TALLY:
        terminalreporter.section("faults")
        for line in forked_stages.table():
            terminalreporter.line(line)
        if path := os.environ.get("FAULTS_TABLE"):
            Path(path).write_text("\n".join(forked_stages.table()) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def finished(tiny_model, tmp_path_factory) -> Path:
    """The small project as `dvc repro` leaves it, never written to: a run without disturbance.

    Its stages run in one process, which imports PyTorch once, and DVC records what they wrote.
    """
    kept = os.environ.get("FAULTS_PROJECT")  # a folder to keep it in from one run of these tests to the next
    project = Path(kept) if kept else tmp_path_factory.mktemp("faults") / "project"
    if not (project / "dvc.lock").exists():
        make_project(project, tiny_model, rounds__train__round0__steps=6, train__checkpoint_every=2)
        commands = {name: _filled(entry["cmd"], values) for name, entry, values in _stages(project)}
        run_in_one_process(project, [commands[name] for name in STAGES])
        run(project, "dvc", "commit", "--force")
        run(project, "git", "add", "-A")
        run(project, "git", "commit", "-qm", "Run")
    return project


@pytest.fixture(scope="session")
def warm(finished):
    """Import what the stages import, so that a fork starts at once."""
    import torch

    torch.set_num_threads(1)
    for name in stages_of(finished):
        __import__(f"stages.{_module(name)}")
    codecs.lookup("cp437")  # of ZIP files; another user may not be able to read Python's folder
    import datasets
    import peft
    import sentence_transformers  # noqa: F401

    del datasets, peft


def _module(name: str) -> str:
    return {"tokenize": "tokenize_texts"}.get(name, name.partition("@")[0])


@pytest.fixture
def copied(finished, warm, tmp_path_factory):
    """Copy the finished project, without DVC's cache: ``copied()`` or ``copied(folder)``."""

    def copy(folder: Path | None = None) -> Path:
        project = folder or tmp_path_factory.mktemp("copy")
        names = shutil.ignore_patterns(".git", "cache", "tmp", ".venv", "tests", "docs", "benchmarks")
        shutil.copytree(finished, project, dirs_exist_ok=True, ignore=names, symlinks=True)
        return project

    return copy


@pytest.fixture
def cloned(finished, tmp_path):
    """Copy the finished project with Git and DVC's cache, for `dvc repro`."""
    project = tmp_path / "project"
    subprocess.run(["cp", "-a", str(finished), str(project)], check=True)
    return project


@pytest.fixture(autouse=True)
def _no_bytecode(monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

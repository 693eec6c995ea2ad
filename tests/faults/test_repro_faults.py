"""`dvc repro` killed, stopped, run twice at once, with inputs that change while it runs, and clocks that jump."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from random import Random

import pytest
from forked_stages import FULL, count, stages_of, unrecord
from test_dag import _environment, ran, run, set_params

pytestmark = [pytest.mark.faults, pytest.mark.posix]


def start(project: Path, *command: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=project,
        env=_environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def forget(project: Path, first: str) -> list[str]:
    """Remove the outputs of a stage and of all later ones, with what DVC cached of runs; return their names."""
    stages = stages_of(project)
    names = list(stages)[list(stages).index(first) :]
    for name in names:
        stages[name].remove_outs()
    run(project, "git", "checkout", "-q", "HEAD", "--", "dvc.lock")
    unrecord(project, names)
    return names


def whole(project: Path, finished: Path) -> None:
    """Assert that all outputs are those of the undisturbed run."""
    for name, stage in stages_of(finished).items():
        own = type(stage)(name, stage.command, stage.outs, stage.deps, project)
        assert not own.missing(), name
        assert not own.half_written(), name


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_dvc_and_its_stage_are_killed_or_stopped(how, cloned, finished):
    random = Random(f"repro {how}")
    for _ in range(5 if FULL else 1):
        forget(cloned, "tokenize")
        process = start(cloned, "dvc", "repro", "train@round0")
        time.sleep(random.uniform(4.0, 14.0))
        os.killpg(process.pid, how)
        output, _ = process.communicate()
        if how == signal.SIGINT and "Running stage" in output and process.returncode:
            assert "Traceback" not in output, output
        for name, stage in stages_of(finished).items():
            own = type(stage)(name, stage.command, stage.outs, stage.deps, cloned)
            assert not own.half_written(), name
        again = run(cloned, "dvc", "repro")
        whole(cloned, finished)
        count(f"`dvc repro`: {how.name}", "tokenize to train", "same bytes after the next one")
        assert "up to date" in again or ran(again)


def test_two_at_once(cloned, finished):
    forget(cloned, "rate")
    both = [start(cloned, "dvc", "repro") for _ in range(2)]
    outputs = [one.communicate()[0] for one in both]
    assert any(one.returncode == 0 for one in both), outputs
    refused = [output for one, output in zip(both, outputs, strict=True) if one.returncode]
    assert all("lock" in output.lower() for output in refused), outputs
    run(cloned, "dvc", "repro")
    whole(cloned, finished)
    count(
        "two `dvc repro` at once",
        "rate to report",
        "the second is told to wait, same bytes" if refused else "same bytes",
    )


def test_params_that_change_while_a_stage_runs(cloned, finished):
    """DVC would record the result under the new value."""
    forget(cloned, "train@round0")
    before = (cloned / "params.yaml").read_text(encoding="utf-8")
    process = start(cloned, "dvc", "repro", "--single-item", "train@round0")
    _wait_for(process, "Running stage")
    deadline = time.monotonic() + 300
    while not list((cloned / ".checkpoints").glob("round0/*/checkpoint-*")):  # it has read its params and trains
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    set_params(cloned, train__batch_size=6)
    output = process.communicate()[0]
    assert process.returncode
    assert "params.yaml: train changed while stage train@round0 ran" in output, output
    (cloned / "params.yaml").write_text(before)
    run(cloned, "dvc", "repro")
    whole(cloned, finished)
    count("params edited while a stage runs", "train@round0", "one message, nothing recorded, same bytes")


def _wait_for(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout
    for line in process.stdout:
        if text in line:
            return


def test_a_source_that_changes_while_it_is_read(copied):
    """Pages are rewritten while ingest reads them: the text of neither version may be recorded."""
    project = copied()
    pages = project / "data/raw/pages"
    pages.mkdir()
    for number in range(300):
        (pages / f"{number}.md").write_text(f"# Page {number}\n\nOld text of page {number}, with some words.\n" * 3)
    set_params(project, ingest__sources=[{"path": "data/raw/pages"}])
    stage = stages_of(project)["ingest"]
    stage.remove_outs()
    seconds = stage.run().seconds
    random, tried = Random("source"), 0
    while tried < (20 if FULL else 3):
        stage.remove_outs()
        writer = os.fork()
        if writer == 0:
            time.sleep(random.uniform(0.2, 0.8) * seconds)
            (pages / f"{random.randrange(300)}.md").write_text("# New\n\nNew text, which is not the old one.\n")
            os._exit(0)
        done = stage.run()
        os.waitpid(writer, 0)
        if done.code == 0:
            continue  # written before the first page was read
        assert "changed while stage ingest ran" in done.output, done.output
        assert "data/raw/pages/" in done.output
        tried += 1
        count("source changes while it is read", "ingest", "one message, nothing recorded")


@pytest.mark.parametrize("hours", [-24 * 400, 24 * 400])
def test_a_clock_that_jumps(hours, cloned, finished):
    """Times of all files are moved, as after a clock was set: nothing is run again, and nothing wrong is kept."""
    for path in cloned.rglob("*"):
        if path.is_file() and ".git" not in path.parts and ".dvc" not in path.parts and not path.is_symlink():
            status = path.stat()
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + hours * 3_600 * 10**9))
    assert ran(run(cloned, "dvc", "repro")) == []
    whole(cloned, finished)
    forget(cloned, "rate")
    library = next(Path("/usr/lib").rglob("libfaketime.so.1"), None)
    clock = {"LD_PRELOAD": str(library), "FAKETIME": f"{hours:+d}h"} if library else {}
    run(cloned, "dvc", "repro", "rate", "train@round0", **clock)
    run(cloned, "dvc", "repro")
    whole(cloned, finished)
    count("clock jumps", f"{hours} h", "same bytes" if library else "same bytes (times of files only)")


def test_a_label_is_not_lost_by_two_sessions_at_once(tmp_path):
    """Two people label in one folder: each label is in the journal, and in the questions after the next start."""
    from triptych.evaluation.label_journal import Journal, Label

    children = []
    for person in "ab":
        if (child := os.fork()) == 0:
            journal = Journal(tmp_path)
            for number in range(50):
                journal.add(Label(f"{person}{number}", f"question {person} {number}", (f"{person}{number}",), "test"))
            os._exit(0)
        children.append(child)
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
    journal = Journal(tmp_path)
    journal.write()
    assert len(journal.labels) == 100
    assert len((tmp_path / "queries.jsonl").read_text(encoding="utf-8").splitlines()) == 100
    assert all(
        json.loads(line)["question"] for line in (tmp_path / "labels.jsonl").read_text(encoding="utf-8").splitlines()
    )
    count("two `triptych label` at once", "labels.jsonl", "all 100 labels kept")

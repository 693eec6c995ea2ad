"""Stages of a finished project, run again in forks of this process, which has PyTorch imported, and interrupted there.

A fork starts a stage in milliseconds, so that it can be killed at many moments.
"""

import logging
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from triptych.artifacts import dvc_hash

ROOT = Path(__file__).parents[1]
FULL = os.environ.get("FAULTS") == "full"  # as `make test-faults` sets it
KILLS, MOMENTS, FLIPS = (20, 5, 5) if FULL else (2, 2, 1)
NOBODY = 65534
STAGES = (
    "ingest",
    "split",
    "ask",
    "triplets",
    "tokenize",
    "rate",
    "train@round0",
    "mine@round1",
    "train@round1",
    "mine@reranker",
    "train_reranker",
    "evaluate",
    "promote",
    "index",
    "report",
)
PROGRAM = """
import runpy, shlex, sys
for line in sys.stdin.read().splitlines():
    sys.argv = shlex.split(line)[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
LIMIT = 120.0  # seconds that no stage of the small project takes


@dataclass(frozen=True)
class Outcome:
    """How a run of a stage ended."""

    code: int  # of the exit; negative: the signal that ended it
    output: str
    seconds: float

    @property
    def message(self) -> str:
        """The last line that was printed."""
        return (self.output.strip().splitlines() or [""])[-1]

    @property
    def traceback(self) -> bool:
        return "Traceback (most recent call last)" in self.output


@dataclass
class Stage:
    """A stage as ``dvc.lock`` records it, in a project folder."""

    name: str
    command: list[str]
    outs: dict[str, str]  # path → hash of the undisturbed run
    deps: list[str]
    project: Path = field(repr=False)

    def remove_outs(self) -> None:
        """Remove the outputs, as DVC does before it runs a stage."""
        for name in self.outs:
            path = self.project / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def half_written(self) -> list[str]:
        """Return the outputs that exist with other bytes than those of the undisturbed run."""
        return [name for name, md5 in self.outs.items() if (self.project / name).exists() and self._hash(name) != md5]

    def missing(self) -> list[str]:
        return [name for name in self.outs if not (self.project / name).exists()]

    def run(
        self,
        kill: tuple[float, int] | None = None,
        user: int | None = None,
        under_dvc: bool = True,
        **environment: str,
    ) -> Outcome:
        """Run the stage in a fork, without removing its outputs; ``kill`` is (seconds, signal).

        Under DVC the stage compares its inputs with ``dvc.lock``.
        """
        log = self.project.with_name(f"{self.project.name}.log")  # not in the project, whose disk may be full
        log.touch()
        log.chmod(0o666)
        started = time.monotonic()
        if (child := os.fork()) == 0:
            self._in_fork(log, user, environment | ({"DVC_STAGE": self.name} if under_dvc else {}))
        status = None
        deadline = started + LIMIT
        kill_at = started + kill[0] if kill else None
        while status is None:
            done, code = os.waitpid(child, os.WNOHANG)
            if done:
                status = code
            elif kill and kill_at is not None and time.monotonic() >= kill_at:
                os.kill(child, kill[1])
                kill_at = None
            elif time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise TimeoutError(f"{self.name}: {log.read_text(encoding='utf-8')}")
            else:
                time.sleep(0.002)
        output = log.read_text(encoding="utf-8", errors="replace")
        return Outcome(os.waitstatus_to_exitcode(status), output, time.monotonic() - started)

    def _hash(self, name: str) -> str:
        return dvc_hash(self.project / name)

    def _in_fork(self, log: Path, user: int | None, environment: dict[str, str]) -> None:
        code = 1
        try:
            os.setsid()
            handle = os.open(log, os.O_WRONLY | os.O_TRUNC)
            for number in (1, 2):
                os.dup2(handle, number)
            sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
            if torch := sys.modules.get("torch"):
                torch.set_num_threads(1)  # makes a new thread pool; two threads at once would find none
            logging.getLogger().handlers.clear()  # those of pytest, which keep warnings to themselves
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.environ.update({"TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"} | environment)
            os.chdir(self.project)
            if user is not None:
                os.environ["HOME"] = str(self.project)
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
            sys.argv = self.command[2:]
            runpy.run_module(self.command[2], run_name="__main__", alter_sys=True)
            code = 0
        except SystemExit as stopped:
            code = stopped.code if isinstance(stopped.code, int) else 1
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def run_in_one_process(project: Path, commands: list[str], **environment: str) -> None:
    """Run the commands of stages one after another in one process with a plain environment and one thread.

    The forks of the tests have one thread too: several add the products of a matrix in another order.
    """
    own = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "OMP_", "MKL_", "TZ"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input="\n".join(commands),
        cwd=project,
        env=own | ONE_THREAD | {"PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"} | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def stages_of(project: Path) -> dict[str, Stage]:
    """Return the stages of a finished project, in the order in which DVC ran them."""
    lock = yaml.load((project / "dvc.lock").read_text(encoding="utf-8"), yaml.CSafeLoader)["stages"]
    found = {
        name: Stage(
            name,
            shlex.split(entry["cmd"]),
            {out["path"]: out["md5"] for out in entry["outs"]},
            [dep["path"] for dep in entry["deps"] if not dep["path"].endswith((".py", ".lock"))],
            project,
        )
        for name, entry in lock.items()
    }
    return {name: found[name] for name in _ordered(found)}


def unrecord(project: Path, names: list[str]) -> None:
    """Remove stages from ``dvc.lock``, and what DVC cached of their runs: they are run, not restored."""
    shutil.rmtree(project / ".dvc/cache/runs", ignore_errors=True)
    lock = (project / "dvc.lock").read_text(encoding="utf-8")
    for name in names:
        lock = re.sub(rf"^  {re.escape(name)}:\n(?:    .*\n|  - .*\n)*", "", lock, flags=re.MULTILINE)
    (project / "dvc.lock").write_text(lock, encoding="utf-8")


def _ordered(stages: dict[str, Stage]) -> list[str]:
    """Return the names so that a stage comes after those whose outputs it reads."""
    writers = {out: stage.name for stage in stages.values() for out in stage.outs}
    order: list[str] = []

    def add(name: str) -> None:
        for dep in stages[name].deps:
            for out, writer in writers.items():
                reads = dep == out or out.startswith(f"{dep}/") or dep.startswith(f"{out}/")
                if reads and writer not in (name, *order):
                    add(writer)
        if name not in order:
            order.append(name)

    for name in stages:
        add(name)
    return order


TALLY: Counter[tuple[str, str, str]] = Counter()  # (fault, stage or file, how it ended) → number


def count(fault: str, where: str, outcome: str) -> None:
    """Count a tried fault, for the table that ``make test-faults`` prints.

    It is appended to the file ``FAULTS_LOG`` too, so that a run that is stopped has counted.
    """
    TALLY[fault, where, outcome] += 1
    if path := os.environ.get("FAULTS_LOG"):
        with Path(path).open("a", encoding="utf-8") as log:
            log.write(f"{fault}\t{where}\t{outcome}\n")


def table() -> list[str]:
    """Return the faults that were tried, with how they ended, as lines of a Markdown table."""
    faults = list(dict.fromkeys(fault for fault, _, _ in TALLY))
    lines = ["| fault | tried | how it ended |", "| --- | --- | --- |"]
    for fault in faults:
        outcomes: Counter[str] = Counter()
        for (one, _, outcome), number in TALLY.items():
            if one == fault:
                outcomes[outcome] += number
        ended = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.most_common())
        lines.append(f"| {fault} | {outcomes.total()} | {ended} |")
    return lines

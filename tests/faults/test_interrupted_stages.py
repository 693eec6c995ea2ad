"""Every stage killed or stopped at any moment: the next run ends with the same bytes."""

import shutil
import signal
from random import Random

import pytest
from forked_stages import KILLS, MOMENTS, STAGES, count, stages_of

pytestmark = [pytest.mark.faults, pytest.mark.posix]


@pytest.fixture
def stage(copied, request):
    return stages_of(copied())[request.param]


def forget(stage, cold):
    """Remove what a stage wrote, and where ``cold`` the caches too."""
    stage.remove_outs()
    if cold:
        shutil.rmtree(stage.project / "data/vectors", ignore_errors=True)


def ends_whole(stage, **environment):
    """Run the stage to its end, as DVC does, and compare with the undisturbed run."""
    stage.remove_outs()
    done = stage.run(**environment)
    assert done.code == 0, done.output
    assert not stage.missing()
    assert not stage.half_written()
    assert not list((stage.project / ".checkpoints").glob("*/*/checkpoint-*"))
    return done


def test_the_stages_are_those_of_the_project(finished):
    assert set(stages_of(finished)) == set(STAGES)


@pytest.mark.parametrize("stage", STAGES, indirect=True)
def test_a_kill_at_any_moment(stage):
    random = Random(f"kill {stage.name}")
    forget(stage, cold=True)
    seconds = {True: stage.run().seconds}
    seconds[False] = ends_whole(stage).seconds
    for _ in range(KILLS):
        cold = random.random() < 0.5
        forget(stage, cold)
        killed = stage.run(kill=(random.uniform(0.05, 1.0) * seconds[cold], signal.SIGKILL))
        assert killed.code in (-signal.SIGKILL, 0)
        assert not stage.half_written(), "an output with its name that is not whole"
        again = ends_whole(stage)
        continued = "continuing from .checkpoints" in again.output
        ended = (
            "ended before the kill" if killed.code == 0 else "continued from a checkpoint" if continued else "run again"
        )
        count("SIGKILL", stage.name, f"{ended}, same bytes")


@pytest.mark.parametrize("stage", STAGES, indirect=True)
def test_ctrl_c_at_any_moment(stage):
    random = Random(f"ctrl-c {stage.name}")
    forget(stage, cold=True)
    seconds = stage.run().seconds
    for _ in range(MOMENTS):
        forget(stage, cold=True)
        stopped = stage.run(kill=(random.uniform(0.05, 0.9) * seconds, signal.SIGINT))
        assert stopped.code in (130, 0), stopped.output
        assert not stage.half_written()
        if stopped.code:
            assert "stopped by Ctrl-C" in stopped.message, stopped.output
            assert not stopped.traceback, stopped.output
        ends_whole(stage)
        count("Ctrl-C", stage.name, "one message, same bytes" if stopped.code else "ended before, same bytes")

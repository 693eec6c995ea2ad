"""Every stage killed, stopped, out of disk, or without permission: the next run ends with the same bytes."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from random import Random

import pytest
from forked_stages import FULL, KILLS, MOMENTS, NOBODY, STAGES, count, stages_of

pytestmark = [pytest.mark.faults, pytest.mark.posix]
ROOT_ONLY = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root mounts and becomes others"
)


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


@ROOT_ONLY
@pytest.mark.parametrize("name", STAGES)
def test_a_full_disk_at_any_moment(name, copied, tmp_path):
    random = Random(f"disk {name}")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", str(disk)], check=True)
    try:
        stage = stages_of(copied(disk))[name]
        forget(stage, cold=True)
        before = _used(disk)
        most = _most_used(stage, disk)
        ends_whole(stage)
        for moment in range(MOMENTS):
            forget(stage, cold=True)
            room = max(4096, int(random.uniform(0.0, 0.95) * (most - before)) // 4096 * 4096)
            _resize(disk, _used(disk) + room)
            failed = stage.run()
            _resize(disk, 2**30)
            assert not stage.half_written(), (moment, room, failed.output)
            if failed.code:
                assert not failed.traceback, failed.output
                assert any(one in failed.output for one in ("disk is full", "make room")), failed.output
            else:
                assert not stage.missing()
            ends_whole(stage)
            count("full disk", name, "one message, same bytes" if failed.code else "the caches gave way, same bytes")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _used(disk: Path) -> int:
    status = os.statvfs(disk)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def _resize(disk: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def _most_used(stage, disk: Path) -> int:
    """Run the stage and return the most bytes that the disk had in use meanwhile, seen every few milliseconds."""
    import threading

    most, done = [_used(disk)], threading.Event()

    def watch():
        while not done.wait(0.003):
            most[0] = max(most[0], _used(disk))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        stage.run()
    finally:
        done.set()
        watcher.join()
    return most[0]


@ROOT_ONLY
@pytest.mark.parametrize("stage", STAGES, indirect=True)
def test_no_permission_to_read_an_input_or_to_write_an_output(stage):
    _hand_over(stage.project)
    for name in stage.deps if FULL else stage.deps[:2]:
        path = stage.project / name
        if not path.exists() or name.startswith("data/raw"):
            continue
        files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
        for file in files[: 3 if FULL else 1]:
            stage.remove_outs()
            mode = file.stat().st_mode
            file.chmod(0)
            refused = stage.run(user=NOBODY)
            file.chmod(mode)
            assert not stage.half_written()
            if refused.code == 0:
                assert not stage.missing()
                count("input may not be read", stage.name, "not read by this stage, same bytes")
                continue
            assert not refused.traceback, refused.output
            assert "may not be read" in refused.output, refused.output
            assert file.name in refused.output, refused.output
            count("input may not be read", stage.name, "one message with the file")
    for folder in sorted({(stage.project / one).parent for one in stage.outs}):
        stage.remove_outs()
        folder.mkdir(parents=True, exist_ok=True)
        mode = folder.stat().st_mode
        folder.chmod(0o555)
        refused = stage.run(user=NOBODY)
        folder.chmod(mode)
        assert not stage.half_written()
        assert refused.code == 1, refused.output
        assert not refused.traceback, refused.output
        assert "may not be read or written" in refused.output, refused.output
        count("output may not be written", stage.name, "one message with the file")
    stage.remove_outs()
    done = stage.run(user=NOBODY)
    assert done.code == 0, done.output
    assert not stage.missing()
    assert not stage.half_written()


def _hand_over(project: Path) -> None:
    """Give a project to another user, with the folders above it open to all."""
    for path in [project, *project.rglob("*")]:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    for folder in project.parents:
        if folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(folder.stat().st_mode | 0o055)

"""A run that was killed, or found the disk full, continues from its last checkpoint and ends with the same bits."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hand_made import TRAIN
from short_runs import KilledError, limited

import triptych
from triptych.errors import UserError
from triptych.training.recovery.checkpoints import clear_checkpoints, last_checkpoint, run_key


def same(one, other):
    assert set(one.weights) == set(other.weights)
    return all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)


@pytest.mark.parametrize(
    "changes",
    [
        {"dropout": True},
        {"method": "full", "optimizer": "adamw", "learning_rate": 1e-4},
        {"gradient_accumulation_steps": 2, "dropout": True, "optimizer": "adamw_8bit"},
    ],
)
def test_a_resumed_run_ends_with_the_same_bits_and_the_same_curve(short_run, killed_after, tmp_path, changes):
    whole = short_run(steps=23, checkpoint_every=7, **changes)
    killed_after(16)
    with pytest.raises(KilledError):
        short_run(steps=23, checkpoint_every=7, checkpoints=tmp_path / "run/key", **changes)
    killed_after.lift()
    assert last_checkpoint(tmp_path / "run/key").name == "checkpoint-14"
    resumed = short_run(steps=23, checkpoint_every=7, checkpoints=tmp_path / "run/key", **changes)
    assert same(resumed, whole)
    assert resumed.trained == whole.trained


def test_memory_fallbacks_of_a_run_are_applied_again_after_a_kill(short_run, killed_after, tmp_path):

    settings = {"steps": 8, "checkpoint_every": 4, "micro_batch_tokens": 1, "dropout": True}
    whole = short_run(touch=limited(0, times=2), **settings)
    killed_after(6)
    with pytest.raises(KilledError):
        short_run(touch=limited(0, times=2), checkpoints=tmp_path / "run/key", **settings)
    killed_after.lift()
    resumed = short_run(checkpoints=tmp_path / "run/key", **settings)
    assert same(resumed, whole)
    assert resumed.trained.incidents.out_of_memory == 2


def test_a_run_killed_after_its_last_step_has_nothing_left_to_train(short_run, tmp_path):
    whole = short_run(steps=6, checkpoint_every=3, checkpoints=tmp_path / "run/key")
    assert same(short_run(steps=6, checkpoint_every=3, checkpoints=tmp_path / "run/key"), whole)


def test_two_checkpoints_are_kept(short_run, tmp_path):
    short_run(steps=12, checkpoint_every=3, checkpoints=tmp_path / "run/key")
    assert sorted(path.name for path in (tmp_path / "run/key").iterdir()) == ["checkpoint-12", "checkpoint-9"]


@pytest.mark.posix
@pytest.mark.parametrize("file", ["trained.safetensors", "optimizer.pt"])
def test_a_full_disk_ends_the_run_and_leaves_the_last_checkpoint(short_run, killed_after, tmp_path, file):
    import resource

    settings = {"steps": 9, "checkpoint_every": 3, "checkpoints": tmp_path / "run/key"}
    whole = short_run(steps=9, checkpoint_every=3)
    killed_after(4)
    with pytest.raises(KilledError):
        short_run(**settings)
    killed_after.lift()
    room = (tmp_path / "run/key/checkpoint-3" / file).stat().st_size - 1
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))  # bytes that a file may have
    try:
        with pytest.raises(UserError, match=r"checkpoint-6 cannot be written: .*training continues from checkpoint-3"):
            short_run(**settings)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in (tmp_path / "run/key").iterdir()] == ["checkpoint-3"]
    assert same(short_run(**settings), whole)


def test_the_key_of_a_run_depends_on_settings_data_and_code(tmp_path, monkeypatch):
    data = tmp_path / "data"
    data.mkdir()
    (data / "examples").write_text("one")
    key = run_key("round0", ["settings"], [data])
    assert run_key("round0", ["settings"], [data]) == key
    assert run_key("round1", ["settings"], [data]) != key
    assert run_key("round0", ["others"], [data]) != key
    (data / "examples").write_text("two")
    assert run_key("round0", ["settings"], [data]) != key
    (data / "examples").write_text("one")
    package = shutil.copytree(Path(triptych.__file__).parent, tmp_path / "triptych")
    monkeypatch.setattr("triptych.__file__", str(package / "__init__.py"))
    assert run_key("round0", ["settings"], [data]) == key
    with (package / "training/losses.py").open("a") as code:
        code.write("\n")
    assert run_key("round0", ["settings"], [data]) != key


def test_checkpoints_are_cleared_and_the_list_of_faults_is_kept(tmp_path):
    for name in ("round0/key", "round0/other", "round1/key"):
        (tmp_path / name / "checkpoint-3").mkdir(parents=True)
    (tmp_path / "round1/faults.jsonl").write_text("{}\n")
    clear_checkpoints(tmp_path / "round0")
    clear_checkpoints(tmp_path / "round1")
    clear_checkpoints(tmp_path / "never")
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "round1",
        "round1/faults.jsonl",
    ]


def stage(folder):
    return subprocess.Popen(
        [sys.executable, "-m", "stages.train", *TRAIN.split()],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(triptych.__file__).parents[1]), "TQDM_DISABLE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(folder):
    files = [path for root in ("models/round0", "metrics/train") for path in sorted((folder / root).rglob("*.*"))]
    return {path.name: path.read_bytes() for path in files}


@pytest.mark.slow
def test_a_stage_that_is_killed_continues_with_the_same_bytes(prepared, tmp_path, write_params):
    settings = {
        "model.base": "./tiny",
        "tokenize.max_length": "auto",
        "rounds.train.round0.steps": 60,
        "train.batch_size": 8,
        "train.precision": "fp32",
        "train.checkpoint_every": 10,
        "train.dropout": True,
    }
    outcomes = []
    for name in ("whole", "killed"):
        folder = shutil.copytree(prepared, tmp_path / name)
        write_params(folder, **settings)
        running = stage(folder)
        if name == "killed":
            deadline = time.monotonic() + 60
            while not list(folder.glob(".checkpoints/round0/*/checkpoint-*")) and time.monotonic() < deadline:
                time.sleep(0.01)
            running.kill()
            assert running.wait() != 0
            assert not (folder / "models/round0").exists()
            running = stage(folder)
        said = running.communicate()
        assert running.returncode == 0, said
        assert ("continuing from .checkpoints/round0" in said[1]) == (name == "killed")
        assert not (folder / ".checkpoints/round0").exists()
        outcomes.append(outcome(folder))
    assert outcomes[0] == outcomes[1]
    assert json.loads(outcomes[0]["round0.json"])["incidents"]["restored"] == 0

"""Training in two processes is training in one: the same batches, the same loss, the same weights."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from hand_made import TRAIN
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
STAGE = ["-m", "stages.train", *TRAIN.split()]
# accelerate's own launcher needs GPUs or MPI.
LAUNCH = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


@pytest.fixture
def stage(prepared, tmp_path, write_params):
    """Run stage train with ``python`` and these arguments before its own; return folder and standard output."""

    def call(name, *before, **changes):
        folder = tmp_path / name
        shutil.copytree(prepared, folder)
        settings = {"batch_size": 8, "precision": "fp32", "resample_every": 2, "eval_every": 2} | changes
        path = {"model.base": "./tiny", "rounds.train.round0.steps": 12}
        write_params(folder, **path | {f"train.{key}": value for key, value in settings.items()})
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
        environment |= {"ACCELERATE_USE_CPU": "true"}
        done = subprocess.run(
            [sys.executable, *before, *STAGE],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return folder, done.stdout

    return call


def losses(folder):
    with (folder / "metrics/train/round0.csv").open(encoding="utf-8") as lines:
        return [float(row["loss"]) for row in csv.DictReader(lines)]


@pytest.mark.parametrize("name", ["zero2", "zero2_offload"])
def test_configurations_of_deepspeed_divide_optimizer_states_and_no_weights(name):
    config = load_config_from_file(str(ROOT / "configs" / f"{name}.yaml"))
    assert config.distributed_type == "DEEPSPEED"
    assert config.deepspeed_config["zero_stage"] == 2  # 3 is refused
    assert config.deepspeed_config["offload_optimizer_device"] == {"zero2": "none", "zero2_offload": "cpu"}[name]


@pytest.mark.slow
@pytest.mark.parametrize("budget", [65536, 300])
def test_two_processes_train_what_one_trains(stage, budget):
    one, said = stage("one", micro_batch_tokens=budget)
    two, said_by_two = stage("two", *LAUNCH, micro_batch_tokens=budget // 2)
    assert losses(two) == pytest.approx(losses(one), abs=1e-5)
    weights = [load_file(folder / "models/round0/adapter_model.safetensors") for folder in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    for name in weights[0]:
        assert torch.allclose(weights[0][name], weights[1][name], atol=1e-5), name
    assert (two / "metrics/train/round0/dev.csv").read_text() == (one / "metrics/train/round0/dev.csv").read_text()
    assert said_by_two.count("train round0: 12 steps") == said.count("train round0: 12 steps") == 1

"""Mining within a round: when it happens, that it decides the negatives from there on, and that a resume repeats it."""

import json
import shutil

import numpy as np
import pytest
import torch
from hand_made import TRAIN
from short_runs import KilledError

from stages import train
from triptych.errors import UserError
from triptych.training.data.pool_miner import PoolMiner

SETTINGS = {"steps": 8, "resample_every": 2, "curriculum": 0.0, "learning_rate": 0.01}


def same(one, other):
    return all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)


@pytest.fixture
def mined(monkeypatch):
    """Record what each mining was given and what it found."""
    calls, mine = [], PoolMiner.mine

    def recorded(self, model, examples):
        result = mine(self, model, examples)
        calls.append((examples, result))
        return result

    monkeypatch.setattr(PoolMiner, "mine", recorded)
    return calls


def test_a_run_mines_at_the_ends_of_segments_with_the_model_of_that_step(short_run, mined):
    plain, mining = short_run(**SETTINGS), short_run(mine_every=3, **SETTINGS)
    assert plain.trained.mined == []
    assert [point["step"] for point in mining.trained.mined] == [4]  # 3 rounded up to two segments of 2 steps
    assert mining.trained.losses[:4] == plain.trained.losses[:4]
    assert mining.trained.losses[4:] != plain.trained.losses[4:]
    ((examples, result),) = mined
    assert mining.trained.mined[0]["mined"] == result.churn > 0
    assert np.array_equal(result.examples.anchor, examples.anchor)
    assert not np.array_equal(result.examples.pool.chunk, examples.pool.chunk)


def test_each_mining_begins_with_the_pools_of_the_one_before_and_the_models_change(short_run, mined):
    run = short_run(mine_every=2, **SETTINGS)
    assert [point["step"] for point in run.trained.mined] == [2, 4, 6]
    assert all(mined[number][0] is mined[number - 1][1].examples for number in (1, 2))
    scores = [result.examples.pool.score for _, result in mined]
    assert not any(np.array_equal(scores[number], scores[number - 1]) for number in (1, 2))


def test_a_resumed_run_reads_what_was_mined_before_and_ends_with_the_same_bits(
    short_run, killed_after, tmp_path, mined
):
    settings = SETTINGS | {"mine_every": 2, "checkpoint_every": 5, "gradient_accumulation_steps": 2}
    whole = short_run(**settings)
    killed_after(6)
    with pytest.raises(KilledError):
        short_run(checkpoints=tmp_path / "run/key", **settings)
    killed_after.lift()
    mined.clear()
    resumed = short_run(checkpoints=tmp_path / "run/key", **settings)
    assert len(mined) == 1  # that of step 6; those of 2 and 4 are read
    assert same(resumed, whole)
    assert resumed.trained == whole.trained


@pytest.fixture
def stage(prepared, tmp_path, monkeypatch, write_params, capsys):
    """Run stage train on round 0 with changed params; return its metrics and what it printed."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    fixed = {"model.base": "./tiny", "train.batch_size": 8, "train.precision": "fp32", "train.resample_every": 2}
    fixed |= {"rounds.train.round0.steps": 4, "train.mine_every": 2, "train.loss": "softmax"}

    def call(**changes):
        write_params(tmp_path, **(fixed | changes))
        train.main(TRAIN.split())
        return json.loads((tmp_path / "metrics/train/round0.json").read_text(encoding="utf-8")), capsys.readouterr().out

    return call


@pytest.mark.dag
def test_the_stage_writes_when_it_mined_and_says_where_there_is_nothing_to_mine(stage):
    metrics, printed = stage(**{"rounds.train.round0.negatives": "stored"})
    assert [one["step"] for one in metrics["mined"]] == [2]
    assert "does nothing here" not in printed
    metrics, printed = stage()
    assert "mined" not in metrics
    assert "train.mine_every does nothing here: negatives: batch has no stored negatives" in printed
    metrics, printed = stage(**{"train.loss": "distill"})
    assert "train.mine_every does nothing here: loss distill draws no stored negatives" in printed
    assert "train.distill.max_steps" not in printed
    metrics, printed = stage(**{"train.loss": "distill", "train.distill.max_steps": 3})
    assert "train round0: 3 of 4 steps: without written questions more of them gained nothing" in printed


def test_a_guide_is_refused(stage):
    with pytest.raises(UserError, match=r"mining within a round takes no guide, and mine\.guide is base; set"):
        stage(**{"mine.guide": "base", "rounds.train.round0.negatives": "stored"})

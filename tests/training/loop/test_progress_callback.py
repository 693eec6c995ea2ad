"""The loss of a run is printed every ten steps while it runs."""

import re

import pytest
from short_runs import KilledError


def test_the_loss_is_printed_every_ten_steps_also_without_a_terminal(short_run, capsys):
    run = short_run(steps=25)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("train: step")]
    found = [re.fullmatch(r"train: step (\d+) of 25, loss (\S+)", line) for line in lines]
    assert [(int(one[1]), one[2]) for one in found if one] == [
        (point.step, f"{point.loss:.4g}") for point in run.trained.curve
    ]
    assert len(lines) == 2


def test_lines_are_printed_while_the_run_goes_on(short_run, capsys, killed_after):
    killed_after(15)
    with pytest.raises(KilledError):
        short_run(steps=25)
    assert "train: step 10 of 25, loss" in capsys.readouterr().err


def test_nothing_is_printed_when_quiet(short_run, capsys, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    short_run(steps=10)
    assert "train: step" not in capsys.readouterr().err

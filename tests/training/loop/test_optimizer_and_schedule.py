"""The optimizer that is asked for, or plain AdamW with a warning; a learning rate that rises and falls linearly."""

import sys

import bitsandbytes
import pytest
import torch
from transformers import TrainingArguments

from triptych.training.loop.optimizer_and_schedule import optimizer_arguments, resolve_optimizer

CPU = torch.device("cpu")


def test_the_learning_rate_rises_linearly_and_falls_linearly_as_by_the_librarys_default(params_with, tmp_path):
    params = params_with(**{"train.warmup_share": 0.25}).train
    ours = TrainingArguments(str(tmp_path), **optimizer_arguments(params, 0.1, "fp32", CPU), use_cpu=True)
    assert ours.lr_scheduler_type == TrainingArguments(str(tmp_path), use_cpu=True).lr_scheduler_type == "linear"
    assert (ours.learning_rate, ours.get_warmup_steps(40)) == (0.1, 10)


@pytest.mark.parametrize(("precision", "flags"), [("fp32", (False, False)), ("bf16", (True, False))])
def test_precision_is_the_trainers_autocast(params_with, precision, flags):
    arguments = optimizer_arguments(params_with().train, 0.1, precision, CPU)
    assert (arguments["bf16"], arguments["fp16"]) == flags


def test_eight_bit_optimizer_that_is_missing_falls_back_to_adamw_with_one_warning(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    assert resolve_optimizer("adamw_8bit", CPU) == "adamw_torch"
    (line,) = caplog.messages
    assert line.startswith("train.optimizer: adamw_8bit does not work here (import of bitsandbytes.optim halted")
    assert line.endswith("; using adamw")


def test_eight_bit_optimizer_that_cannot_take_a_step_here_falls_back_to_adamw(monkeypatch, caplog):
    def fails(*_, **__):
        raise RuntimeError("\nno kernel image\nis available for execution on the device")

    monkeypatch.setattr(bitsandbytes.functional, "optimizer_update_8bit_blockwise", fails)
    assert resolve_optimizer("adamw_8bit", CPU) == "adamw_torch"
    assert caplog.messages == ["train.optimizer: adamw_8bit does not work here (no kernel image); using adamw"]


def test_eight_bit_optimizer_that_leaves_weights_unchanged_falls_back_to_adamw(monkeypatch, caplog):
    monkeypatch.setattr(bitsandbytes.functional, "optimizer_update_8bit_blockwise", lambda *_, **__: None)
    assert resolve_optimizer("adamw_8bit", CPU) == "adamw_torch"
    assert "does not work here (a step goes wrong); using adamw" in caplog.text


def test_eight_bit_optimizer_that_works_here_is_that_of_bitsandbytes(caplog):
    assert resolve_optimizer("adamw_8bit", CPU) == "adamw_bnb_8bit"
    assert caplog.text == ""


def test_an_earlier_training_in_the_process_leaves_no_weight_in_32_bits():
    manager = bitsandbytes.optim.GlobalOptimManager.get_instance()
    manager.index2config[0, 0] = {"optim_bits": 32}  # what a trained embedding layer leaves behind
    assert resolve_optimizer("adamw_8bit", CPU) == "adamw_bnb_8bit"
    weights = torch.nn.Parameter(torch.zeros(1 << 14))
    weights.grad = torch.ones_like(weights)
    optimizer = bitsandbytes.optim.AdamW8bit([weights])
    optimizer.step()
    assert optimizer.state[weights]["state1"].dtype == torch.uint8


def test_plain_adamw_does_not_ask_for_bitsandbytes(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    assert resolve_optimizer("adamw", CPU) == "adamw_torch"
    assert caplog.text == ""

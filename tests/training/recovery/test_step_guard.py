"""Every fault is provoked, and the run recovers, with the same result where possible."""

import json
import logging

import pytest
import torch
from short_runs import limited

from triptych.errors import UserError
from triptych.training.fast.grad_cache import GradCache
from triptych.training.loop.trainer import Trainer
from triptych.training.losses import ContrastiveLoss
from triptych.training.recovery.step_guard import StepGuard

DROPOUT = {"dropout": True}


def same(one, other, tolerance=0.0):
    assert set(one.weights) == set(other.weights)
    return all(torch.allclose(one.weights[name], other.weights[name], rtol=0, atol=tolerance) for name in one.weights)


def faults(folder):
    return [json.loads(line) for line in (folder / "faults.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def spoiled(monkeypatch):
    """Make the vectors of chosen calls of the loss NaN: ``spoiled({3, 4})``, counted from 1."""

    def spoil(calls):
        called, whole = [], ContrastiveLoss.forward

        def forward(self, vectors, rows):
            called.append(vectors)
            loss = whole(self, vectors, rows)
            return loss * float("nan") if len(called) in calls else loss

        monkeypatch.setattr(ContrastiveLoss, "forward", forward)
        return called

    return spoil


def test_one_nan_loss_is_repeated_and_changes_nothing(short_run, spoiled, tmp_path, caplog):
    undisturbed = short_run(**DROPOUT)
    spoiled({3})
    run = short_run(checkpoints=tmp_path / "run/key", **DROPOUT)
    assert same(run, undisturbed)
    assert run.trained.curve == undisturbed.trained.curve
    assert run.trained.incidents.repeated_in_float32 == 1
    assert run.trained.incidents.restored == 0
    (fault,) = faults(tmp_path / "run")
    assert (fault["step"], fault["batch"], fault["vectors"]["any_nan"]) == (3, 2, False)
    assert fault["vectors"]["min"] < fault["vectors"]["mean"] < fault["vectors"]["max"]
    assert len(fault["rows"]) == 8
    assert all(set(row) >= {"anchor", "positive", "negative"} for row in fault["rows"])
    assert "step 3: what came out is not finite; repeated in float32" in caplog.text


def test_the_repeated_step_computes_without_autocast(short_run, monkeypatch):
    seen = []

    def touch(model):
        layer = model[0].model.base_model.model.encoder.layer[0].intermediate.dense
        layer.register_forward_hook(lambda module, given, out: seen.append(out.dtype))

        def overflow(module, given, out):
            # Overflows in fp16, and only there.
            return out * float("nan") if out.dtype == torch.bfloat16 and len(seen) > 8 else out

        model[0].model.base_model.model.encoder.layer[1].output.dense.register_forward_hook(overflow)

    monkeypatch.setattr("triptych.training.loop.trainer.resolve_precision", lambda wanted, place: "bf16")
    run = short_run(steps=6, touch=touch)
    assert run.trained.incidents.repeated_in_float32 > 0
    assert run.trained.incidents.restored == 0
    assert {torch.bfloat16, torch.float32} == set(seen)
    assert all(torch.isfinite(one).all() for one in run.weights.values())


def test_a_second_failure_goes_back_halves_the_rate_and_leaves_the_batch_out(short_run, spoiled, tmp_path, monkeypatch):
    rates = []
    stepped = StepGuard.on_step_end

    def note(self, *args, **kwargs):
        stepped(self, *args, **kwargs)
        rates.append((self._last_good.step, self._schedule.base_lrs[0]))

    monkeypatch.setattr(StepGuard, "on_step_end", note)
    spoiled({3, 4})
    run = short_run(checkpoints=tmp_path / "run/key", learning_rate=0.008)
    assert [rate for _, rate in rates] == [0.008, 0.008, 0.004, 0.004, 0.004]
    assert [done for done, _ in rates] == [0, 1, 1, 3, 4]  # step 3 went back to before step 2's update
    assert run.trained.incidents.restored == 1
    assert [fault["kind"] for fault in faults(tmp_path / "run")] == ["repeated_in_float32", "restored"]
    assert all(torch.isfinite(one).all() for one in run.weights.values())


def test_weights_that_an_update_ruined_are_replaced_by_the_last_good_ones(short_run, monkeypatch):
    whole, steps = torch.optim.AdamW.step, []

    def step(self, closure=None):
        steps.append(self)
        whole(self, closure)
        if len(steps) == 2:
            for one in self.param_groups[0]["params"]:
                one.data.fill_(float("nan"))
                self.state[one]["exp_avg"].fill_(float("nan"))

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    run = short_run(steps=6)
    assert run.trained.incidents.restored == 1
    assert all(torch.isfinite(one).all() for one in run.weights.values())
    assert any(one.abs().max() > 0 for name, one in run.weights.items() if "lora_B" in name)


def test_a_nan_gradient_is_noticed_before_it_reaches_the_weights(short_run):
    calls = []

    def touch(model):
        def ruin(gradient):
            calls.append(gradient)
            return gradient * float("nan") if len(calls) == 2 else gradient

        next(one for one in model.parameters() if one.requires_grad).register_hook(ruin)

    run = short_run(touch=touch)
    assert run.trained.incidents.repeated_in_float32 == 1
    assert all(torch.isfinite(one).all() for one in run.weights.values())


def test_with_accumulation_the_whole_step_is_repeated(short_run, spoiled):
    undisturbed = short_run(steps=3, gradient_accumulation_steps=3, **DROPOUT)
    spoiled({5})
    assert same(short_run(steps=3, gradient_accumulation_steps=3, **DROPOUT), undisturbed)


def test_three_failed_steps_in_a_row_end_the_run_with_a_diagnosis(short_run, spoiled, tmp_path):
    spoiled(range(3, 100))
    with pytest.raises(UserError, match=r"3 steps in a row failed, the last is step 5: .* vectors.*faults\.jsonl"):
        short_run(steps=9, checkpoints=tmp_path / "run/key")
    assert len(faults(tmp_path / "run")) == 6


def test_failures_that_are_apart_do_not_add_up(short_run, spoiled):
    spoiled({1, 2, 4, 5, 7, 8})  # steps 1, 3 and 5
    assert short_run(steps=6).trained.incidents.restored == 3


@pytest.fixture
def scaled(monkeypatch):
    """Train with a GradScaler whose scale is too large at first; return the list of (step skipped, schedule step)."""

    def install(**settings):
        seen = []

        class Scaled(Trainer):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                self.accelerator.scaler = torch.amp.GradScaler("cpu", growth_interval=10**6, **settings)
                self.accelerator.native_amp = True
                type(self.accelerator).mixed_precision = property(lambda _: "fp16")

        kept = StepGuard.on_step_end

        def note(self, *args, **kwargs):
            skipped = self._accelerator.optimizer_step_was_skipped
            kept(self, *args, **kwargs)
            seen.append((skipped, self._schedule.last_epoch))

        monkeypatch.setattr("accelerate.Accelerator.mixed_precision", property(lambda _: "no"))
        monkeypatch.setattr(StepGuard, "on_step_end", note)
        monkeypatch.setattr("triptych.training.loop.trainer.Trainer", Scaled)
        return seen

    return install


def half(model):
    """Let gradients overflow as they do in fp16."""
    for name, one in model.named_parameters():
        if "lora_B" in name:
            one.register_hook(lambda gradient: gradient.half().float())


def test_steps_that_the_scaler_skips_are_counted_and_the_schedule_waits(short_run, scaled):
    seen = scaled(init_scale=2.0**50, backoff_factor=2.0**-40)
    run = short_run(steps=5, touch=half)
    assert seen == [(True, 0), (False, 1), (False, 2), (False, 3), (False, 4)]
    assert run.trained.incidents.scaler_skips == 1
    assert run.trained.incidents.restored == 0


def test_a_run_of_skips_is_a_fault(short_run, scaled, caplog):
    scaled(init_scale=2.0**50, backoff_factor=0.999)
    with pytest.raises(UserError, match=r"3 steps in a row failed, the last is step 30: 10 steps in a row overflow"):
        short_run(steps=40, batch_size=2, touch=half)
    assert "learning_rate is 0.0005 from here on" in caplog.text


def test_a_failed_batch_under_a_scaler_is_left_out_without_an_update(short_run, scaled, spoiled):
    scaled(init_scale=2.0)
    spoiled({2, 3})
    run = short_run(steps=3)
    assert run.trained.incidents.restored == 1
    assert run.trained.incidents.scaler_skips == 0


def test_out_of_memory_halves_the_micro_batches_and_the_step_is_what_it_would_have_been(short_run, caplog):
    first = short_run(**DROPOUT, micro_batch_tokens=100)
    touch = limited(200)
    run = short_run(**DROPOUT, touch=touch)
    assert touch.seen  # it happened
    assert run.trained.incidents.out_of_memory == len(touch.seen)
    assert all(tokens > 200 for tokens in touch.seen)
    assert "CUDA out of memory. Tried to allocate 2.00 GiB; the step is repeated, with" in caplog.text
    # Dropout draws by piece, so compare with a run in pieces as small, and without dropout with a run in one piece.
    assert first.trained.incidents.out_of_memory == 0
    assert same(short_run(), short_run(touch=limited(200)), 1e-5)


def test_the_repeated_step_draws_the_same_random_numbers(short_run):
    assert same(short_run(**DROPOUT), short_run(**DROPOUT, touch=limited(0, times=0)))
    # Gradient checkpointing changes only the memory: a run that switches to it equals one in small micro-batches.
    undisturbed = short_run(**DROPOUT, micro_batch_tokens=1)
    run = short_run(**DROPOUT, micro_batch_tokens=1, touch=limited(0, times=1))
    assert run.trained.incidents.out_of_memory == 1
    assert same(run, undisturbed)


def test_checkpointing_comes_next_and_the_smaller_adapter_last(short_run, caplog):
    run = short_run(micro_batch_tokens=1, touch=limited(0, times=2))
    assert [line for line in ("gradient checkpointing", "an adapter of rank 4") if line in caplog.text] == [
        "gradient checkpointing",
        "an adapter of rank 4",
    ]
    assert {one.shape[0] for name, one in run.weights.items() if "lora_A" in name} == {4}
    assert any(one.abs().max() > 0 for name, one in run.weights.items() if "lora_B" in name)
    assert not run.model[0].model.is_gradient_checkpointing


def test_full_training_ends_with_full_weights_after_an_adapter_took_over(short_run):
    run = short_run(method="full", micro_batch_tokens=1, touch=limited(0, times=2), learning_rate=1e-4)
    assert not [name for name in run.weights if "lora" in name]
    assert run.trained.incidents.out_of_memory == 2


def test_where_nothing_fits_the_run_ends_with_the_memory_it_needs(short_run, tmp_path):
    with pytest.raises(UserError, match=r"weights \d.*\+ one text of \d+ tokens .* = .* GB of .* GB .*would fit"):
        short_run(micro_batch_tokens=1, touch=limited(0, times=3), checkpoints=tmp_path / "run/key")
    last = faults(tmp_path / "run")[-1]
    assert last["kind"] == "no_room"
    assert len(last["steps"]) == 2
    assert all(step["loss"] > 0 and step["gradient_norm"] > 0 for step in last["steps"])
    assert last["activations_per_token"] > 0


def test_if_the_cpu_is_out_of_memory_too_the_run_still_ends_with_a_message(short_run):
    with pytest.raises(UserError, match=r"out of memory.*the CPU could not measure.*smaller model\.base"):
        short_run(micro_batch_tokens=1, touch=limited(0))


def test_other_errors_are_not_taken_for_out_of_memory(short_run, monkeypatch):
    def broken(self, *args, **kwargs):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(GradCache, "backward", broken)
    with pytest.raises(RuntimeError, match="shapes cannot"):
        short_run()


@pytest.fixture
def optimizer_without_room(monkeypatch):
    """Let AdamW run out of memory in chosen calls, after it has changed some weights."""

    def install(calls):
        whole, called = torch.optim.AdamW.step, []

        def step(self, closure=None):
            called.append(self)
            if len(called) in calls:
                self.param_groups[0]["params"][0].data.add_(1.0)
                self.state[self.param_groups[0]["params"][0]]["exp_avg"] = torch.ones(1)
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return whole(self, closure)

        monkeypatch.setattr(torch.optim.AdamW, "step", step)

    return install


@pytest.mark.parametrize("call", [1, 3])
def test_an_optimizer_out_of_memory_takes_its_step_again(short_run, optimizer_without_room, call, caplog):
    undisturbed = short_run()
    optimizer_without_room({call})
    run = short_run()
    assert same(run, undisturbed)
    assert run.trained.incidents.out_of_memory == 1
    assert f"step {call}: CUDA out of memory. in the optimizer; repeated weight by weight" in caplog.text


def test_an_optimizer_still_out_of_memory_continues_with_fewer_weights(short_run, optimizer_without_room, caplog):
    optimizer_without_room({3, 4})
    run = short_run()
    assert {one.shape[0] for name, one in run.weights.items() if "lora_A" in name} == {4}
    assert all(one.abs().max() < 1 for one in run.weights.values())
    assert "the step is left out, an adapter of rank 4 trains from here on" in caplog.text


def test_a_model_that_collapses_is_stopped_with_weights_from_before(short_run, monkeypatch, caplog):
    def all_alike(self, vectors, rows):
        return -(vectors @ vectors.T).mean()

    monkeypatch.setattr(ContrastiveLoss, "forward", all_alike)
    run = short_run(steps=200, learning_rate=0.02, batch_size=4)
    assert run.trained.incidents.collapsed == 1
    assert run.trained.collapse["last"] > 0.95 > run.trained.collapse["first"]
    assert "all texts get one vector: mean cosine" in caplog.text
    (line,) = [one for one in caplog.messages if "all texts" in one]
    ended, restored = (int(word.strip(":;")) for word in line.split() if word.strip(":;").isdigit())
    assert ended - restored >= 5
    assert ended < 200


def test_an_undisturbed_run_logs_nothing(short_run, caplog):
    with caplog.at_level(logging.WARNING, "triptych"):
        run = short_run()
    assert set(vars_of(run.trained.incidents).values()) == {0}
    assert not [record for record in caplog.records if record.name.startswith("triptych")]


def vars_of(incidents):
    return {name: getattr(incidents, name) for name in incidents.__dataclass_fields__}

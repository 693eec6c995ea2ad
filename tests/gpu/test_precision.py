"""Precision: layers compute in the one that is asked for; an overflow in fp16 costs a step and halves the scale."""

import pytest
import torch
from transformers import TrainerCallback

from triptych.models.precision import resolve_precision
from triptych.training.fast.merged_lora import compute_dtype


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_layers_compute_in_half_precision_and_losses_stay_close(device, short_run, precision):
    if resolve_precision(precision, device) != precision:
        pytest.skip(f"{device} has no {precision}")
    dtypes = set()

    def touch(model):
        assert model.device.type == device.type
        model[0].register_forward_hook(lambda _module, _inputs, out: dtypes.add(compute_dtype(out["token_embeddings"])))

    half, full = short_run(steps=9, touch=touch, precision=precision), short_run()
    assert dtypes == {{"fp16": torch.float16, "bf16": torch.bfloat16}[precision]}
    assert {one.dtype for one in half.weights.values()} == {torch.float32}
    known = torch.tensor([one for one in half.trained.losses if one is not None])  # the scale may fall at first
    assert torch.allclose(known[0], full.losses[0], rtol=0.05)
    assert known[-1] < 0.5 * known[0]
    assert half.trained.incidents.restored == half.trained.incidents.repeated_in_float32 == 0


class Overflow(TrainerCallback):
    """Makes the gradients of one step overflow, and records each step: skipped, scale, weights."""

    def __init__(self, step):
        self.step, self.planted, self.steps = step, False, []

    def touch(self, model):
        def hook(_module, _inputs, out):
            vectors = out["sentence_embedding"]
            if vectors.requires_grad:
                vectors.register_hook(lambda gradient: gradient * 1e30 if self.planted else gradient)

        model[1].register_forward_hook(hook)

    def on_step_begin(self, args, state, control, **kwargs):
        self.planted = state.global_step + 1 == self.step

    def on_step_end(self, args, state, control, model, optimizer, **kwargs):
        weights = [one.detach().clone() for one in model.parameters() if one.requires_grad]
        self.steps.append((optimizer.step_was_skipped, optimizer.scaler.get_scale(), weights))


def test_an_overflow_in_fp16_leaves_a_step_out_and_halves_the_scale(gpu, short_run):
    overflow = Overflow(step=6)
    run = short_run(steps=10, precision="fp16", touch=overflow.touch, callbacks=[overflow])
    skipped, scales, weights = zip(*overflow.steps, strict=True)
    assert skipped[5]
    assert scales[5] == scales[4] / 2
    assert all(torch.equal(*pair) for pair in zip(weights[4], weights[5], strict=True))
    assert skipped[6:] == (False,) * 4
    assert not any(torch.equal(*pair) for pair in zip(weights[5], weights[6], strict=True))
    assert run.trained.incidents.scaler_skips == sum(skipped)
    assert run.trained.incidents.restored == 0
    assert run.losses[-1] < run.losses[0]

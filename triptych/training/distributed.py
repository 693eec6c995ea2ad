"""Training in several processes (`accelerate launch`): where they divide work, and where they have to agree.

Every process holds the whole model and the whole batch. Each encodes its share of the batch's texts, all of them see
all vectors, and the gradients are averaged. What is written to disk is written by the main process.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from accelerate import Accelerator, DistributedType, PartialState
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn

from triptych.errors import UserError

PADDING = -1  # position of a text that only makes a process' share as long as that of the others
Value = TypeVar("Value")
_WHOLE_MODEL = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)


def refuse_sharded_weights(accelerator: Accelerator, fsdp: bool) -> None:
    """Raise `UserError` where weights are divided over the processes (FSDP, DeepSpeed ZeRO-3)."""
    deepspeed = accelerator.state.deepspeed_plugin
    if fsdp or (deepspeed is not None and deepspeed.zero_stage == 3):
        raise UserError(
            "train: weights divided over processes (FSDP, ZeRO-3) are not gathered when they are saved; launch with"
            " plain `accelerate launch` or configs/zero2.yaml"
        )


def holds_whole_model(accelerator: Accelerator) -> bool:
    """Return whether this process holds all weights and computes with them itself, without DeepSpeed or FSDP."""
    return accelerator.distributed_type in _WHOLE_MODEL


def own_share(rows: Tensor, accelerator: Accelerator) -> tuple[Tensor, Tensor]:
    """Return this process' share of some rows, int64 (n,), and how often its first row is to be repeated as padding.

    Shares are equally long with the padding, so that every process makes the same calls.
    """
    size = -(-len(rows) // accelerator.num_processes)
    own = rows[accelerator.process_index * size : (accelerator.process_index + 1) * size]
    return own, rows[:1].expand(size - len(own))


def gather_in_order(vectors: Tensor, positions: Tensor, accelerator: Accelerator) -> Tensor:
    """Return the vectors of all processes (texts, d) in the order of the batch, from each process' share (n, d).

    ``positions`` (n,) are those of the share's texts in the batch; `PADDING` marks vectors to leave out. One process
    gets its vectors back as they are: its share is the batch, in order.
    """
    if accelerator.num_processes == 1:
        return vectors
    vectors, positions = accelerator.gather(vectors), accelerator.gather(positions)
    ordered = vectors.new_empty((int(positions.max()) + 1, vectors.shape[1]))
    ordered[positions[positions >= 0]] = vectors[positions >= 0]
    return ordered


def backward(accelerator: Accelerator, loss: Tensor) -> None:
    """Add the gradient of a loss, which is weighted by the caller, to the weights of the model.

    In the last backward pass of a step DeepSpeed also takes the step of the optimizer.
    """
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        accelerator.backward(loss, scale_wrt_gas=False)  # it would divide by the accumulated batches once more
    else:
        accelerator.backward(loss)


@contextmanager
def without_gradient_sync(accelerator: Accelerator, model: nn.Module, skip: bool) -> Iterator[None]:
    """Open a context in which a backward pass only adds to the gradients, if ``skip``.

    Gradients are not averaged over the processes, and DeepSpeed takes no step of the optimizer, as it would after each
    backward pass.
    """
    if not skip:
        yield
    elif accelerator.distributed_type == DistributedType.DEEPSPEED:
        state = accelerator.gradient_state
        last = state.sync_gradients
        state._set_sync_gradients(False)
        try:
            yield
        finally:
            state._set_sync_gradients(last)
    else:
        with accelerator.no_sync(model):  # in one process it does nothing
            yield


def from_main_process(value: Value) -> Value:
    """Return the main process' value in every process, so that all of them decide alike; a value that pickles."""
    if PartialState().num_processes == 1:
        return value
    values = [value]
    broadcast_object_list(values)
    return values[0]


def is_main_process() -> bool:
    """Return whether this process is the one that writes files and prints."""
    return bool(PartialState().is_main_process)


def wait_for_all_processes() -> None:
    """Wait until every process has come this far."""
    PartialState().wait_for_everyone()

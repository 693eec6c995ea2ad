"""What a step can be restored to: its initial random state, and the last weights known to be good."""

import random
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

_SMALL = 2**26  # bytes; up to this size weights are copied every step, larger ones ...
_EVERY = 10  # ... every 10 steps


@dataclass(frozen=True, slots=True)
class RandomState:
    """The state of every generator that a step may draw from."""

    python: Any
    numpy: Any
    torch: Tensor
    cuda: list[Tensor]

    @classmethod
    def capture(cls) -> Self:
        """Return the current state of all generators."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
        # The global generator, which libraries draw from.
        return cls(random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda)  # noqa: NPY002

    def restore(self) -> None:
        """Set all generators to this state."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002
        torch.set_rng_state(self.torch)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)


class LastGoodState:
    """A copy, in host memory, of the trainable weights and of the state of the optimizer and the GradScaler."""

    def __init__(self, optimizer: Optimizer, scaler: torch.amp.GradScaler | None, step: int) -> None:
        self._optimizer, self._scaler = optimizer, scaler
        self.step = step  # steps that the copied weights were trained for
        self.reset()

    def reset(self) -> None:
        """Start from scratch with the weights that the optimizer has now."""
        self._weights = {one: _copy(one.detach()) for one in self._parameters()}
        self._state: dict[Tensor, dict[str, tuple[Any, torch.device | None]]] = {}
        self._scale = self._scaler.state_dict() if self._scaler is not None else {}

    def save(self, step: int) -> None:
        """Copy the state after ``step`` steps; large models only every 10 steps, small ones and adapters each time."""
        size = sum(one.nbytes for one in self._weights.values())
        if 3 * size > _SMALL and step - self.step < _EVERY:
            return
        with torch.no_grad():
            for one, copy in self._weights.items():
                copy.copy_(one)
        self._state = {
            one: _copied(self._optimizer.state[one]) for one in self._weights if one in self._optimizer.state
        }
        self._scale = self._scaler.state_dict() if self._scaler is not None else {}
        self.step = step

    def restore(self) -> None:
        """Set weights, optimizer and scaler to the copied state."""
        with torch.no_grad():
            for one, copy in self._weights.items():
                one.copy_(copy)
        self._optimizer.state.clear()
        for one, state in self._state.items():
            self._optimizer.state[one] = {name: _restored(value, device) for name, (value, device) in state.items()}
        if self._scaler is not None and self._scale:
            self._scaler.load_state_dict(self._scale)

    def _parameters(self) -> list[Tensor]:
        return [one for group in self._optimizer.param_groups for one in group["params"]]


def _copied(state: dict[str, Any]) -> dict[str, tuple[Any, torch.device | None]]:
    return {name: (_copy(value), value.device if isinstance(value, Tensor) else None) for name, value in state.items()}


def _copy(value: Any) -> Any:
    return value.to("cpu", copy=True) if isinstance(value, Tensor) else value


def _restored(value: Any, device: torch.device | None) -> Any:
    return value.to(device, copy=True) if isinstance(value, Tensor) else value

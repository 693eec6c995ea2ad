"""What a step can go back to: the random numbers it began with, and the last weights that are known to be good."""

import random
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

_SMALL = 2**26  # bytes that are copied every step; what is larger ...
_EVERY = 10  # ... is copied every so many steps


@dataclass(frozen=True, slots=True)
class Randomness:
    """The state of every generator that a step may draw from."""

    python: Any
    numpy: Any
    torch: Tensor
    cuda: list[Tensor]

    @classmethod
    def now(cls) -> Self:
        """Note the state of all generators."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
        # The global generator, which libraries draw from.
        return cls(random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda)  # noqa: NPY002

    def restore(self) -> None:
        """Bring all generators back to this state."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002
        torch.set_rng_state(self.torch)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)


class LastGoodState:
    """Copies, in host memory, of the weights that train and of what the optimizer and the scaler know."""

    def __init__(self, optimizer: Optimizer, scaler: torch.amp.GradScaler | None, done: int) -> None:
        self._optimizer, self._scaler = optimizer, scaler
        self.done = done  # steps that the weights have behind them
        self.forget()

    def forget(self) -> None:
        """Begin anew, with the weights that the optimizer has now."""
        self._weights = {one: _copy(one.detach()) for one in self._parameters()}
        self._state: dict[Tensor, dict[str, tuple[Any, torch.device | None]]] = {}
        self._scale = self._scaler.state_dict() if self._scaler is not None else {}

    def keep(self, done: int) -> None:
        """Copy what is there after so many steps; large models now and then, small ones and adapters every time."""
        held = sum(one.nbytes for one in self._weights.values())
        if 3 * held > _SMALL and done - self.done < _EVERY:
            return
        with torch.no_grad():
            for one, kept in self._weights.items():
                kept.copy_(one)
        self._state = {one: _each(self._optimizer.state[one]) for one in self._weights if one in self._optimizer.state}
        self._scale = self._scaler.state_dict() if self._scaler is not None else {}
        self.done = done

    def restore(self) -> None:
        """Put weights, optimizer and scaler back to where they were."""
        with torch.no_grad():
            for one, kept in self._weights.items():
                one.copy_(kept)
        self._optimizer.state.clear()
        for one, state in self._state.items():
            self._optimizer.state[one] = {name: _back(value, device) for name, (value, device) in state.items()}
        if self._scaler is not None and self._scale:
            self._scaler.load_state_dict(self._scale)

    def _parameters(self) -> list[Tensor]:
        return [one for group in self._optimizer.param_groups for one in group["params"]]


def _each(state: dict[str, Any]) -> dict[str, tuple[Any, torch.device | None]]:
    return {name: (_copy(value), value.device if isinstance(value, Tensor) else None) for name, value in state.items()}


def _copy(value: Any) -> Any:
    return value.to("cpu", copy=True) if isinstance(value, Tensor) else value


def _back(value: Any, device: torch.device | None) -> Any:
    return value.to(device, copy=True) if isinstance(value, Tensor) else value

"""``tokenize.max_length: auto`` and ``max_windows: auto``: how much of the text vectors see, by what encoding it costs.

A token costs two operations for each parameter outside the embeddings. A machine of each kind encodes all passages
within its budget in about a minute: two cores at 340 billion float32 operations a second, four times as many in bf16,
and the GPU of a small server. A run encodes them up to ten times.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from triptych.params.sections import Tokenize
from triptych.tokens.token_rows import TokenRows, row_lengths

Machine = Literal["cpu", "cpu with bf16", "gpu"]

_WINDOWS = [2**power for power in range(9)]  # values of ``max_windows`` that auto chooses among
_SEEN = 0.99  # share of the passages' tokens that is as good as all
_PERCENTILE = 95  # of the lengths of all texts: a larger ``max_length`` would be for a few
_MULTIPLE = 8


@dataclass(frozen=True, slots=True)
class Budget:
    """What a kind of machine can afford."""

    max_length: int  # tokens; training, which windows do not touch, takes time in proportion
    operations: float  # of one encoding of all passages


BUDGETS: dict[Machine, Budget] = {
    "cpu": Budget(64, 2e13),
    "cpu with bf16": Budget(128, 8e13),
    "gpu": Budget(256, 1e15),
}


@dataclass(frozen=True, slots=True)
class Lengths:
    """How much of each text is read."""

    max_length: int  # tokens of a window
    max_windows: int
    reason: str  # why auto chose them; empty where both are given


def choose_lengths(
    rows: TokenRows | Sequence[Sequence[int]],
    passages: Sequence[int] | np.ndarray,
    settings: Tokenize,
    limit: int | None,
    machine: Machine,
    parameters: int,
) -> Lengths:
    """Return ``max_length`` and ``max_windows`` as given or, where they are ``auto``, as this machine can afford them.

    ``rows`` are the token ids of all texts, ``passages`` the positions of the passages among them. ``limit`` is the
    longest input of the model, ``parameters`` its number of weights outside the embeddings.
    """
    budget = BUDGETS[machine]
    lengths = row_lengths(rows)
    if settings.max_length == "auto":
        percentile = int(np.percentile(lengths, _PERCENTILE, method="higher"))
        max_length = min(-(-percentile // _MULTIPLE) * _MULTIPLE, budget.max_length)
    else:
        max_length = settings.max_length
    max_length = min(max_length, limit) if limit else max_length
    of_passages = lengths[np.asarray(passages, np.int64)]
    max_windows = settings.known_windows
    if settings.max_windows == "auto":
        max_windows = _most_windows(of_passages, max_length, int(budget.operations / (2 * parameters)))
    if "auto" not in (settings.max_length, settings.max_windows):
        return Lengths(max_length, max_windows, "")
    tokens = tokens_read(of_passages, max_length, max_windows)
    share = tokens / max(int(of_passages.sum()), 1)
    chosen = " and ".join(
        f"{name} {value}"
        for name, value in (("max_length", max_length), ("max_windows", max_windows))
        if getattr(settings, name) == "auto"
    )
    return Lengths(
        max_length,
        max_windows,
        f"auto chose {chosen}, for a machine of the kind '{machine}': one encoding of all passages is then about"
        f" {tokens:,} tokens, {share:.0%} of their text, and {2.0 * parameters * tokens:.1e} operations of at most"
        f" {budget.operations:.0e}",
    )


def tokens_read(lengths: np.ndarray, max_length: int, max_windows: int) -> int:
    """Return how many tokens of texts with these lengths are read, without the headings that windows repeat."""
    return int(np.minimum(lengths, max_length * max_windows).sum())


def _most_windows(lengths: np.ndarray, max_length: int, tokens: int) -> int:
    """Return the smallest number of windows that sees all, or the largest that reads at most ``tokens``; at least 1."""
    best = 1
    for number in _WINDOWS:
        read = tokens_read(lengths, max_length, number)
        if number > 1 and read > tokens:
            break
        best = number
        if read >= _SEEN * lengths.sum():
            break
    return best

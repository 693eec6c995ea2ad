"""The token ids of many texts as columns: four bytes for a token, where lists of Python's numbers take thirty-six."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

_CUT = 65_536  # texts that are cut together: it takes some forty bytes for each of their tokens


@dataclass(frozen=True, slots=True)
class TokenRows:
    """Token ids of texts, concatenated; those of text ``i`` are ``offsets[i]`` to ``offsets[i + 1]``."""

    ids: np.ndarray  # int32, shape (tokens,)
    offsets: np.ndarray  # int64, shape (texts + 1,)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        """Return the token ids of one text, int32; a view, not a copy."""
        return self.ids[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Return the number of tokens of each text, int64 of shape (texts,)."""
        return np.diff(self.offsets)

    @classmethod
    def of(cls, rows: Iterable[Sequence[int] | np.ndarray]) -> Self:
        """Build the columns from the token ids of each text.

        >>> TokenRows.of([[5, 6], [], [7]])
        TokenRows(ids=array([5, 6, 7], dtype=int32), offsets=array([0, 2, 2, 3]))
        """
        arrays = [np.asarray(row, np.int32) for row in rows]
        offsets = np.cumsum([0, *map(len, arrays)], dtype=np.int64)
        return cls(np.concatenate([np.empty(0, np.int32), *arrays]), offsets)

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Concatenate the texts of some parts."""
        lengths = np.concatenate([np.zeros(1, np.int64), *(part.lengths for part in parts)])
        return cls(np.concatenate([np.empty(0, np.int32), *(part.ids for part in parts)]), np.cumsum(lengths))

    def cut(self, most: int, closing: int) -> Self:
        """Cut texts to at most ``most`` tokens; the last ``closing`` tokens of a text stay its last.

        >>> TokenRows.of([[1, 5, 6, 7, 2], [1, 5, 2]]).cut(4, closing=1)
        TokenRows(ids=array([1, 5, 6, 2, 1, 5, 2], dtype=int32), offsets=array([0, 4, 7]))
        """
        blocks = [self._cut(start, start + _CUT, most, closing) for start in range(0, len(self), _CUT)]
        return self.join(blocks)

    def _cut(self, first: int, last: int, most: int, closing: int) -> Self:
        starts, before = self.offsets[:-1][first:last], self.lengths[first:last]
        after = np.minimum(before, most)
        offsets = np.cumsum(np.r_[0, after])
        row = np.repeat(np.arange(len(after)), after)
        column = np.arange(offsets[-1]) - offsets[row]
        is_end = column >= after[row] - closing
        column += np.where(is_end, before[row] - after[row], 0)
        return type(self)(self.ids[starts[row] + column], offsets)


def row_lengths(rows: "TokenRows | Sequence[Sequence[int]]") -> np.ndarray:
    """Return the number of tokens of each text, int64 of shape (texts,)."""
    return rows.lengths if isinstance(rows, TokenRows) else np.array([len(row) for row in rows], np.int64)

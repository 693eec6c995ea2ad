"""Vectors in eight bits: symmetric, a step for each dimension, calibrated on the corpus."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from triptych.errors import UserError

LEVELS = 127  # codes lie in [-127, 127], so that zero is a code and both signs reach as far
_COLUMNS = 32  # dimensions looked at at once; a percentile needs a copy


@dataclass(frozen=True, slots=True)
class Scales:
    """The value of one step of each dimension: float32 of shape (dimensions,), all above zero."""

    step: np.ndarray

    @classmethod
    def calibrate(cls, vectors: np.ndarray, percentile: float) -> Self:
        """Let the largest code of a dimension stand for a percentile of its absolute values; what lies above is cut.

        ``vectors`` are float32 of shape (vectors, dimensions), at least one. The percentile is a value that occurs, so
        that 100 is the largest and one vector is enough. A dimension that is zero throughout has step 1. Raise
        `UserError` where a vector is not finite.
        """
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            raise UserError(
                f"{(~finite).sum()} of {len(vectors)} vectors are not finite, the first in row {np.argmin(finite)};"
                " `triptych diagnose` says where the model breaks"
            )
        reach = np.empty(vectors.shape[1], np.float32)
        for start in range(0, len(reach), _COLUMNS):
            columns = slice(start, start + _COLUMNS)
            reach[columns] = np.percentile(np.abs(vectors[:, columns]), percentile, axis=0, method="higher")
        return cls(np.where(reach > 0, reach / LEVELS, 1).astype(np.float32))

    def codes(self, vectors: np.ndarray) -> np.ndarray:
        """Round to the nearest step: int8, of the shape of ``vectors``."""
        return np.clip(np.rint(vectors / self.step), -LEVELS, LEVELS).astype(np.int8)

    def vectors(self, codes: np.ndarray) -> np.ndarray:
        """Return what codes stand for: float32, of their shape."""
        return codes * self.step

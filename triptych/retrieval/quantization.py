"""Quantization of vectors to int8: symmetric, with one scale per dimension, calibrated on the corpus."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from triptych.errors import UserError
from triptych.ids import Vectors

LEVELS = 127  # codes are in [-127, 127]: symmetric, with zero as a code
_COLUMNS = 32  # dimensions calibrated at once; a percentile needs a copy


@dataclass(frozen=True, slots=True)
class Scales:
    """The size of one quantization step in each dimension: float32 of shape (dimensions,), all above zero."""

    step: np.ndarray

    @classmethod
    def calibrate(cls, vectors: np.ndarray, percentile: float) -> Self:
        """Map a percentile of the absolute values of each dimension to the largest code; larger values are clipped.

        ``vectors`` are float32 of shape (vectors, dimensions), at least one. The percentile is a value that occurs:
        100 is the maximum, and one vector is enough. A dimension of zeros has step 1. Raise `UserError` if a vector is
        not finite.

        >>> scales = Scales.calibrate(np.array([[1.27, 0.0], [-0.5, 0.0]], np.float32), 100.0)
        >>> scales.codes(np.array([[0.5, 3.0]])).tolist()
        [[50, 3]]
        """
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            raise UserError(
                f"{(~finite).sum()} of {len(vectors)} vectors are not finite, the first in row {np.argmin(finite)};"
                " `triptych diagnose` finds the first module that outputs them"
            )
        limits = np.empty(vectors.shape[1], np.float32)
        for start in range(0, len(limits), _COLUMNS):
            columns = slice(start, start + _COLUMNS)
            limits[columns] = np.percentile(np.abs(vectors[:, columns]), percentile, axis=0, method="higher")
        return cls(np.where(limits > 0, limits / LEVELS, 1).astype(np.float32))

    def codes(self, vectors: np.ndarray) -> np.ndarray:
        """Quantize vectors: int8, of the same shape."""
        return np.clip(np.rint(vectors / self.step), -LEVELS, LEVELS).astype(np.int8)

    def vectors(self, codes: np.ndarray) -> np.ndarray:
        """Return the vectors of codes: float32, of the same shape."""
        return codes * self.step


def truncated(vectors: Vectors | np.ndarray, dimensions: int | None) -> np.ndarray:
    """Return the first dimensions of vectors (texts, d) as rows of length 1; None: the vectors as they are.

    >>> truncated(np.array([[3.0, 4.0, 1.0]]), 2).tolist()
    [[0.6, 0.8]]
    """
    if dimensions is None:
        return np.asarray(vectors)
    first = vectors[:, :dimensions]
    return np.asarray(first / np.linalg.norm(first, axis=1, keepdims=True))

"""What a batch is: columns of ids from a schedule, then tensors from a collator."""

from typing import TypedDict

import numpy as np
from torch import Tensor

# Columns of a batch's rows by name, arrays of B rows: text ids (`anchor`, `positive`, `negative`), rows of the corpus
# (`positive_chunk`, `negative_chunk`, `negatives`, `chunks`), and what else a collator needs.
Columns = dict[str, np.ndarray]
Features = dict[str, Tensor]  # inputs of the model by name, each of shape (texts, width)


class Rows(TypedDict, total=False):
    """What a loss needs to know of B rows; each loss reads a part of it.

    ``queries`` and ``passages`` are positions in the batch's texts. All other positions are positions in these two.
    """

    queries: Tensor  # int64 (Q,): position of each distinct query in the texts of the batch
    passages: Tensor  # int64 (P,): position of each distinct passage in the texts of the batch
    frozen: Tensor  # float32 (P, d): in place of these positions where passages are not encoded, their vectors
    anchor: Tensor  # int64 (B,): position in queries
    positive: Tensor  # int64 (B,): position in passages
    negative: Tensor  # int64 (B,): position in passages; only with stored negatives
    related: Tensor  # bool (B, P): passages that must not count as negatives of the row's anchor
    tier: Tensor  # int8 (B,): tier of the negative, an index into TIERS; only with stored negatives
    teacher: Tensor  # float32 (B, P): the teacher's z-scores, -inf for a passage that is not the row's; distill
    scale: Tensor  # float32 (B,): standard deviation of the base model's cosines; distill
    pairs: Tensor  # int64 (B, 1 + N): positions in the batch's pairs, the positive's first; reranker


class Batch(TypedDict):
    """Tensors of one batch. It is a plain dict, which the library's trainer and accelerate expect."""

    features: list[Features]  # each distinct text once, in groups of similar length; positions count through the groups
    rows: Rows

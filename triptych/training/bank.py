"""Passages that keep the vectors they had before a round: a step encodes anchors alone.

Anchors are a tenth of a batch's tokens, so that a step costs a fraction, and every passage at hand can be a negative of
each. What is learned on the side of the queries serves passages as well, which are encoded anew with the same adapter
afterwards (docs/recipes.md). That a query encoder can be tuned over vectors that stand still is known from RAG (Lewis
et al. 2020), where it spares the index.
"""

from dataclasses import dataclass

import numpy as np
import torch

from triptych.tokens.store import TokenStore
from triptych.training.batches import Batch, assembled, never_negatives
from triptych.triplets.relations import Answers, Relations


@dataclass(frozen=True, slots=True)
class Bank:
    """Chunks as the model of the round before sees them."""

    chunks: np.ndarray  # int64, shape (chunks,): rows of the corpus, ascending
    vectors: np.ndarray  # float32, shape (chunks, dimensions), of length 1

    def of(self, chunks: np.ndarray) -> torch.Tensor:
        """Return the vectors of some of the chunks, float32 of shape (chunks, dimensions)."""
        return torch.from_numpy(self.vectors[np.searchsorted(self.chunks, chunks)])


def beside(wanted: np.ndarray, chunks: np.ndarray, number: int) -> np.ndarray:
    """Return distinct ``wanted`` chunks with as many others of ``chunks`` as make ``number``, if there are, ascending.

    Which others is a function of the arguments.
    """
    wanted = np.unique(wanted)
    others = np.setdiff1d(chunks, wanted)
    missing = min(max(number - len(wanted), 0), len(others))
    return np.union1d(wanted, np.random.default_rng(wanted).choice(others, missing, replace=False))


class BankCollator:
    """Makes batches of anchors with their positives; all else in the bank, or ``most`` of it, are their negatives."""

    def __init__(
        self, store: TokenStore, relations: Relations, answers: Answers, fixed: bool, bank: Bank, most: int
    ) -> None:
        self._store, self._relations, self._answers, self._fixed = store, relations, answers, fixed
        self._bank, self._most = bank, most

    def __call__(self, rows: list[dict[str, int]]) -> Batch:
        """Return a batch as `triptych.training.batches.Collator` does, with the passages' vectors (P, d)."""
        anchors, positives = (np.array([row[name] for row in rows]) for name in ("anchor", "positive_chunk"))
        queries, anchor = np.unique(anchors, return_inverse=True)
        chunks = beside(positives, self._bank.chunks, self._most)
        related = never_negatives(self._relations, self._answers, anchors, positives, chunks)
        return assembled(
            self._store,
            queries,
            np.empty(0, np.int64),
            self._fixed,
            anchor=torch.from_numpy(anchor),
            positive=torch.from_numpy(np.searchsorted(chunks, positives)),
            related=torch.from_numpy(related),
            passage_vectors=self._bank.of(chunks),
        )

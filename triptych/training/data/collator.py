"""Batches: each distinct text once, in a few groups of like length, and where the texts of each row stand among them.

A batch holds ``features``, padded ids and masks of each group, and ``rows``, tensors by name. ``queries`` (Q,) and
``passages`` (P,) point at texts, counted through the groups; every other place points at one of these.
"""

from typing import Any

import numpy as np
import torch

from triptych.tokens.token_store import PAD_TO, TokenStore
from triptych.triplets.false_negatives import PositivesByAnchor, Relations

GROUPS = 4  # widths in a batch, at most; more save little padding
Batch = dict[str, Any]


class Collator:
    """Makes batches of triplets, or of anchors with their positives, whose negatives are the others' positives."""

    def __init__(self, store: TokenStore, relations: Relations, answers: PositivesByAnchor, fixed: bool) -> None:
        self._store, self._relations, self._answers, self._fixed = store, relations, answers, fixed

    def __call__(self, rows: list[dict[str, int]]) -> Batch:
        """Return a batch; ``related`` tells which passages are no negatives of a row's anchor, bool (B, P)."""
        column = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        roles = [role for role in ("positive", "negative") if role in column]
        queries, anchor = np.unique(column["anchor"], return_inverse=True)
        texts = np.concatenate([column[role] for role in roles])
        passages, first, place = np.unique(texts, return_index=True, return_inverse=True)
        chunks = np.concatenate([column[f"{role}_chunk"] for role in roles])[first]
        anchors, positives = column["anchor"], column["positive_chunk"]
        related = self._relations.related(positives[:, None], chunks[None, :])
        owners, candidates = np.repeat(np.arange(len(rows)), len(chunks)), np.tile(chunks, len(rows))
        reached = self._answers.false_negatives(self._relations, anchors, positives, owners, candidates)
        related |= reached.reshape(related.shape)
        of_rows = {"anchor": anchor, "related": related} | dict(zip(roles, np.split(place, len(roles)), strict=True))
        of_rows |= {name: column[name] for name in ("tier",) if name in column}
        tensors = {name: torch.from_numpy(one) for name, one in of_rows.items()}
        return assembled(self._store, queries, passages, self._fixed, **tensors)


def assembled(store: TokenStore, queries: np.ndarray, passages: np.ndarray, fixed: bool, **rows: torch.Tensor) -> Batch:
    """Return a batch of distinct queries and distinct passages, given as text ids; ``rows`` go into it as they are.

    A text that is both is there once.
    """
    texts, place = np.unique(np.concatenate([queries, passages]), return_inverse=True)
    groups = [np.arange(len(texts))] if fixed else like_length(store.lengths[texts])
    stands = np.empty(len(texts), np.int64)
    stands[np.concatenate(groups)] = np.arange(len(texts))
    features = []
    for group in groups:
        input_ids, mask = store.pad(texts[group], fixed)
        features.append({"input_ids": torch.from_numpy(input_ids), "attention_mask": torch.from_numpy(mask)})
    found = torch.from_numpy(stands[place])
    return {"features": features, "rows": {"queries": found[: len(queries)], "passages": found[len(queries) :]} | rows}


def like_length(lengths: np.ndarray) -> list[np.ndarray]:
    """Divide texts into at most `GROUPS` groups such that padding each to its longest text adds the least.

    The best cuts of the sorted widths, by dynamic programming; the longest group comes first, since memory runs out
    there if anywhere.
    """
    order = np.argsort(lengths, kind="stable")
    widths, counts = np.unique(-(-lengths // PAD_TO) * PAD_TO, return_counts=True)
    upto = np.concatenate([[0], np.cumsum(counts)])
    best = [np.r_[0, np.full(len(widths), np.inf)]]  # tokens of the texts up to a width, by number of groups
    cuts: list[list[int]] = []
    for _ in range(min(GROUPS, len(widths))):
        costs = [best[-1][:end] + (upto[end] - upto[:end]) * widths[end - 1] for end in range(1, len(widths) + 1)]
        cuts.append([int(np.argmin(one)) for one in costs])
        best.append(np.r_[0, [one.min() for one in costs]])
    groups, end = [], len(widths)
    for cut in reversed(cuts[: int(np.argmin([one[-1] for one in best[1:]])) + 1]):
        start = cut[end - 1]
        groups.append(order[upto[start] : upto[end]])
        end = start
    return [group for group in groups if len(group)]

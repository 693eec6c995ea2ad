"""Collates rows of ids into batches: each distinct text once, padded in a few groups of similar length."""

import numpy as np
import torch
from torch import Tensor

from triptych.encoding.frozen_passages import FrozenPassages
from triptych.ids import TextIds
from triptych.tokens.token_counts import TokenOverlap
from triptych.tokens.token_store import PAD_TO, TokenStore
from triptych.training.data.batch import Batch, Columns, Rows
from triptych.triplets.false_negatives import PositivesByAnchor, Relations

GROUPS = 4  # at most, of texts padded to one width; more save little padding


class Collator:
    """Collates triplets, or anchors with their positives whose negatives are the other rows' positives."""

    def __init__(
        self,
        store: TokenStore,
        relations: Relations,
        answers: PositivesByAnchor,
        fixed: bool,
        same_words: float | None = None,
        frozen: FrozenPassages | None = None,
    ) -> None:
        """``same_words``: from which Jaccard similarity of tokens a window of another chunk is no negative.

        None: texts are whole passages, of which ``relations`` knows the near-duplicates. ``frozen`` has the vectors of
        passages where queries alone are trained.
        """
        self._store, self._relations, self._answers, self._fixed = store, relations, answers, fixed
        self._same_words, self._frozen = same_words, frozen

    def __call__(self, columns: Columns) -> Batch:
        """Return the batch of rows with columns ``anchor``, ``positive`` and ``positive_chunk``.

        With ``negative``, ``negative_chunk`` and ``tier`` rows are triplets.
        """
        roles = [role for role in ("positive", "negative") if role in columns]
        queries, anchor = np.unique(columns["anchor"], return_inverse=True)
        texts = np.concatenate([columns[role] for role in roles])
        passages, first, inverse = np.unique(texts, return_index=True, return_inverse=True)
        chunks = np.concatenate([columns[f"{role}_chunk"] for role in roles])[first]
        anchors, positives = columns["anchor"], columns["positive_chunk"]
        related = self._relations.related(positives[:, None], chunks[None, :])
        # Other positives of the anchor, and passages related to these, are not negatives either.
        owners, candidates = np.repeat(np.arange(len(anchors)), len(chunks)), np.tile(chunks, len(anchors))
        reached = self._answers.false_negatives(self._relations, anchors, positives, owners, candidates)
        related |= reached.reshape(related.shape)
        if self._same_words is not None:
            related |= TokenOverlap(self._store, texts).matrix(columns["positive"], passages) >= self._same_words
        rows = Rows(anchor=torch.from_numpy(anchor), related=torch.from_numpy(related))
        positions = np.split(inverse, len(roles))
        rows["positive"] = torch.from_numpy(positions[0])
        if len(roles) > 1:
            rows["negative"], rows["tier"] = torch.from_numpy(positions[1]), torch.from_numpy(columns["tier"])
        return assemble(self._store, TextIds(queries), TextIds(passages), self._fixed, rows, self._frozen)


def assemble(
    store: TokenStore,
    queries: TextIds,
    passages: TextIds,
    fixed: bool,
    rows: Rows,
    frozen: FrozenPassages | None = None,
) -> Batch:
    """Return a batch of distinct queries and distinct passages; ``rows`` gets their positions in the batch's texts.

    A text that is both a query and a passage is encoded once. Passages that are ``frozen`` are not among the texts:
    ``rows`` gets their vectors.
    """
    encoded = queries if frozen else np.concatenate([queries, passages])
    texts, inverse = np.unique(encoded, return_inverse=True)
    groups = [np.arange(len(texts))] if fixed else like_length(store.lengths[texts])
    features = []
    for group in groups:
        input_ids, mask = store.pad(texts[group], fixed)
        features.append({"input_ids": torch.from_numpy(input_ids), "attention_mask": torch.from_numpy(mask)})
    positions = positions_in_groups(groups)[torch.from_numpy(inverse)]
    rows["queries"] = positions[: len(queries)]
    if frozen:
        rows["frozen"] = torch.from_numpy(frozen.of(passages))
    else:
        rows["passages"] = positions[len(queries) :]
    return Batch(features=features, rows=rows)


def positions_in_groups(groups: list[np.ndarray]) -> Tensor:
    """Return the position of each text, int64 (texts,), if the groups, arrays of text numbers, follow each other.

    >>> positions_in_groups([np.array([2, 0]), np.array([1])])
    tensor([1, 2, 0])
    """
    order = np.concatenate(groups)
    positions = np.empty(len(order), np.int64)
    positions[order] = np.arange(len(order))
    return torch.from_numpy(positions)


def like_length(lengths: np.ndarray) -> list[np.ndarray]:
    """Divide texts into at most `GROUPS` groups such that padding each group to its longest text adds the least.

    Finds the best cuts of the sorted widths by dynamic programming. The longest group comes first: if memory runs out,
    it does so there.
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

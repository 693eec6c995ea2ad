"""From drawn triplets to batches: the schedule as data, and a collator over the token store."""

from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import torch

from triptych.params import Train
from triptych.tokens.store import TokenStore
from triptych.triplets.relations import Relations
from triptych.triplets.sampling import Triplet
from triptych.triplets.tiers import TIERS

COLUMNS = ("anchor", "positive", "negative", "positive_chunk", "negative_chunk")


def schedule(triplets: Sequence[Triplet], passages: list[int], train: Train) -> dict[str, list[int]]:
    """Order triplets for training; return columns of ids, row by row as they will be seen.

    With ``curriculum: easy_first`` easy rows come first and hard ones last; ``curriculum_overlap`` blurs the order
    (0 keeps tiers apart, large values shuffle). The mix over the whole run is that of the triplets.
    """
    random = Random(train.seed)
    spread = train.curriculum_overlap if train.curriculum == "easy_first" else float("inf")

    def place(row: int) -> float:
        noise = random.random()
        return noise if spread == float("inf") else TIERS.index(triplets[row].negative.tier) / 2 + spread * noise

    order = sorted(range(len(triplets)), key=place)
    return {
        "anchor": [triplets[row].example.anchor for row in order],
        "positive": [triplets[row].example.positive for row in order],
        "negative": [passages[triplets[row].negative.chunk] for row in order],
        "positive_chunk": [triplets[row].example.positive_chunk for row in order],
        "negative_chunk": [triplets[row].negative.chunk for row in order],
    }


class Collator:
    """Makes a batch of scheduled rows: padded ids of the distinct texts, and where each row's texts stand."""

    valid_label_columns: tuple[str, ...] = ()

    def __init__(self, store: TokenStore, relations: Relations, fixed: bool) -> None:
        self._store, self._relations, self._fixed = store, relations, fixed

    def __call__(self, rows: list[dict[str, int]]) -> dict[str, Any]:
        """Return features under ``query_`` and ``passage_``, and the rows' places under ``label``."""
        column = {name: np.array([row[name] for row in rows]) for name in COLUMNS}
        queries, anchor = np.unique(column["anchor"], return_inverse=True)
        both = np.concatenate([column["positive"], column["negative"]])
        passages, first, place = np.unique(both, return_index=True, return_inverse=True)
        chunks = np.concatenate([column["positive_chunk"], column["negative_chunk"]])[first]
        related = self._relations.related(column["positive_chunk"][:, None], chunks[None, :])
        batch: dict[str, Any] = {}
        for role, text_ids in (("query", queries), ("passage", passages)):
            input_ids, mask = self._store.pad(text_ids, self._fixed)
            batch[f"{role}_input_ids"] = torch.from_numpy(input_ids)
            batch[f"{role}_attention_mask"] = torch.from_numpy(mask)
        batch["label"] = {
            "anchor": torch.from_numpy(anchor),
            "positive": torch.from_numpy(place[: len(rows)]),
            "negative": torch.from_numpy(place[len(rows) :]),
            "related": torch.from_numpy(related),
        }
        return batch

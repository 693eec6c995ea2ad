"""From drawn triplets to batches: the schedule as data, and a collator over the token store."""

from typing import Any

import numpy as np
import torch

from triptych.params import Train
from triptych.tokens.store import TokenStore
from triptych.triplets.examples import Examples
from triptych.triplets.relations import Answers, Relations
from triptych.triplets.sampling import Draw

COLUMNS = ("anchor", "positive", "negative", "positive_chunk", "negative_chunk")


def schedule(examples: Examples, draw: Draw, passages: list[int], train: Train) -> dict[str, list[int]]:
    """Order drawn triplets for training; return columns of ids, row by row as they will be seen.

    With ``curriculum: easy_first`` easy rows come first and hard ones last; ``curriculum_overlap`` blurs the order
    (0 keeps tiers apart, large values shuffle). The mix over the whole run is that of the triplets.
    """
    tier, noise = examples.pool.tier[draw.negative], np.random.default_rng(train.seed).random(len(draw.negative))
    blurred = train.curriculum == "easy_first"
    order = np.argsort(tier / 2 + train.curriculum_overlap * noise if blurred else noise, kind="stable")
    example, chunk = draw.example[order], examples.pool.chunk[draw.negative[order]]
    columns = {
        "anchor": examples.anchor[example],
        "positive": examples.positive[example],
        "negative": np.array(passages)[chunk],
        "positive_chunk": examples.positive_chunk[example],
        "negative_chunk": chunk,
    }
    return {name: column.tolist() for name, column in columns.items()}


class Collator:
    """Makes a batch of scheduled rows: padded ids of the distinct texts, and where each row's texts stand."""

    valid_label_columns: tuple[str, ...] = ()

    def __init__(self, store: TokenStore, relations: Relations, answers: Answers, fixed: bool) -> None:
        self._store, self._relations, self._answers, self._fixed = store, relations, answers, fixed

    def __call__(self, rows: list[dict[str, int]]) -> dict[str, Any]:
        """Return features under ``query_`` and ``passage_``, and the rows' places under ``label``."""
        column = {name: np.array([row[name] for row in rows]) for name in COLUMNS}
        queries, anchor = np.unique(column["anchor"], return_inverse=True)
        both = np.concatenate([column["positive"], column["negative"]])
        passages, first, place = np.unique(both, return_index=True, return_inverse=True)
        chunks = np.concatenate([column["positive_chunk"], column["negative_chunk"]])[first]
        anchors, positives = column["anchor"], column["positive_chunk"]
        related = self._relations.related(positives[:, None], chunks[None, :])
        owners, candidates = np.repeat(np.arange(len(rows)), len(chunks)), np.tile(chunks, len(rows))
        reached = self._answers.reach(self._relations, anchors, positives, owners, candidates)
        related |= reached.reshape(related.shape)
        batch = padded(self._store, {"query": queries, "passage": passages}, self._fixed)
        batch["label"] = {
            "anchor": torch.from_numpy(anchor),
            "positive": torch.from_numpy(place[: len(rows)]),
            "negative": torch.from_numpy(place[len(rows) :]),
            "related": torch.from_numpy(related),
        }
        return batch


def padded(store: TokenStore, text_ids: dict[str, np.ndarray], fixed: bool) -> dict[str, Any]:
    """Return padded ids and masks of the texts of each role, int64, as ``<role>_input_ids`` and so on."""
    batch = {}
    for role, ids in text_ids.items():
        input_ids, mask = store.pad(ids, fixed)
        batch[f"{role}_input_ids"], batch[f"{role}_attention_mask"] = map(torch.from_numpy, (input_ids, mask))
    return batch

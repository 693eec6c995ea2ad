"""Documentation without questions: the model so far and BM25, fused, teach the embedder what is near an anchor.

The teacher is label-free. For each anchor it ranks the train chunks; the student learns to give a few of the best, the
anchor's own chunk and a random one the teacher's probabilities. What is learned is data too: lessons are drawn before
training starts.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from triptych.params import Distill
from triptych.retrieval.lexical import LexicalIndex
from triptych.tokens.store import TokenStore
from triptych.training.batches import padded


@dataclass(frozen=True, slots=True)
class Teacher:
    """What the teacher ranks with: train chunks by row of the corpus, as unit vectors and in words."""

    rows: np.ndarray  # int64, shape (chunks,): rows of the corpus
    vectors: np.ndarray  # float32, shape (chunks, dimensions)
    words: LexicalIndex

    def scores(self, vectors: np.ndarray, texts: list[str], dense_weight: float) -> tuple[np.ndarray, np.ndarray]:
        """Return fused scores (anchors, chunks), and the deviation of each anchor's cosines (anchors,), float32.

        Both parts are standardized over all chunks (see `triptych.retrieval.fusion`, which does so over a list of
        hits).
        """
        dense = vectors @ self.vectors.T
        lexical = self.words.scores(texts)
        fused = dense_weight * _standardized(dense) + (1 - dense_weight) * _standardized(lexical)
        return fused, dense.std(axis=1)


def lessons(
    teacher: Teacher,
    own: np.ndarray,
    anchors: np.ndarray,
    vectors: np.ndarray,
    texts: list[str],
    params: Distill,
    seed: int,
) -> dict[str, list[Any]]:
    """Draw what each anchor is taught; return columns, row by row as they will be seen.

    ``own`` holds each anchor's chunk (row of the corpus), ``anchors`` its text id, ``vectors`` and ``texts`` what the
    teacher sees. An anchor brings its own chunk, ``candidates`` of the teacher's best ``depth``, and ``random`` others;
    all anchors of a batch are taught all of its chunks, since each is encoded anyway.
    """
    random = np.random.default_rng(seed)
    place = np.searchsorted(teacher.rows, own)
    columns: dict[str, list[Any]] = {"anchor": anchors.tolist(), "chunks": [], "teacher": [], "scale": []}
    for start in range(0, len(anchors), params.batch_size):
        batch = slice(start, start + params.batch_size)
        fused, scale = teacher.scores(vectors[batch], texts[batch], params.dense_weight)
        chosen = [_chosen(scores, mine, params, random) for scores, mine in zip(fused, place[batch], strict=True)]
        shared = np.unique(np.concatenate(chosen))
        columns["scale"] += scale.tolist()
        columns["chunks"] += [teacher.rows[shared].tolist()] * len(chosen)
        columns["teacher"] += fused[:, shared].tolist()
    return columns


def _chosen(scores: np.ndarray, own: np.int64, params: Distill, random: np.random.Generator) -> np.ndarray:
    depth = min(params.depth + 1, len(scores))
    best = np.argpartition(-scores, depth - 1)[:depth]
    best = best[np.lexsort((best, -scores[best]))]
    best = best[best != own][: params.depth]
    near = random.choice(best, min(params.candidates, len(best)), replace=False)
    return np.r_[own, near, random.integers(0, len(scores), params.random)]


def _standardized(scores: np.ndarray) -> np.ndarray:
    return (scores - scores.mean(axis=1, keepdims=True)) / np.maximum(scores.std(axis=1, keepdims=True), 1e-6)


class LessonCollator:
    """Makes a batch of lessons: each distinct text once, and the teacher's scores where a row has a passage."""

    valid_label_columns: tuple[str, ...] = ()

    def __init__(self, store: TokenStore, passages: np.ndarray, fixed: bool) -> None:
        self._store, self._passages, self._fixed = store, passages, fixed

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return features under ``query_`` and ``passage_``, and under ``label`` what `DistillLoss` needs."""
        queries, anchor = np.unique([row["anchor"] for row in rows], return_inverse=True)
        chunks = np.unique(np.concatenate([row["chunks"] for row in rows]))
        teacher = np.full((len(rows), len(chunks)), -np.inf, np.float32)
        for number, row in enumerate(rows):
            teacher[number, np.searchsorted(chunks, row["chunks"])] = row["teacher"]
        batch = padded(self._store, {"query": queries, "passage": self._passages[chunks]}, self._fixed)
        batch["label"] = {
            "anchor": torch.from_numpy(anchor),
            "teacher": torch.from_numpy(teacher),
            "scale": torch.tensor([row["scale"] for row in rows], dtype=torch.float32),
        }
        return batch

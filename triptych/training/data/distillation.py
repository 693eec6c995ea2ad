"""Distillation for documentation without questions: the model so far, fused with BM25, teaches the embedder.

The teacher needs no labels. It ranks the train chunks for an anchor by the tokens before the cut (`max_length`) only,
since the student sees no more. A batch is made of neighborhoods: anchors with their own chunks, some of the teacher's
best chunks for them, and other anchors of these chunks. The student learns to give the chunks of the batch the
teacher's probabilities. All batches are drawn before training starts.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array

from triptych.ids import ChunkRows, TextIds, Vectors
from triptych.params.sections import Distill
from triptych.retrieval.lexical import bm25_weights
from triptych.tokens.token_store import TokenStore
from triptych.training.data.batch import Batch, Columns, Rows
from triptych.training.data.batch_schedule import FixedSchedule
from triptych.training.data.collator import assemble

_MIN_DEVIATION = 1e-6  # of scores over the chunks; chunks that are all alike have none
_VISIBLE_SHARE = 0.8  # of an anchor's distinct tokens, which its own chunk must contain before the cut


@dataclass(frozen=True, slots=True)
class DistillationAnchors:
    """Anchors used for distillation, with their vectors and token counts."""

    anchor: TextIds  # int, shape (anchors,)
    own: np.ndarray  # int64, shape (anchors,): index of the anchor's chunk among the teacher's chunks
    vectors: Vectors  # float32, shape (anchors, dimensions)
    tokens: csr_array  # counts, shape (anchors, vocabulary)


@dataclass(frozen=True, slots=True)
class Teacher:
    """What the teacher ranks: train chunks as unit vectors, and as BM25 weights of their tokens before the cut."""

    rows: ChunkRows  # int64, shape (chunks,)
    vectors: Vectors  # float32, shape (chunks, dimensions)
    weights: csr_array  # float32, shape (chunks, vocabulary)

    def scores(
        self, anchors: DistillationAnchors, chosen: np.ndarray, dense_weight: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return fused scores (chosen, chunks) and the standard deviation of each anchor's cosines (chosen,), float32.

        Both parts are standardized over all chunks (`triptych.retrieval.fusion` does so over a list of hits). The
        deviations are at least `_MIN_DEVIATION`, since they divide.
        """
        dense = anchors.vectors[chosen] @ self.vectors.T
        lexical = (anchors.tokens[chosen] @ self.weights.T).toarray()
        fused = dense_weight * _standardized(dense) + (1 - dense_weight) * _standardized(lexical)
        return fused.astype(np.float32), np.maximum(dense.std(axis=1), _MIN_DEVIATION)


def token_counts(store: TokenStore, text_ids: TextIds, vocabulary: int) -> csr_array:
    """Return how often each token occurs in each text before the cut, float32 of shape (texts, vocabulary)."""
    rows = [store[int(one)] for one in text_ids]
    indices = np.concatenate([*rows, np.empty(0, np.int32)])
    counts = csr_array(
        (np.ones(len(indices), np.float32), indices, np.cumsum([0, *map(len, rows)])), (len(rows), vocabulary)
    )
    counts.sum_duplicates()
    return counts


def make_teacher(rows: ChunkRows, vectors: Vectors, tokens: csr_array) -> Teacher:
    """Weigh the tokens of the chunks in ``rows`` by BM25."""
    return Teacher(rows, vectors, bm25_weights(tokens))


def visible_before_cut(anchors: csr_array, chunks: csr_array) -> np.ndarray:
    """Return whether each chunk contains most tokens of its anchor, from token counts; bool of shape (anchors,)."""
    distinct = anchors > 0
    shared = distinct.multiply(chunks > 0).sum(axis=1)
    return np.asarray(shared >= _VISIBLE_SHARE * np.maximum(distinct.sum(axis=1), 1)).ravel()


def draw_distillation_batches(
    teacher: Teacher, anchors: DistillationAnchors, seeds: np.ndarray, params: Distill, seed: int
) -> FixedSchedule:
    """Draw the batches of a run: one of ``batch_size`` rows for each ``neighborhoods`` of the ``seeds``.

    ``seeds`` are indices of anchors. Every anchor of a batch is trained on all of its chunks. Columns are ``anchor``
    (B,), ``chunks`` (B, C), ``teacher`` (B, C) and ``scale`` (B,); the last two are float32.
    """
    random = np.random.default_rng(seed)
    of_chunk: dict[int, list[int]] = defaultdict(list)
    for anchor, chunk in enumerate(anchors.own.tolist()):
        of_chunk[chunk].append(anchor)
    batches: list[Columns] = []
    for start in range(0, len(seeds), params.neighborhoods):
        first = seeds[start : start + params.neighborhoods]
        fused, _ = teacher.scores(anchors, first, params.dense_weight)
        near = [_near(scores, own, params, random) for scores, own in zip(fused, anchors.own[first], strict=True)]
        chunks = np.unique(np.concatenate(near))
        others = [anchor for chunk in chunks.tolist() for anchor in of_chunk[chunk] if anchor not in first]
        missing = params.batch_size - len(first)
        more = random.choice(others or first, missing, replace=len(others) < missing)
        batch = np.concatenate([first, more]).astype(np.int64)
        fused, scale = teacher.scores(anchors, batch, params.dense_weight)
        batches.append(
            {
                "anchor": anchors.anchor[batch],
                "chunks": np.broadcast_to(teacher.rows[chunks], (len(batch), len(chunks))),
                "teacher": fused[:, chunks],
                "scale": scale,
            }
        )
    return FixedSchedule(batches, params.batch_size)


def _near(scores: np.ndarray, own: np.int64, params: Distill, random: np.random.Generator) -> np.ndarray:
    """Return indices of an anchor's own chunk, some of the teacher's best, and some random ones."""
    depth = min(params.depth + 1, len(scores))
    best = np.argpartition(-scores, depth - 1)[:depth]
    best = best[np.lexsort((best, -scores[best]))]
    best = best[best != own][: params.depth]
    near = random.choice(best, min(params.candidates, len(best)), replace=False)
    return np.r_[own, near, random.integers(0, len(scores), params.random)]


def _standardized(scores: np.ndarray) -> np.ndarray:
    return (scores - scores.mean(axis=1, keepdims=True)) / np.maximum(scores.std(axis=1, keepdims=True), _MIN_DEVIATION)


class DistillationCollator:
    """Collates rows of `draw_distillation_batches`: each distinct text once, with the teacher's scores as a matrix."""

    def __init__(self, store: TokenStore, passage_ids: TextIds, fixed: bool) -> None:
        self._store, self._passage_ids, self._fixed = store, passage_ids, fixed

    def __call__(self, columns: Columns) -> Batch:
        """Return a batch with what `DistillLoss` needs."""
        queries, anchor = np.unique(columns["anchor"], return_inverse=True)
        chunks, position = np.unique(columns["chunks"], return_inverse=True)
        teacher = np.full((len(anchor), len(chunks)), -np.inf, np.float32)
        np.put_along_axis(teacher, position.reshape(columns["chunks"].shape), columns["teacher"], axis=1)
        rows = Rows(
            anchor=torch.from_numpy(anchor),
            teacher=torch.from_numpy(teacher),
            scale=torch.from_numpy(columns["scale"].astype(np.float32)),
        )
        passages = TextIds(self._passage_ids[chunks])
        return assemble(self._store, TextIds(queries), passages, self._fixed, rows)

"""Documentation without questions: the model so far and BM25, fused, teach the embedder what is near an anchor.

The teacher is label-free. It ranks the train chunks for an anchor by what the student can see of them, no more: the
student has no way to learn what stands behind the cut. A lesson is a batch of neighborhoods: anchors with
their own chunks, some of the teacher's best for them, and other anchors of these chunks. The student learns to give the
batch's chunks the teacher's probabilities. Lessons are drawn before training starts; they are data too.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array

from triptych.params.sections import Distill
from triptych.retrieval.lexical import bm25_weights
from triptych.tokens.token_store import TokenStore
from triptych.training.data.collator import Batch, assembled

_SEEN = 0.8  # share of an anchor's tokens that its own chunk must show before the cut


@dataclass(frozen=True, slots=True)
class DistillationAnchors:
    """The anchors that can be taught, with what the teacher needs of them."""

    anchor: np.ndarray  # int, shape (anchors,): text id
    own: np.ndarray  # int64, shape (anchors,): place of the anchor's chunk among the teacher's
    vectors: np.ndarray  # float32, shape (anchors, dimensions)
    tokens: csr_array  # counts, shape (anchors, vocabulary)


@dataclass(frozen=True, slots=True)
class Teacher:
    """What the teacher ranks: train chunks as unit vectors, and as BM25 weights of their tokens before the cut."""

    rows: np.ndarray  # int64, shape (chunks,): rows of the corpus
    vectors: np.ndarray  # float32, shape (chunks, dimensions)
    weights: csr_array  # float32, shape (chunks, vocabulary)

    def scores(
        self, pupils: DistillationAnchors, chosen: np.ndarray, dense_weight: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return fused scores (chosen, chunks), and the deviation of each anchor's cosines (chosen,), float32.

        Both parts are standardized over all chunks (see `triptych.retrieval.fusion`, which does so over a list of
        hits).
        """
        dense = pupils.vectors[chosen] @ self.vectors.T
        lexical = (pupils.tokens[chosen] @ self.weights.T).toarray()
        fused = dense_weight * _standardized(dense) + (1 - dense_weight) * _standardized(lexical)
        return fused.astype(np.float32), dense.std(axis=1)


def token_counts(store: TokenStore, text_ids: np.ndarray, vocabulary: int) -> csr_array:
    """Return how often each token stands in each text before the cut, float32 of shape (texts, vocabulary)."""
    rows = [store[int(one)] for one in text_ids]
    indices = np.concatenate([*rows, np.empty(0, np.int32)])
    counts = csr_array(
        (np.ones(len(indices), np.float32), indices, np.cumsum([0, *map(len, rows)])), (len(rows), vocabulary)
    )
    counts.sum_duplicates()
    return counts


def make_teacher(rows: np.ndarray, vectors: np.ndarray, tokens: csr_array) -> Teacher:
    """Weigh the tokens of the chunks in ``rows`` by BM25."""
    return Teacher(rows, vectors, bm25_weights(tokens))


def visible_before_cut(anchors: csr_array, chunks: csr_array) -> np.ndarray:
    """Tell for pairs of anchor and own chunk, as token counts, whether the chunk shows the anchor's words; bool."""
    distinct = anchors > 0
    shared = distinct.multiply(chunks > 0).sum(axis=1)
    return np.asarray(shared >= _SEEN * np.maximum(distinct.sum(axis=1), 1)).ravel()


def lessons(
    teacher: Teacher, pupils: DistillationAnchors, seeds: np.ndarray, params: Distill, seed: int
) -> dict[str, list[Any]]:
    """Draw the lessons of a run; return columns, ``batch_size`` rows for each ``neighborhoods`` of the ``seeds``.

    ``seeds`` are places among the pupils. Every anchor of a batch is taught all of its chunks.
    """
    random = np.random.default_rng(seed)
    of_chunk: dict[int, list[int]] = defaultdict(list)
    for pupil, chunk in enumerate(pupils.own.tolist()):
        of_chunk[chunk].append(pupil)
    columns: dict[str, list[Any]] = {"anchor": [], "chunks": [], "teacher": [], "scale": []}
    for start in range(0, len(seeds), params.neighborhoods):
        first = seeds[start : start + params.neighborhoods]
        fused, _ = teacher.scores(pupils, first, params.dense_weight)
        near = [_near(scores, own, params, random) for scores, own in zip(fused, pupils.own[first], strict=True)]
        chunks = np.unique(np.concatenate(near))
        others = [pupil for chunk in chunks.tolist() for pupil in of_chunk[chunk] if pupil not in first]
        wanted = params.batch_size - len(first)
        more = random.choice(others or first, wanted, replace=len(others) < wanted)
        batch = np.concatenate([first, more]).astype(np.int64)
        fused, scale = teacher.scores(pupils, batch, params.dense_weight)
        columns["anchor"] += pupils.anchor[batch].tolist()
        columns["chunks"] += [teacher.rows[chunks].tolist()] * len(batch)
        columns["teacher"] += fused[:, chunks].tolist()
        columns["scale"] += scale.tolist()
    return columns


def _near(scores: np.ndarray, own: np.int64, params: Distill, random: np.random.Generator) -> np.ndarray:
    """Return an anchor's own chunk, some of the teacher's best, and some of all."""
    depth = min(params.depth + 1, len(scores))
    best = np.argpartition(-scores, depth - 1)[:depth]
    best = best[np.lexsort((best, -scores[best]))]
    best = best[best != own][: params.depth]
    near = random.choice(best, min(params.candidates, len(best)), replace=False)
    return np.r_[own, near, random.integers(0, len(scores), params.random)]


def _standardized(scores: np.ndarray) -> np.ndarray:
    return (scores - scores.mean(axis=1, keepdims=True)) / np.maximum(scores.std(axis=1, keepdims=True), 1e-6)


class DistillationCollator:
    """Makes a batch of lessons: each distinct text once, and the teacher's scores where a row has a passage."""

    def __init__(self, store: TokenStore, passages: np.ndarray, fixed: bool) -> None:
        self._store, self._passages, self._fixed = store, passages, fixed

    def __call__(self, rows: list[dict[str, Any]]) -> Batch:
        """Return a batch with what `DistillLoss` needs."""
        queries, anchor = np.unique([row["anchor"] for row in rows], return_inverse=True)
        chunks = np.unique(np.concatenate([row["chunks"] for row in rows]))
        teacher = np.full((len(rows), len(chunks)), -np.inf, np.float32)
        for number, row in enumerate(rows):
            teacher[number, np.searchsorted(chunks, row["chunks"])] = row["teacher"]
        return assembled(
            self._store,
            queries,
            self._passages[chunks],
            self._fixed,
            anchor=torch.from_numpy(anchor),
            teacher=torch.from_numpy(teacher),
            scale=torch.tensor([row["scale"] for row in rows], dtype=torch.float32),
        )

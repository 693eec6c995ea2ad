"""Distillation for documentation without questions: the model so far, fused with BM25, teaches the embedder.

The teacher needs no labels. It ranks the train chunks for an anchor by the tokens before the cut (`max_length`) only,
since the student sees no more; a longer chunk by its windows, of which the best counts. Where somebody judged an anchor
or wrote it for its chunk, the teacher is told so, and ranks that chunk first. A batch is made of
neighborhoods: anchors with their own chunks, some of the teacher's best chunks for them, and other anchors of these
chunks. The student learns to give the chunks of the batch the teacher's probabilities, from the window of each that the
teacher finds best. All batches are drawn before training starts.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array

from triptych.encoding.frozen_passages import FrozenPassages
from triptych.ids import TextIds, Vectors
from triptych.params.sections import Distill
from triptych.retrieval.lexical import bm25_weights
from triptych.tokens.token_store import TokenStore
from triptych.training.data.batch import Batch, Columns, Rows
from triptych.training.data.batch_schedule import FixedSchedule
from triptych.training.data.collator import assemble

_MIN_DEVIATION = 1e-6  # of scores over the chunks; chunks that are all alike have none
_TOLD = 1.0  # standard deviations by which the chunk of a told anchor is ahead of all others
_VISIBLE_SHARE = 0.8  # of an anchor's distinct tokens, which its own window must contain
_COMPARED = 65_536  # anchors whose tokens are compared together with those of their windows


@dataclass(frozen=True, slots=True)
class DistillationAnchors:
    """Anchors used for distillation, with their token counts."""

    anchor: TextIds  # int, shape (anchors,)
    own: np.ndarray  # int64, shape (anchors,): the window of the anchor's chunk that answers it, as row of the teacher
    tokens: csr_array  # counts, shape (anchors, vocabulary)
    told: np.ndarray  # bool, shape (anchors,): whether somebody judged it or wrote it for its chunk


@dataclass(frozen=True, slots=True)
class Teacher:
    """What the teacher ranks: windows of train chunks as unit vectors, and as BM25 weights of their tokens."""

    chunk_of_window: np.ndarray  # int64, shape (windows,), ascending
    vectors: Vectors  # float32, shape (windows, dimensions)
    weights: csr_array  # float32, shape (windows, vocabulary)

    def scores(
        self, anchors: DistillationAnchors, chosen: np.ndarray, vectors: Vectors, dense_weight: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return fused scores (chosen, windows) and the standard deviation of each anchor's cosines (chosen,), float32.

        ``vectors`` are those of the chosen anchors, float32 of shape (chosen, dimensions).
        Both parts are standardized over all windows (`triptych.retrieval.fusion` does so over a list of hits). The
        deviations are at least `_MIN_DEVIATION`, since they divide. The own window of a told anchor is ahead of the
        others.
        """
        dense = vectors @ self.vectors.T
        lexical = (anchors.tokens[chosen] @ self.weights.T).toarray()
        fused = dense_weight * _standardized(dense) + (1 - dense_weight) * _standardized(lexical)
        told = np.flatnonzero(anchors.told[chosen])
        fused[told, anchors.own[chosen[told]]] = fused[told].max(axis=1) + _TOLD
        return fused.astype(np.float32), np.maximum(dense.std(axis=1), _MIN_DEVIATION)


def make_teacher(chunk_of_window: np.ndarray, vectors: Vectors, tokens: csr_array) -> Teacher:
    """Weigh the tokens of windows by BM25."""
    return Teacher(chunk_of_window, vectors, bm25_weights(tokens))


def visible_before_cut(anchors: csr_array, windows: csr_array, own: np.ndarray) -> np.ndarray:
    """Return whether the own window of each anchor contains most of its tokens; bool of shape (anchors,).

    ``anchors`` and ``windows`` are token counts, ``own`` is the window of each anchor as row of ``windows``.
    """
    visible = np.empty(len(own), bool)
    for start in range(0, len(own), _COMPARED):
        block = slice(start, start + _COMPARED)
        distinct = anchors[block] > 0
        shared = distinct.multiply(windows[own[block]] > 0).sum(axis=1)
        visible[block] = np.ravel(shared >= _VISIBLE_SHARE * np.maximum(distinct.sum(axis=1), 1))
    return visible


def draw_distillation_batches(
    teacher: Teacher,
    anchors: DistillationAnchors,
    encode: Callable[[np.ndarray], Vectors],
    seeds: np.ndarray,
    params: Distill,
    seed: int,
) -> FixedSchedule:
    """Draw the batches of a run: one of ``batch_size`` rows for each ``neighborhoods`` of the ``seeds``.

    ``seeds`` are indices of anchors; ``encode`` returns the vectors of anchors, given as ascending indices, and is
    asked for those that are drawn only. Every anchor of a batch is trained on all of its chunks, each by one window.
    Columns are ``anchor`` (B,), ``windows`` (B, W), ``teacher`` (B, W) and ``scale`` (B,); the last two are float32,
    and the teacher's scores of a chunk's other windows -inf.
    """
    vectors = _DrawnVectors(encode, seeds)
    drawn = _draw(teacher, anchors, vectors, seeds, params, np.random.default_rng(seed))
    vectors.add(np.concatenate([batch for batch, _ in drawn] or [seeds]))
    batches: list[Columns] = []
    for batch, windows in drawn:
        fused, scale = teacher.scores(anchors, batch, vectors.of(batch), params.dense_weight)
        batches.append(
            {
                "anchor": anchors.anchor[batch],
                "windows": np.broadcast_to(windows, (len(batch), len(windows))),
                "teacher": _one_window_each(fused[:, windows], windows, anchors.own[batch], teacher.chunk_of_window),
                "scale": scale,
            }
        )
    return FixedSchedule(batches, params.batch_size)


class _DrawnVectors:
    """The vectors of those anchors that were drawn: a large corpus has far more than its steps take."""

    def __init__(self, encode: Callable[[np.ndarray], Vectors], anchors: np.ndarray) -> None:
        self._encode, self._anchors = encode, np.unique(anchors)
        self._vectors = encode(self._anchors)

    def add(self, anchors: np.ndarray) -> None:
        """Encode those anchors that are not there yet."""
        new = np.setdiff1d(anchors, self._anchors)
        if not len(new):
            return
        order = np.argsort(np.concatenate([self._anchors, new]))
        self._vectors = Vectors(np.concatenate([self._vectors, self._encode(new)])[order])
        self._anchors = np.concatenate([self._anchors, new])[order]

    def of(self, anchors: np.ndarray) -> Vectors:
        """Return the vectors of anchors that were added, float32 of shape (anchors, dimensions)."""
        return Vectors(self._vectors[np.searchsorted(self._anchors, anchors)])


def _draw(
    teacher: Teacher,
    anchors: DistillationAnchors,
    vectors: _DrawnVectors,
    seeds: np.ndarray,
    params: Distill,
    random: np.random.Generator,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the anchors and the windows of each batch."""
    by_window = np.argsort(anchors.own, kind="stable")
    own = anchors.own[by_window]
    drawn: list[tuple[np.ndarray, np.ndarray]] = []
    for start in range(0, len(seeds), params.neighborhoods):
        first = seeds[start : start + params.neighborhoods]
        fused, _ = teacher.scores(anchors, first, vectors.of(first), params.dense_weight)
        near = [
            _near(scores, own_window, teacher.chunk_of_window, params, random)
            for scores, own_window in zip(fused, anchors.own[first], strict=True)
        ]
        windows = np.unique(np.concatenate(near))
        spans = zip(np.searchsorted(own, windows), np.searchsorted(own, windows, "right"), strict=True)
        others = [one for begin, end in spans for one in by_window[begin:end].tolist() if one not in first]
        missing = params.batch_size - len(first)
        more = random.choice(others or first, missing, replace=len(others) < missing)
        drawn.append((np.concatenate([first, more]).astype(np.int64), windows))
    return drawn


def _near(
    scores: np.ndarray, own: np.int64, chunk_of_window: np.ndarray, params: Distill, random: np.random.Generator
) -> np.ndarray:
    """Return an anchor's own window, some of the teacher's best of other chunks, one of each, and some random ones."""
    starts = np.flatnonzero(np.diff(chunk_of_window, prepend=-1))
    best_of_chunk = np.flatnonzero(scores == np.maximum.reduceat(scores, starts)[chunk_of_window])
    windows = best_of_chunk[np.unique(chunk_of_window[best_of_chunk], return_index=True)[1]]
    scores = scores[windows]
    depth = min(params.depth + 1, len(windows))
    best = np.argpartition(-scores, depth - 1)[:depth]
    best = windows[best[np.lexsort((best, -scores[best]))]]
    best = best[chunk_of_window[best] != chunk_of_window[own]][: params.depth]
    near = random.choice(best, min(params.candidates, len(best)), replace=False)
    return np.r_[own, near, windows[random.integers(0, len(windows), params.random)]]


def _one_window_each(
    scores: np.ndarray, windows: np.ndarray, own: np.ndarray, chunk_of_window: np.ndarray
) -> np.ndarray:
    """Return the teacher's scores of one window of each chunk, the others -inf; float32 of shape (B, W) as ``scores``.

    It is the anchor's own window, or the best one: windows of one chunk are not each other's negatives.
    """
    _, first, number = np.unique(chunk_of_window[windows], return_index=True, return_counts=True)
    rows, result = np.arange(len(scores)), scores.copy()
    preferred = np.where(windows == own[:, None], np.inf, scores)
    for start, count in zip(first[number > 1], number[number > 1], strict=True):
        of_chunk = slice(start, start + count)
        chosen = start + np.argmax(preferred[:, of_chunk], axis=1)
        result[:, of_chunk] = -np.inf
        result[rows, chosen] = scores[rows, chosen]
    return result


def _standardized(scores: np.ndarray) -> np.ndarray:
    return (scores - scores.mean(axis=1, keepdims=True)) / np.maximum(scores.std(axis=1, keepdims=True), _MIN_DEVIATION)


class DistillationCollator:
    """Collates rows of `draw_distillation_batches`: each distinct text once, with the teacher's scores as a matrix."""

    def __init__(
        self, store: TokenStore, window_ids: TextIds, fixed: bool, frozen: FrozenPassages | None = None
    ) -> None:
        """``window_ids`` has the text id of each window that the teacher ranks, ``frozen`` is as in `Collator`."""
        self._store, self._window_ids, self._fixed, self._frozen = store, window_ids, fixed, frozen

    def __call__(self, columns: Columns) -> Batch:
        """Return a batch with what `DistillLoss` needs."""
        queries, anchor = np.unique(columns["anchor"], return_inverse=True)
        windows, position = np.unique(columns["windows"], return_inverse=True)
        teacher = np.full((len(anchor), len(windows)), -np.inf, np.float32)
        np.put_along_axis(teacher, position.reshape(columns["windows"].shape), columns["teacher"], axis=1)
        rows = Rows(
            anchor=torch.from_numpy(anchor),
            teacher=torch.from_numpy(teacher),
            scale=torch.from_numpy(columns["scale"].astype(np.float32)),
        )
        passages = TextIds(self._window_ids[windows])
        return assemble(self._store, TextIds(queries), passages, self._fixed, rows, self._frozen)

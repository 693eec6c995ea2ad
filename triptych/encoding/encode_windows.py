"""Encode the windows of passages, and choose the one that answers an anchor."""

from collections.abc import Callable

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.encoding.encode_texts import encode
from triptych.encoding.frozen_passages import FrozenPassages
from triptych.encoding.vector_cache import VectorCache
from triptych.ids import TextIds
from triptych.models.precision import Precision
from triptych.retrieval.best_windows import WindowVectors
from triptych.tokens.token_store import TokenStore

# The window of each passage that a model finds closest to its anchor: text ids of anchors and passages → of windows.
Closest = Callable[[TextIds | np.ndarray, TextIds | np.ndarray], TextIds]


def encode_windows(
    model: SentenceTransformer,
    store: TokenStore,
    text_ids: TextIds | np.ndarray,
    precision: Precision,
    label: str,
    cache: VectorCache | None = None,
    frozen: FrozenPassages | None = None,
) -> tuple[WindowVectors, TextIds]:
    """Encode the windows of texts, as `encode` does; return their vectors by text, and the text id of each window.

    Where passages are ``frozen``, these are their vectors.
    """
    window_ids, position = store.windows_of(text_ids)
    vectors = frozen.of(window_ids) if frozen else encode(model, store, window_ids, precision, label, cache)
    return WindowVectors.of(vectors, position, len(text_ids)), window_ids


def have_windows(store: TokenStore, text_ids: TextIds | np.ndarray) -> bool:
    """Return whether any of these texts was cut into windows."""
    return len(store.windows_of(text_ids)[0]) > len(text_ids)


def closest_windows(
    model: SentenceTransformer,
    store: TokenStore,
    anchors: TextIds | np.ndarray,
    passages: TextIds | np.ndarray,
    precision: Precision,
    label: str,
    cache: VectorCache | None = None,
    frozen: FrozenPassages | None = None,
) -> TextIds:
    """Return for each pair of anchor and passage, given by text id, the window of the passage closest to the anchor.

    The window is given by its text id, int64; a passage without further windows is its own. Only texts of pairs whose
    passage has several windows are encoded, and of passages that are ``frozen`` none.
    """
    passage_ids, passage_rows = np.unique(passages, return_inverse=True)
    several = np.bincount(store.windows_of(passage_ids)[1], minlength=len(passage_ids)) > 1
    windows = np.asarray(passages, np.int64).copy()
    pairs = np.flatnonzero(several[passage_rows])
    if len(pairs):
        row_of = np.cumsum(several) - 1
        vectors, window_ids = encode_windows(model, store, passage_ids[several], precision, label, cache, frozen)
        anchor_ids, anchor_rows = np.unique(np.asarray(anchors)[pairs], return_inverse=True)
        anchor_vectors = encode(model, store, anchor_ids, precision, label, cache)
        best, _ = vectors.best(anchor_vectors, anchor_rows, row_of[passage_rows[pairs]])
        windows[pairs] = window_ids[best]
    return TextIds(windows)

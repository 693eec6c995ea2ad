"""Vectors of anchors and train chunks for mining: encoded once and cached for the next run."""

from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.encoding.encode_texts import encode
from triptych.encoding.encode_windows import encode_windows, have_windows
from triptych.encoding.vector_cache import VectorCache
from triptych.ids import ChunkRows, TextIds
from triptych.models.precision import Precision
from triptych.tokens.token_counts import TokenOverlap
from triptych.tokens.token_store import TokenStore
from triptych.triplets.examples import Examples
from triptych.triplets.mining.candidate_filter import WindowOverlap
from triptych.triplets.mining.hard_negatives import MiningVectors


def vectors_for_mining(
    model: SentenceTransformer,
    store: TokenStore,
    examples: Examples,
    passage_ids: TextIds,
    rows: ChunkRows,
    precision: Precision,
    cache_folder: Path | None = None,
) -> MiningVectors:
    """Encode the anchors and the windows of the chunks in ``rows``; ``passage_ids`` has the text id of every chunk."""
    cache = None if cache_folder is None else VectorCache(cache_folder, model, precision)
    anchors = encode(model, store, examples.anchor, precision, "mine: anchors", cache)
    windows, _ = encode_windows(model, store, passage_ids[rows], precision, "mine: chunks", cache)
    return MiningVectors(anchors, windows.vectors, rows, windows.starts)


def window_overlap(vectors: MiningVectors, store: TokenStore, passage_ids: TextIds) -> WindowOverlap | None:
    """Return how similar the tokens of two chunks' windows are that an anchor finds; None if all have one window.

    ``vectors`` are those that `vectors_for_mining` returns.
    """
    if not have_windows(store, passage_ids[vectors.rows]):
        return None
    window_ids, _ = store.windows_of(passage_ids[vectors.rows])
    tokens = TokenOverlap(store, window_ids)

    def overlap(examples: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return tokens.pairs(*(window_ids[vectors.best_windows(examples, chunks)[0]] for chunks in (left, right)))

    return overlap

"""Vectors of anchors and train chunks for mining: encoded once and cached for the next run."""

from pathlib import Path

from sentence_transformers import SentenceTransformer

from triptych.encoding.encode_texts import encode
from triptych.encoding.encode_windows import encode_windows, have_windows
from triptych.encoding.frozen_passages import FrozenPassages
from triptych.encoding.vector_cache import VectorCache
from triptych.ids import ChunkRows, TextIds
from triptych.models.precision import Precision
from triptych.tokens.token_counts import TokenOverlap
from triptych.tokens.token_store import TokenStore
from triptych.triplets.examples import Examples
from triptych.triplets.mining.candidate_filter import Overlap, WindowsFound
from triptych.triplets.mining.hard_negatives import MiningVectors


def vectors_for_mining(
    model: SentenceTransformer,
    store: TokenStore,
    examples: Examples,
    passage_ids: TextIds,
    rows: ChunkRows,
    precision: Precision,
    cache_folder: Path | None = None,
    frozen: FrozenPassages | None = None,
) -> MiningVectors:
    """Encode the anchors and the windows of the chunks in ``rows``; ``passage_ids`` has the text id of every chunk.

    The vectors of windows are those of the ``frozen`` passages where queries alone are tuned.
    """
    cache = None if cache_folder is None else VectorCache(cache_folder, model, precision)
    anchors = encode(model, store, examples.anchor, precision, "mine: anchors", cache)
    windows, _ = encode_windows(model, store, passage_ids[rows], precision, "mine: chunks", cache, frozen)
    return MiningVectors(anchors, windows.vectors, rows, windows.starts)


def windows_found(vectors: MiningVectors, store: TokenStore, passage_ids: TextIds) -> WindowsFound | None:
    """Return which window of a chunk an anchor finds, as text id; None if each chunk has one window.

    ``vectors`` are those that `vectors_for_mining` returns.
    """
    if not have_windows(store, passage_ids[vectors.rows]):
        return None
    window_ids, _ = store.windows_of(passage_ids[vectors.rows])
    return lambda examples, chunks: TextIds(window_ids[vectors.best_windows(examples, chunks)[0]])


def window_overlap(found: WindowsFound, vectors: MiningVectors, store: TokenStore, passage_ids: TextIds) -> Overlap:
    """Return how similar the tokens of two chunks are, in the windows that an anchor finds."""
    tokens = TokenOverlap(store, store.windows_of(passage_ids[vectors.rows])[0])
    return lambda examples, left, right: tokens.pairs(found(examples, left), found(examples, right))

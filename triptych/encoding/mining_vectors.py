"""What a model makes of anchors and train chunks, for mining: encoded once, kept for the next run."""

from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.encoding.encode_texts import encode
from triptych.encoding.vector_cache import VectorCache
from triptych.ids import ChunkRows, Vectors
from triptych.models.precision import Precision
from triptych.tokens.token_store import TokenStore
from triptych.triplets.examples import Examples
from triptych.triplets.mining.hard_negatives import MiningVectors


def vectors_for_mining(
    model: SentenceTransformer,
    store: TokenStore,
    examples: Examples,
    passages: np.ndarray,
    rows: ChunkRows,
    precision: Precision,
    cache: Path | None = None,
) -> MiningVectors:
    """Encode anchors and the chunks in ``rows``; ``passages`` holds the text id of every chunk of the corpus."""
    kept = None if cache is None else VectorCache(cache, model, precision)
    return MiningVectors(
        anchors=Vectors(encode(model, store, examples.anchor, precision, "mine: anchors", kept)),
        passages=Vectors(encode(model, store, passages[rows], precision, "mine: chunks", kept)),
        rows=rows,
    )

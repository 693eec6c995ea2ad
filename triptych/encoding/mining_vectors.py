"""Vectors of anchors and train chunks for mining: encoded once and cached for the next run."""

from pathlib import Path

from sentence_transformers import SentenceTransformer

from triptych.encoding.encode_texts import encode
from triptych.encoding.vector_cache import VectorCache
from triptych.ids import ChunkRows, TextIds
from triptych.models.precision import Precision
from triptych.tokens.token_store import TokenStore
from triptych.triplets.examples import Examples
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
    """Encode the anchors and the chunks in ``rows``; ``passage_ids`` has the text id of every chunk of the corpus."""
    cache = None if cache_folder is None else VectorCache(cache_folder, model, precision)
    return MiningVectors(
        anchors=encode(model, store, examples.anchor, precision, "mine: anchors", cache),
        passages=encode(model, store, passage_ids[rows], precision, "mine: chunks", cache),
        rows=rows,
    )

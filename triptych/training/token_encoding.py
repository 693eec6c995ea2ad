"""Text ids in, the vector of each of their tokens out: what late interaction compares."""

from contextlib import closing

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from triptych.retrieval.late import TokenVectors, coded
from triptych.tokens.store import TokenStore
from triptych.training.encoding import check_finite, forward, of_texts
from triptych.training.precision import Precision
from triptych.training.vector_cache import VectorCache, text_keys


def encode_tokens(
    model: SentenceTransformer,
    store: TokenStore,
    text_ids: np.ndarray,
    precision: Precision,
    label: str,
    cache: VectorCache | None = None,
) -> TokenVectors:
    """Encode each token of texts, as the model does before it pools them; in the order of ``text_ids``.

    ``cache`` is one of token vectors of the same model and precision. Raise `UserError` where a vector is not finite.
    """
    ids, of_id = np.unique(text_ids, return_inverse=True)
    keys, first, of_key = np.unique(text_keys(store, ids), return_index=True, return_inverse=True)
    ids = ids[first]
    lengths = store.lengths[ids]
    offsets = np.cumsum([0, *lengths], dtype=np.int64)
    codes = np.empty((offsets[-1], model[0].get_embedding_dimension()), np.int8)
    owner = np.repeat(np.arange(len(ids)), lengths)
    places = _token_keys(keys[owner], np.arange(len(owner)) - offsets[owner])
    known = np.zeros(len(places), bool) if cache is None else cache.read(places, codes)
    missing = np.flatnonzero(np.bincount(owner, ~known, len(ids)))
    features = of_texts(store, ids[missing])
    with closing(forward(model, lengths[missing], features, precision, (label, "texts"))) as made:
        for rows, out in made:
            states = torch.nn.functional.normalize(out["token_embeddings"][: len(rows)].float(), dim=-1).cpu().numpy()
            kept = out["attention_mask"][: len(rows)].cpu().numpy().astype(bool)
            each = np.split(states[kept], np.cumsum(lengths[missing[rows]])[:-1])
            check_finite(np.array([np.isfinite(vectors).all() for vectors in each]), label)
            for row, vectors in zip(missing[rows], each, strict=True):
                codes[offsets[row] : offsets[row + 1]] = coded(vectors)
    if cache is not None and len(missing):
        fresh = np.isin(owner, missing)
        cache.write(places[fresh], codes[fresh])
    return TokenVectors(codes, offsets).chosen(of_key[of_id])


def _token_keys(texts: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return keys of single tokens, S20, from the key of the text of each and its place in it."""
    keys = np.empty(len(texts), [("text", "S16"), ("place", ">u4")])
    keys["text"], keys["place"] = texts, places + 1  # not 0: trailing zeros are no part of an S20
    return keys.view("S20")

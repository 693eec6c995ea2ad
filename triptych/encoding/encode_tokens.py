"""Text ids in, the vector of each of their tokens out: what late interaction compares."""

from contextlib import closing

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from triptych.encoding.encode_texts import check_finite, forward, of_texts
from triptych.encoding.token_vector_cache import TokenCache
from triptych.encoding.vector_cache import text_keys
from triptych.models.precision import Precision
from triptych.retrieval.late_interaction import TokenVectors, coded
from triptych.tokens.token_store import TokenStore


def encode_tokens(
    model: SentenceTransformer,
    store: TokenStore,
    text_ids: np.ndarray,
    precision: Precision,
    label: str,
    cache: TokenCache | None = None,
) -> TokenVectors:
    """Encode each token of texts, as the model does before it pools them; in the order of ``text_ids``.

    What ``cache``, one of the same model and precision, holds is not encoded again. Raise `UserError` where a vector is
    not finite.
    """
    ids, of_id = np.unique(text_ids, return_inverse=True)
    keys, first, of_key = np.unique(text_keys(store, ids), return_index=True, return_inverse=True)
    ids = ids[first]
    found = list(cache.read(keys)) if cache is not None else [None] * len(keys)
    missing = np.array([row for row, codes in enumerate(found) if codes is None], np.int64)
    lengths, features = store.lengths[ids[missing]], of_texts(store, ids[missing])
    with closing(forward(model, lengths, features, precision, (label, "texts"))) as made:
        for rows, out in made:
            states = torch.nn.functional.normalize(out["token_embeddings"][: len(rows)].float(), dim=-1).cpu().numpy()
            kept = out["attention_mask"][: len(rows)].cpu().numpy().astype(bool)
            each = np.split(states[kept], np.cumsum(lengths[rows])[:-1])
            check_finite(np.array([np.isfinite(vectors).all() for vectors in each]), label)
            for row, vectors in zip(missing[rows].tolist(), each, strict=True):
                found[row] = coded(vectors)
    if cache is not None and len(missing):
        cache.write(keys[missing], TokenVectors.of([found[row] for row in missing]))
    return TokenVectors.of([found[row] for row in of_key[of_id]])

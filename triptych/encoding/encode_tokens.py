"""Encode texts of the token store into one vector for each token, which late interaction compares."""

import logging
from contextlib import closing

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from triptych.encoding.cache_keys import distinct_texts
from triptych.encoding.encode_texts import check_finite, forward_in_batches, text_features
from triptych.encoding.token_vector_cache import TokenVectorCache
from triptych.ids import TextIds
from triptych.models.precision import Precision
from triptych.retrieval.late_interaction import TokenVectors, coded
from triptych.tokens.token_store import TokenStore

log = logging.getLogger(__name__)


def encode_tokens(
    model: SentenceTransformer,
    store: TokenStore,
    text_ids: TextIds | np.ndarray,
    precision: Precision,
    label: str,
    cache: TokenVectorCache | None = None,
) -> TokenVectors:
    """Return the model's vectors of each text's tokens, as they are before pooling, in the order of ``text_ids``.

    Each distinct text is encoded once, and not at all if ``cache``, one of the same model and precision, contains it.
    ``label`` names the progress bar. Raise `UserError` if a vector is not finite.
    """
    texts = distinct_texts(store, text_ids)
    codes = [None] * len(texts.ids) if cache is None else list(cache.read(texts.keys))
    missing = np.array([row for row, cached in enumerate(codes) if cached is None], np.int64)
    log.info("%s: encoding %d of %d texts", label, len(missing), len(texts.ids))
    lengths, features = store.lengths[texts.ids[missing]], text_features(store, texts.ids[missing])
    with closing(forward_in_batches(model, lengths, features, _token_vectors, precision, label, "texts")) as outputs:
        for rows, (vectors, mask) in outputs:
            per_text = np.split(vectors[: len(rows)][mask[: len(rows)]], np.cumsum(lengths[rows])[:-1])
            check_finite(np.array([np.isfinite(one).all() for one in per_text]), label)
            for row, one in zip(missing[rows].tolist(), per_text, strict=True):
                codes[row] = coded(one)
    if cache is not None and len(missing):
        cache.write(texts.keys[missing], TokenVectors.of([codes[row] for row in missing]))
    return TokenVectors.of([codes[row] for row in texts.positions])


def _token_vectors(output: dict[str, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Return unit vectors (texts, width, dimensions) of a batch's tokens, and where they are not padding."""
    vectors = torch.nn.functional.normalize(output["token_embeddings"].float(), dim=-1)
    return vectors.cpu().numpy(), output["attention_mask"].cpu().numpy().astype(bool)

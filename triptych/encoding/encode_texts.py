"""Encode texts of the token store into unit vectors, sorted by length, in batches of about equal work."""

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import closing

import numpy as np
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

from triptych.encoding.cache_keys import distinct_texts
from triptych.encoding.vector_cache import VectorCache
from triptych.errors import UserError
from triptych.ids import TextIds, Vectors
from triptych.models.precision import Precision, autocast
from triptych.progress import progress
from triptych.tokens.token_store import PAD_TO, TokenStore

log = logging.getLogger(__name__)
TOKENS_PER_BATCH = {"cpu": 1_024, "cuda": 32_768}  # on a CPU larger batches are not faster


def encode(
    model: SentenceTransformer,
    store: TokenStore,
    text_ids: TextIds | np.ndarray,
    precision: Precision,
    label: str,
    cache: VectorCache | None = None,
) -> Vectors:
    """Encode texts; return float32 of shape (texts, dimensions), rows of length 1, in the order of ``text_ids``.

    Each distinct text is encoded once. Vectors that ``cache``, one of the same model and precision, contains are read
    from it; the others are added to it. ``label`` names the progress bar. Raise `UserError` if a vector is not finite.
    """
    texts = distinct_texts(store, text_ids)
    vectors = np.empty((len(texts.ids), model.get_embedding_dimension()), dtype=np.float32)
    cached = np.zeros(len(texts.ids), bool) if cache is None else cache.read(texts.keys, vectors)
    missing = np.flatnonzero(~cached)
    log.info("%s: encoding %d of %d texts", label, len(missing), len(texts.ids))
    if len(missing):
        vectors[missing] = _sentence_vectors(model, store, TextIds(texts.ids[missing]), precision, label)
        check_finite(np.asarray(np.isfinite(vectors[missing]).all(axis=1)), label)
        if cache is not None:
            cache.write(texts.keys[missing], vectors[missing])
    return Vectors(vectors[texts.positions])


def check_finite(finite: np.ndarray, label: str) -> None:
    """Raise `UserError` unless all texts have a finite vector; ``finite`` is bool of shape (texts,)."""
    if not finite.all():
        raise UserError(
            f"{label}: the model gives {(~finite).sum()} of {len(finite)} texts a vector that is not finite; set"
            " train.precision: fp32, or train the round again with a lower learning_rate (rounds.train)"
        )


def text_features(store: TokenStore, text_ids: TextIds | np.ndarray) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Return a function, for `forward_in_batches`, that gives the model's inputs for some rows of ``text_ids``."""
    return lambda rows: dict(zip(("input_ids", "attention_mask"), store.pad(text_ids[rows]), strict=True))


def forward_in_batches(
    model: SentenceTransformer | CrossEncoder,
    lengths: np.ndarray,
    features: Callable[[np.ndarray], dict[str, np.ndarray]],
    precision: Precision,
    label: str,
    unit: str,
) -> Generator[tuple[np.ndarray, dict[str, torch.Tensor]]]:
    """Yield rows of texts or pairs with the model's outputs for them; the outputs may have padding rows at the end.

    ``lengths`` are in tokens, ``features`` returns the model's inputs for some rows, ``label`` and ``unit`` are those
    of the progress bar. Close the generator if you leave it early.
    """
    device = model.device
    model.eval()
    with torch.inference_mode(), autocast(precision, device), progress(label, len(lengths), unit) as done:
        for rows, size in batches(lengths, TOKENS_PER_BATCH.get(device.type, 8_192)):
            inputs = features(np.resize(rows, size))
            yield rows, model({name: torch.from_numpy(array).to(device) for name, array in inputs.items()})
            done(len(rows))


def _sentence_vectors(
    model: SentenceTransformer, store: TokenStore, text_ids: TextIds, precision: Precision, label: str
) -> np.ndarray:
    vectors = np.empty((len(text_ids), model.get_embedding_dimension()), dtype=np.float32)
    features = text_features(store, text_ids)
    with closing(forward_in_batches(model, store.lengths[text_ids], features, precision, label, "texts")) as outputs:
        for rows, output in outputs:
            pooled = output["sentence_embedding"][: len(rows)]
            vectors[rows] = torch.nn.functional.normalize(pooled.float(), dim=-1).cpu().numpy()
    return vectors


def batches(lengths: np.ndarray, tokens: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the rows of each batch and the size to pad it to, longest first (memory runs out at once or never).

    All texts of a batch have the same padded width, and all batches of a width the same size, at most ``tokens``
    tokens. A text's vector is therefore computed by the same operations whatever other texts are in the batch, and is
    equal to the last bit.
    """
    order = np.argsort(-lengths, kind="stable")
    widths = -(-lengths[order] // PAD_TO)
    for same in np.split(order, np.flatnonzero(np.diff(widths)) + 1):
        size = max(1, tokens // (int(-(-lengths[same[0]] // PAD_TO)) * PAD_TO)) if len(same) else 1
        for start in range(0, len(same), size):
            yield same[start : start + size], size

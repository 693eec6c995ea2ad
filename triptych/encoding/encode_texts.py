"""Text ids in, unit vectors out: from the token store, sorted by length, in batches of about equal work."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing

import numpy as np
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

from triptych.encoding.vector_cache import VectorCache, text_keys
from triptych.errors import UserError
from triptych.models.precision import Precision, autocast
from triptych.progress import progress
from triptych.tokens.token_store import PAD_TO, TokenStore

TOKENS_PER_BATCH = {"cpu": 1_024, "cuda": 32_768}  # on a CPU more is no faster


def encode(
    model: SentenceTransformer,
    store: TokenStore,
    text_ids: np.ndarray,
    precision: Precision,
    label: str,
    cache: VectorCache | None = None,
) -> np.ndarray:
    """Encode texts; return float32 of shape (texts, dimensions), rows of length 1, in the order of ``text_ids``.

    Each distinct text is encoded once, and not at all where ``cache``, one of the same model and precision, holds it.
    ``label`` names the progress bar. Raise `UserError` where a vector is not finite.
    """
    ids, of_id = np.unique(text_ids, return_inverse=True)
    keys, first, of_key = np.unique(text_keys(store, ids), return_index=True, return_inverse=True)
    ids = ids[first]
    vectors = np.empty((len(ids), model.get_embedding_dimension()), dtype=np.float32)
    missing = np.arange(len(ids)) if cache is None else np.flatnonzero(~cache.read(keys, vectors))
    if len(missing):
        vectors[missing] = _encoded(model, store, ids[missing], precision, label)
        check_finite(np.asarray(np.isfinite(vectors[missing]).all(axis=1)), label)
        if cache is not None:
            cache.write(keys[missing], vectors[missing])
    return vectors[of_key[of_id]]


def check_finite(finite: np.ndarray, label: str) -> None:
    """Raise `UserError` where not all of some texts, bool of shape (texts,), have a finite vector."""
    if not finite.all():
        raise UserError(
            f"{label}: the model gives {(~finite).sum()} of {len(finite)} texts a vector that is not finite; set"
            " train.precision: fp32, or train the round anew at a lower learning_rate (rounds.train)"
        )


def of_texts(store: TokenStore, text_ids: np.ndarray) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Return what makes the input of a model of some of the texts, by their rows, as `forward` asks for it."""
    return lambda rows: dict(zip(("input_ids", "attention_mask"), store.pad(text_ids[rows]), strict=True))


def forward(
    model: SentenceTransformer | CrossEncoder,
    lengths: np.ndarray,
    features: Callable[[np.ndarray], dict[str, np.ndarray]],
    precision: Precision,
    progress_of: tuple[str, str],
) -> Generator[tuple[np.ndarray, dict[str, torch.Tensor]]]:
    """Yield rows of texts or pairs, and what the model makes of them: of a batch that may be filled up behind these.

    ``lengths`` are in tokens, ``features`` makes the input of some rows, ``progress_of`` are the label and the unit of
    the progress bar. To be closed when it is left early.
    """
    place = model.device
    model.eval()
    with (
        torch.inference_mode(),
        autocast(precision, place),
        progress(progress_of[0], len(lengths), progress_of[1]) as done,
    ):
        for rows, size in batches(lengths, TOKENS_PER_BATCH.get(place.type, 8_192)):
            made = features(np.resize(rows, size))
            yield rows, model({name: torch.from_numpy(one).to(place) for name, one in made.items()})
            done(len(rows))


def _encoded(
    model: SentenceTransformer, store: TokenStore, text_ids: np.ndarray, precision: Precision, label: str
) -> np.ndarray:
    vectors = np.empty((len(text_ids), model.get_embedding_dimension()), dtype=np.float32)
    lengths, features = store.lengths[text_ids], of_texts(store, text_ids)
    with closing(forward(model, lengths, features, precision, (label, "texts"))) as made:
        for rows, out in made:
            pooled = out["sentence_embedding"][: len(rows)]
            vectors[rows] = torch.nn.functional.normalize(pooled.float(), dim=-1).cpu().numpy()
    return vectors


def batches(lengths: np.ndarray, tokens: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield rows and the size to fill the batch up to, longest first (memory runs out at once or not at all).

    Texts of a batch have the same padded width, and batches of a width the same size, within ``tokens``: what computes
    a text's vector does not depend on the texts beside it, so that it comes out the same to the last bit.
    """
    order = np.argsort(-lengths, kind="stable")
    widths = -(-lengths[order] // PAD_TO)
    for same in np.split(order, np.flatnonzero(np.diff(widths)) + 1):
        size = max(1, tokens // (int(-(-lengths[same[0]] // PAD_TO)) * PAD_TO)) if len(same) else 1
        for start in range(0, len(same), size):
            yield same[start : start + size], size

"""Vectors of passages that training does not change: those of the base model, where queries alone are tuned."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.encoding.encode_texts import encode
from triptych.encoding.vector_cache import VectorCache
from triptych.ids import TextIds, Vectors
from triptych.models.precision import Precision
from triptych.tokens.token_store import TokenStore


@dataclass(frozen=True, slots=True)
class FrozenPassages:
    """The vectors of some texts and of their windows, by text id."""

    text_ids: TextIds  # ascending, distinct
    vectors: Vectors  # float32, shape (texts, dimensions)

    def of(self, text_ids: TextIds | np.ndarray) -> Vectors:
        """Return the vectors of some of the texts, in their order; raise KeyError where one is not among them."""
        rows = np.minimum(np.searchsorted(self.text_ids, text_ids), len(self.text_ids) - 1)
        if len(missing := np.setdiff1d(text_ids, self.text_ids)):
            raise KeyError(f"no vector of {len(missing)} texts, the first with id {missing[0]}")
        return Vectors(self.vectors[rows])


def encode_frozen(
    base: SentenceTransformer,
    store: TokenStore,
    texts: np.ndarray,
    precision: Precision,
    cache_folder: Path | None = None,
) -> FrozenPassages:
    """Encode texts, given by id, and their windows with the base model; vectors in the cache are read from it."""
    cache = None if cache_folder is None else VectorCache(cache_folder, base, precision)
    text_ids = TextIds(np.unique(store.windows_of(np.unique(texts))[0]))
    return FrozenPassages(text_ids, encode(base, store, text_ids, precision, "passages, by the base model", cache))

"""Text ids in, unit vectors out: from the token store, sorted by length, in batches of about equal work."""

from collections.abc import Iterator

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from tqdm import tqdm

from triptych.tokens.store import TokenStore
from triptych.training.precision import Precision, autocast

_TOKENS_PER_BATCH = {"cpu": 4_096, "cuda": 32_768}  # on a CPU more no longer fits its cache


def encode(
    model: SentenceTransformer, store: TokenStore, text_ids: np.ndarray, precision: Precision, label: str
) -> np.ndarray:
    """Encode texts; return float32 of shape (texts, dimensions), rows of length 1, in the order of ``text_ids``.

    Each distinct text is encoded once. ``label`` names the progress bar.
    """
    distinct, inverse = np.unique(text_ids, return_inverse=True)
    vectors = np.empty((len(distinct), model.get_embedding_dimension()), dtype=np.float32)
    place = model.device
    model.eval()
    with (
        torch.inference_mode(),
        autocast(precision, place),
        tqdm(total=len(distinct), desc=label, leave=False) as bar,
    ):
        for rows in _batches(store.lengths[distinct], _TOKENS_PER_BATCH.get(place.type, 8_192)):
            input_ids, mask = store.pad(distinct[rows])
            features = {"input_ids": torch.from_numpy(input_ids), "attention_mask": torch.from_numpy(mask)}
            out = model({key: value.to(place) for key, value in features.items()})["sentence_embedding"]
            vectors[rows] = torch.nn.functional.normalize(out.float(), dim=-1).cpu().numpy()
            bar.update(len(rows))
    return vectors[inverse]


def _batches(lengths: np.ndarray, tokens: int) -> Iterator[np.ndarray]:
    """Yield rows, longest first (memory runs out at once or not at all), each batch within ``tokens``."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, tokens // int(lengths[order[start]]))
        yield order[start : start + size]
        start += size

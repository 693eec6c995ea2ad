"""What both vector caches share: keys of texts, the fingerprint of a model, and how a file is written."""

import os
from hashlib import blake2b, sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from triptych.ids import TextIds
from triptych.models.precision import Precision
from triptych.tokens.token_store import TokenStore


class DistinctTexts(NamedTuple):
    """Some texts without repetitions, sorted by key."""

    ids: TextIds  # one id for each distinct sequence of tokens
    keys: np.ndarray  # S16, shape (distinct texts,), as `text_keys` returns them
    positions: np.ndarray  # int, shape (texts,): position in ``ids`` of each text that was given


def distinct_texts(store: TokenStore, text_ids: TextIds | np.ndarray) -> DistinctTexts:
    """Return each text once; texts with the same tokens are the same text."""
    ids, index_of_id = np.unique(text_ids, return_inverse=True)
    keys, first, index_of_key = np.unique(text_keys(store, ids), return_index=True, return_inverse=True)
    return DistinctTexts(TextIds(ids[first]), keys, index_of_key[index_of_id])


def text_keys(store: TokenStore, text_ids: TextIds | np.ndarray) -> np.ndarray:
    """Return a hash of each text's tokens, S16: they are all that a model gets of it."""
    return np.array([blake2b(store[int(one)].tobytes(), digest_size=16).digest() for one in text_ids], "S16")


def model_fingerprint(model: SentenceTransformer, precision: Precision) -> str:
    """Return a hash of all that decides a vector beside the text: weights, architecture, precision, PyTorch, device."""
    digest = sha256(f"{model}{model[0].model.config}{precision}{model.device.type}{torch.__version__}".encode())
    for name, weight in model.state_dict().items():
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]


def shard_name(keys: np.ndarray) -> str:
    """Return the file name, without a suffix, of the shard that contains the texts with these keys."""
    return sha256(keys.tobytes()).hexdigest()[:32]


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an array and move it into place whole: a killed process leaves only a file that ends in ``.partial``."""
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.save(file, array)
    os.replace(partial, path)  # noqa: PTH105

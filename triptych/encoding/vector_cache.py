"""Vectors kept between runs, by model and text: what was encoded once is read back, bit for bit.

The cache changes nothing but time: a text has the same vector beside any others (see
`triptych.encoding.encode_texts`), so that a run gives the same results with a full cache, a part of one, or none. A
folder for each model holds shards that are written once, under a name made from their content, and moved into place
whole: a killed process leaves no half-written shard, and two writers of the same vectors write the same file. When all
shards together exceed a limit, the least recently used are removed.
"""

import os
from contextlib import suppress
from hashlib import blake2b, sha256
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from triptych.models.precision import Precision
from triptych.tokens.token_store import TokenStore

LIMIT = 4 * 2**30  # bytes, the vectors of all models together


class VectorCache:
    """The vectors of one model in one precision."""

    def __init__(self, root: Path, model: SentenceTransformer, precision: Precision, limit: int = LIMIT) -> None:
        self._root, self._limit = root, limit
        self._folder = root / fingerprint(model, precision)

    def read(self, keys: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """Fill in the rows of ``vectors`` that are known; return which they are, bool of shape (keys,).

        ``keys`` are distinct, as `text_keys` makes them; ``vectors`` are float32 of shape (keys, dimensions).
        """
        known = np.zeros(len(keys), bool)
        for shard in sorted(self._folder.glob("*.npy")):
            try:
                stored = np.load(shard, mmap_mode="r")
            except (FileNotFoundError, EOFError, ValueError):
                continue  # cleared away by another run, or cut off with the machine: as good as not there
            _, here, there = np.intersect1d(keys, stored["key"], assume_unique=True, return_indices=True)
            if len(here):
                vectors[here], known[here] = stored["vector"][there], True
                shard.touch()
        return known

    def write(self, keys: np.ndarray, vectors: np.ndarray) -> None:
        """Keep vectors, as one more shard."""
        self._folder.mkdir(parents=True, exist_ok=True)
        shard = np.empty(len(keys), [("key", keys.dtype), ("vector", np.float32, vectors.shape[1:])])
        shard["key"], shard["vector"] = keys, vectors
        path = self._folder / f"{sha256(keys.tobytes()).hexdigest()[:32]}.npy"
        partial = path.with_suffix(f".{os.getpid()}.partial")
        with partial.open("wb") as file:
            np.save(file, shard)
        os.replace(partial, path)  # noqa: PTH105
        self._clear()

    def _clear(self) -> None:
        """Remove what was used longest ago, and what killed runs left, until the rest is within the limit."""
        total = 0
        for path in sorted(self._root.glob("*/*"), key=_used, reverse=True):
            with suppress(OSError):  # another run was faster, or (Windows) is reading it
                total += path.stat().st_size
                if total > self._limit:
                    path.unlink()


def _used(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime_ns
    return 0


def text_keys(store: TokenStore, text_ids: np.ndarray) -> np.ndarray:
    """Return a hash of each text's tokens, S16: all that a model sees of it."""
    return np.array([blake2b(store[int(one)].tobytes(), digest_size=16).digest() for one in text_ids], "S16")


def fingerprint(model: SentenceTransformer, precision: Precision) -> str:
    """Return what decides a vector beside the text: weights, architecture, precision, and what computes."""
    found = sha256(f"{model}{model[0].model.config}{precision}{model.device.type}{torch.__version__}".encode())
    for name, weight in model.state_dict().items():
        found.update(name.encode())
        found.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()[:32]

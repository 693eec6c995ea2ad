"""A cache of vectors on disk, by model and text: a text that was encoded once is read back, bit for bit.

The cache only saves time: a text's vector does not depend on the texts beside it (`triptych.encoding.encode_texts`),
so a run gives the same results with a full, a partial or an empty cache. Each model has a folder of shards, which are
written once and never changed. A shard's name is a hash of its keys, so that two processes that write the same vectors
write the same file. When all shards together exceed a limit, the least recently used are removed.
"""

from contextlib import suppress
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.encoding.cache_keys import model_fingerprint, shard_name, write_array
from triptych.models.precision import Precision

LIMIT = 4 * 2**30  # bytes, the vectors of all models together


class VectorCache:
    """The vectors of one model in one precision."""

    def __init__(self, root: Path, model: SentenceTransformer, precision: Precision, limit: int = LIMIT) -> None:
        self._root, self._limit = root, limit
        self._folder = root / model_fingerprint(model, precision)

    def read(self, keys: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """Fill in the rows of ``vectors`` that are cached; return which ones are, bool of shape (keys,).

        ``keys`` are distinct, as `distinct_texts` returns them; ``vectors`` are float32 of shape (keys, dimensions).
        """
        cached = np.zeros(len(keys), bool)
        for path in sorted(self._folder.glob("*.npy")):
            try:
                shard = np.load(path, mmap_mode="r")
            except (FileNotFoundError, EOFError, ValueError):
                continue  # removed by another process, or truncated when the machine went down: treat as missing
            _, rows, shard_rows = np.intersect1d(keys, shard["key"], assume_unique=True, return_indices=True)
            if len(rows):
                vectors[rows], cached[rows] = shard["vector"][shard_rows], True
                path.touch()
        return cached

    def write(self, keys: np.ndarray, vectors: np.ndarray) -> None:
        """Add vectors as one more shard."""
        self._folder.mkdir(parents=True, exist_ok=True)
        shard = np.empty(len(keys), [("key", keys.dtype), ("vector", np.float32, vectors.shape[1:])])
        shard["key"], shard["vector"] = keys, vectors
        write_array(self._folder / f"{shard_name(keys)}.npy", shard)
        self._remove_least_recently_used()

    def _remove_least_recently_used(self) -> None:
        """Remove files, partial ones of killed processes among them, until the rest is within the limit."""
        total = 0
        for path in sorted(self._root.glob("*/*"), key=_last_used, reverse=True):
            with suppress(OSError):  # another process removed it first, or (Windows) is reading it
                total += path.stat().st_size
                if total > self._limit:
                    path.unlink()


def _last_used(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime_ns
    return 0

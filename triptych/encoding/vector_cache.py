"""A cache of vectors on disk, by model and text: a text that was encoded once is read back, bit for bit.

The cache only saves time: a text's vector does not depend on the texts beside it (`triptych.encoding.encode_texts`),
so a run gives the same results with a full, a partial or an empty cache. Each model has a folder of shards, which are
written once and never changed. A shard's name is a hash of its keys, so that two processes that write the same vectors
write the same file. A row has a checksum: a damaged one is computed again, and a folder that cannot be read or written
costs time, not the run. When all shards together exceed a limit, the least recently used are removed.
"""

import logging
from contextlib import suppress
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.encoding.cache_keys import (
    UNREADABLE,
    checksums,
    model_fingerprint,
    open_array,
    remove_damaged,
    shard_name,
    write_array,
)
from triptych.errors import first_line
from triptych.models.precision import Precision

log = logging.getLogger(__name__)
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
        row = _row(keys, vectors)
        for path in sorted(self._folder.glob("*.npy")):
            try:
                shard = open_array(path, row)
                _, rows, shard_rows = np.intersect1d(keys, shard["key"], assume_unique=True, return_indices=True)
                found, sums = shard["vector"][shard_rows], shard["check"][shard_rows]
                whole = checksums(keys[rows], found) == sums
                vectors[rows[whole]], cached[rows[whole]] = found[whole], True
            except UNREADABLE as error:
                remove_damaged(path, error)
                continue
            if not whole.all():
                log.warning("%s: %d damaged vectors are computed again", path, np.sum(~whole))
            if len(rows):
                with suppress(OSError):  # a cache that others own is used all the same
                    path.touch() if whole.all() else path.unlink()
        return cached

    def write(self, keys: np.ndarray, vectors: np.ndarray) -> None:
        """Add vectors as one more shard; print a warning if that is not possible."""
        shard = np.empty(len(keys), _row(keys, vectors))
        shard["key"], shard["check"], shard["vector"] = keys, checksums(keys, vectors), vectors
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_array(self._folder / f"{shard_name(keys)}.npy", shard)
        except OSError as error:
            log.warning("%s cannot be written (%s); vectors are not cached", self._folder, first_line(error))
        self._remove_least_recently_used()

    def _remove_least_recently_used(self) -> None:
        """Remove files, partial ones of killed processes among them, until the rest is within the limit."""
        total = 0
        for path in sorted(self._root.glob("*/*"), key=_last_used, reverse=True):
            with suppress(OSError):  # another process removed it first, or (Windows) is reading it
                total += path.stat().st_size
                if total > self._limit:
                    path.unlink()


def _row(keys: np.ndarray, vectors: np.ndarray) -> np.dtype:
    return np.dtype([("key", keys.dtype), ("check", np.uint32), ("vector", np.float32, vectors.shape[1:])])


def _last_used(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime_ns
    return 0

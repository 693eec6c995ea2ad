"""Token vectors kept between runs, by model and text, as `triptych.encoding.vector_cache` keeps those of texts.

They are some fifty times as large, so they have a folder and a limit of their own: what other runs used longest ago
makes room, what this run has used stays, and where that fills the limit no more is kept. A shard is the codes of some
texts and an index, written last, of where each begins.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.encoding.vector_cache import fingerprint
from triptych.models.precision import Precision
from triptych.retrieval.late_interaction import TokenVectors

LIMIT = 8 * 2**30  # bytes, those of all models together
_CODES, _TEXTS = ".codes.npy", ".texts.npy"
_NOT_THERE = (OSError, EOFError, ValueError)  # cleared away by another run, or cut off with the machine


class TokenCache:
    """The token vectors of one model in one precision."""

    def __init__(self, root: Path, model: SentenceTransformer, precision: Precision, limit: int = LIMIT) -> None:
        self._root, self._limit = root / "tokens", limit
        self._folder = self._root / fingerprint(model, precision)
        self._used: dict[Path, np.ndarray] = {}  # codes by the index of their shard

    def read(self, keys: np.ndarray) -> Iterator[np.ndarray | None]:
        """Yield the codes of each text, int8 of shape (tokens, dimensions), mapped from the disk; None if not known."""
        for key in keys.tolist():
            index, first, last = self._places.get(key, (None, 0, 0))
            codes = self._codes(index) if index else None
            yield None if codes is None else codes[first:last]

    def write(self, keys: np.ndarray, tokens: TokenVectors) -> None:
        """Keep the token vectors of some texts, one key each, as one more shard; not where there is no room."""
        if not self._make_room(tokens.codes.nbytes):
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        index = self._folder / f"{sha256(keys.tobytes()).hexdigest()[:32]}{_TEXTS}"
        texts = np.empty(len(keys), [("key", keys.dtype), ("first", np.int64), ("last", np.int64)])
        texts["key"], texts["first"], texts["last"] = keys, tokens.offsets[:-1], tokens.offsets[1:]
        for path, values in ((_codes_of(index), tokens.codes), (index, texts)):
            partial = path.with_suffix(f".{os.getpid()}.partial")
            with partial.open("wb") as file:
                np.save(file, values)
            os.replace(partial, path)  # noqa: PTH105
        self._codes(index)

    @cached_property
    def _places(self) -> dict[bytes, tuple[Path, int, int]]:
        """Return where each text is: the index of its shard, and rows of its codes."""
        found: dict[bytes, tuple[Path, int, int]] = {}
        for index in sorted(self._folder.glob(f"*{_TEXTS}")):
            with suppress(*_NOT_THERE):
                found |= {key: (index, first, last) for key, first, last in np.load(index).tolist()}
        return found

    def _codes(self, index: Path) -> np.ndarray | None:
        if index not in self._used:
            with suppress(*_NOT_THERE):
                self._used[index] = np.load(_codes_of(index), mmap_mode="r")
                index.touch()
        return self._used.get(index)

    def _make_room(self, wanted: int) -> bool:
        sizes = {}
        for index in self._root.glob(f"*/*{_TEXTS}"):
            with suppress(OSError):
                sizes[index] = (index.stat().st_mtime_ns, _codes_of(index).stat().st_size)
        total = wanted + sum(size for _, size in sizes.values())
        for index, (_, size) in sorted(sizes.items(), key=lambda one: one[1]):
            if total > self._limit and index not in self._used:
                with suppress(OSError):
                    index.unlink()
                    _codes_of(index).unlink()
                    total -= size
        return total <= self._limit


def _codes_of(index: Path) -> Path:
    return index.with_name(index.name.removesuffix(_TEXTS) + _CODES)

"""A cache of token vectors on disk, by model and text, like `triptych.encoding.vector_cache` for whole texts.

They are some fifty times as large, so they have a folder and a limit of their own: shards that other runs used least
recently are removed to make room, those that this run has used are kept, and when these fill the limit nothing more is
cached. A shard consists of the codes of some texts and of an index, written last, with the rows of each text and their
checksum.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.encoding.cache_keys import UNREADABLE, checksums, model_fingerprint, shard_name, write_array
from triptych.errors import first_line
from triptych.models.precision import Precision
from triptych.retrieval.late_interaction import TokenVectors

log = logging.getLogger(__name__)
LIMIT = 8 * 2**30  # bytes, the token vectors of all models together
_CODES, _INDEX = ".codes.npy", ".texts.npy"


class TokenVectorCache:
    """The token vectors of one model in one precision."""

    def __init__(self, root: Path, model: SentenceTransformer, precision: Precision, limit: int = LIMIT) -> None:
        self._root, self._limit = root / "tokens", limit
        self._folder = self._root / model_fingerprint(model, precision)
        self._open_codes: dict[Path, np.ndarray] = {}  # by the path of the shard's index; those that this run has used

    def read(self, keys: np.ndarray) -> Iterator[np.ndarray | None]:
        """Yield the codes of each text, int8 of shape (tokens, dimensions), memory-mapped; None if it is not cached."""
        for key in keys.tolist():
            index, first, last, check = self._rows_of_key.get(key, (None, 0, 0, 0))
            codes = self._codes(index) if index else None
            if codes is not None and _checksum(key, codes[first:last]) != check:
                log.warning("%s: damaged token vectors are computed again", index)
                codes = None
            yield None if codes is None else codes[first:last]

    def write(self, keys: np.ndarray, tokens: TokenVectors) -> None:
        """Add the token vectors of some texts, one key for each, as one more shard; do nothing if there is no room."""
        if not self._make_room(tokens.codes.nbytes):
            return
        index = self._folder / f"{shard_name(keys)}{_INDEX}"
        names = ("first", "last", "check")
        texts = np.empty(len(keys), [("key", keys.dtype), *((name, np.int64) for name in names)])
        texts["key"], texts["first"], texts["last"] = keys, tokens.offsets[:-1], tokens.offsets[1:]
        texts["check"] = checksums(keys, (tokens.codes[first:last] for first, last in pairwise(tokens.offsets)))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_array(_codes_path(index), tokens.codes)
            write_array(index, texts)
        except OSError as error:
            log.warning("%s cannot be written (%s); token vectors are not cached", self._folder, first_line(error))
            return
        self._codes(index)

    @cached_property
    def _rows_of_key(self) -> dict[bytes, tuple[Path, int, int, int]]:
        """Return by key the path of the shard's index, the text's first row in the codes, the one after, its CRC."""
        rows: dict[bytes, tuple[Path, int, int, int]] = {}
        for index in sorted(self._folder.glob(f"*{_INDEX}")):
            with suppress(*UNREADABLE):
                rows |= {key: (index, *of_text) for key, *of_text in np.load(index, mmap_mode="r").tolist()}
        return rows

    def _codes(self, index: Path) -> np.ndarray | None:
        if index not in self._open_codes:
            with suppress(*UNREADABLE):
                self._open_codes[index] = np.load(_codes_path(index), mmap_mode="r")
                with suppress(OSError):
                    index.touch()
        return self._open_codes.get(index)

    def _make_room(self, new_bytes: int) -> bool:
        """Remove least recently used shards until ``new_bytes`` more fit into the limit; return whether they do."""
        shards = {}
        for index in self._root.glob(f"*/*{_INDEX}"):
            with suppress(OSError):
                shards[index] = (index.stat().st_mtime_ns, _codes_path(index).stat().st_size)
        total = new_bytes + sum(size for _, size in shards.values())
        for index, (_, size) in sorted(shards.items(), key=lambda item: item[1]):
            if total > self._limit and index not in self._open_codes:
                with suppress(OSError):
                    _codes_path(index).unlink()  # first: on Windows it fails while another process reads them
                    index.unlink()
                    total -= size
        return total <= self._limit


def _checksum(key: bytes, codes: np.ndarray) -> int:
    return int(checksums(np.array([key], "S16"), [codes])[0])


def _codes_path(index: Path) -> Path:
    return index.with_name(index.name.removesuffix(_INDEX) + _CODES)

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
from triptych.retrieval.late_interaction import TokenVectors

log = logging.getLogger(__name__)
LIMIT = 8 * 2**30  # bytes, the token vectors of all models together
_CODES, _INDEX = ".codes.npy", ".texts.npy"
_ROW = np.dtype([("key", "S16"), ("first", np.int64), ("last", np.int64), ("check", np.int64)])  # a text in an index


class TokenVectorCache:
    """The token vectors of one model in one precision."""

    def __init__(self, root: Path, model: SentenceTransformer, precision: Precision, limit: int = LIMIT) -> None:
        self._root, self._limit = root / "tokens", limit
        self._folder = self._root / model_fingerprint(model, precision)
        self._open_codes: dict[Path, np.ndarray | None] = {}  # by the path of the index, of shards that this run uses

    def read(self, keys: np.ndarray) -> Iterator[np.ndarray | None]:
        """Yield the codes of each text, int8 of shape (tokens, dimensions), memory-mapped; None if it is not cached."""
        for key in keys.tolist():
            if key not in self._rows_of_key:
                yield None
                continue
            index, first, last, check = self._rows_of_key[key]
            codes = self._codes(index)
            if codes is not None and _checksum(key, codes[first:last]) != check:
                log.warning("%s: damaged token vectors are computed again", index)
                with suppress(OSError):  # else they would be computed in each run; this one goes on with the rest
                    index.unlink()
                codes = None
            yield None if codes is None else codes[first:last]

    def write(self, keys: np.ndarray, tokens: TokenVectors) -> None:
        """Add the token vectors of some texts, one key for each, as one more shard; do nothing if there is no room."""
        if not self._make_room(tokens.codes.nbytes + len(keys) * _ROW.itemsize):
            return
        index = self._folder / f"{shard_name(keys)}{_INDEX}"
        texts = np.empty(len(keys), _ROW)
        texts["key"], texts["first"], texts["last"] = keys, tokens.offsets[:-1], tokens.offsets[1:]
        texts["check"] = checksums(keys, (tokens.codes[first:last] for first, last in pairwise(tokens.offsets)))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._open_codes.pop(index, None)  # damaged ones, which these replace
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
            try:
                rows |= {key: (index, *of_text) for key, *of_text in open_array(index, _ROW).tolist()}
            except UNREADABLE as error:
                remove_damaged(index, error)
        return rows

    def _codes(self, index: Path) -> np.ndarray | None:
        if index not in self._open_codes:
            try:
                self._open_codes[index] = open_array(_codes_path(index), np.dtype(np.int8), 2)
            except UNREADABLE as error:
                remove_damaged(_codes_path(index), error)
                self._open_codes[index] = None  # one warning is enough
            else:
                with suppress(OSError):
                    index.touch()
        return self._open_codes[index]

    def _make_room(self, new_bytes: int) -> bool:
        """Remove least recently used shards until ``new_bytes`` more fit into the limit; return whether they do."""
        shards: dict[Path, tuple[int, int, list[Path]]] = {}  # last use, bytes and files, by the path of the index
        for path in sorted(self._root.glob("*/*")):  # codes first; files that a killed process left are of a shard too
            index = path.with_name(path.name.partition(".")[0] + _INDEX)
            with suppress(OSError):
                status, (used, size, files) = path.stat(), shards.get(index, (0, 0, []))
                shards[index] = max(used, status.st_mtime_ns), size + status.st_size, [*files, path]
        total = new_bytes + sum(size for _, size, _ in shards.values())
        for index, (_, size, files) in sorted(shards.items(), key=lambda item: item[1]):
            if total > self._limit and self._open_codes.get(index) is None:
                with suppress(OSError):
                    for path in files:
                        path.unlink()  # the codes first: on Windows it fails while another process reads them
                    total -= size
        return total <= self._limit


def _checksum(key: bytes, codes: np.ndarray) -> int:
    return int(checksums(np.array([key], "S16"), [codes])[0])


def _codes_path(index: Path) -> Path:
    return index.with_name(index.name.removesuffix(_INDEX) + _CODES)

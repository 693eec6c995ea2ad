"""What both vector caches share: keys of texts, the fingerprint of a model, and how a file is written."""

import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b, sha256
from pathlib import Path
from tokenize import TokenError
from typing import NamedTuple
from zlib import crc32

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from triptych.errors import first_line
from triptych.ids import TextIds
from triptych.models.precision import Precision
from triptych.tokens.token_store import TokenStore

log = logging.getLogger(__name__)

# What reading a shard raises that another process removed, that may not be read, or that a crash or a disk damaged.
# NumPy evaluates the head of a file as Python, whose errors are among them.
UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    OverflowError,
    MemoryError,
    RecursionError,
    SyntaxError,
    TokenError,
)


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
    try:
        with partial.open("wb") as file:
            np.save(file, array)
        os.replace(partial, path)  # noqa: PTH105
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise


def open_array(path: Path, dtype: np.dtype, ndim: int = 1) -> np.ndarray:
    """Return an array that `write_array` wrote, memory-mapped.

    Raise one of `UNREADABLE` if it is damaged. That its type and number of dimensions are those that were written is
    checked, because checksums of rows do not see that the head of the file tells another order of bytes.
    """
    array: np.ndarray = np.load(path, mmap_mode="r")
    if array.dtype != dtype or array.ndim != ndim:
        message = f"{array.ndim} dimensions of {array.dtype}, not {ndim} of {dtype}"
        del array  # else the error would keep the file mapped, and Windows would not let it be removed
        raise ValueError(message)
    return array


def remove_damaged(path: Path, error: BaseException) -> None:
    """Print a warning that a shard cannot be read, and remove it where it is damaged."""
    if isinstance(error, FileNotFoundError):
        return  # another process removed it
    log.warning("%s cannot be read (%s); its vectors are computed again", path, first_line(error))
    if not isinstance(error, OSError | MemoryError):  # what may not be read by this user may be whole
        with suppress(OSError):
            path.unlink()


def checksums(keys: np.ndarray, rows: Iterable[np.ndarray]) -> np.ndarray:
    """Return a CRC-32 of each key with its row, uint32 of shape (keys,), by which a damaged row is known."""
    sums = (crc32(row.tobytes(), crc32(key)) for key, row in zip(keys.tolist(), rows, strict=True))
    return np.fromiter(sums, np.uint32, count=len(keys))

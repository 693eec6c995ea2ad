"""Encode texts of the token store into unit vectors, sorted by length, in batches of about equal work."""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

from triptych.encoding.cache_keys import distinct_texts
from triptych.encoding.vector_cache import VectorCache
from triptych.engine.in_order import in_order, on_ray
from triptych.errors import OutOfMemoryError, UserError, first_line, is_out_of_memory
from triptych.ids import TextIds, Vectors
from triptych.models.loading import release_memory
from triptych.models.precision import Precision, autocast
from triptych.progress import progress
from triptych.tokens.token_rows import TokenRows
from triptych.tokens.token_store import PAD_TO, TokenStore, pack

log = logging.getLogger(__name__)
Result = TypeVar("Result")
_BLOCK = 4096  # texts of a piece of work on Ray
TOKENS_PER_BATCH = {"cpu": 1_024, "cuda": 32_768}  # on a CPU larger batches are not faster
_REMEDY = {
    "texts": "lower tokenize.max_length, set train.load_in: bf16, 8bit or 4bit, or take a smaller model.base",
    "pairs": "lower train_reranker.max_length (or mine.guide_max_length), or take a smaller train_reranker.base",
}  # by unit


def encode(
    model: SentenceTransformer,
    store: TokenStore,
    text_ids: TextIds | np.ndarray,
    precision: Precision,
    label: str,
    cache: VectorCache | None = None,
) -> Vectors:
    """Encode texts; return float32 of shape (texts, dimensions), rows of length 1, in the order of ``text_ids``.

    Each distinct text is encoded once. Vectors that ``cache``, one of the same model and precision, contains are read
    from it; the others are added to it. ``label`` names the progress bar. Raise `UserError` if a vector is not finite.
    """
    texts = distinct_texts(store, text_ids)
    vectors = np.empty((len(texts.ids), model.get_embedding_dimension()), dtype=np.float32)
    cached = np.zeros(len(texts.ids), bool) if cache is None else cache.read(texts.keys, vectors)
    missing = np.flatnonzero(~cached)
    log.info("%s: encoding %d of %d texts", label, len(missing), len(texts.ids))
    if len(missing):
        vectors[missing] = _sentence_vectors(model, store, TextIds(texts.ids[missing]), precision, label)
        check_finite(np.asarray(np.isfinite(vectors[missing]).all(axis=1)), label)
        if cache is not None:
            cache.write(texts.keys[missing], vectors[missing])
    return Vectors(vectors[texts.positions])


def check_finite(finite: np.ndarray, label: str) -> None:
    """Raise `UserError` unless all texts have a finite vector; ``finite`` is bool of shape (texts,)."""
    if not finite.all():
        raise UserError(
            f"{label}: the model gives {(~finite).sum()} of {len(finite)} texts a vector that is not finite; set"
            " train.precision: fp32, or train the round again with a lower learning_rate (rounds.train)"
        )


def text_features(store: TokenStore, text_ids: TextIds | np.ndarray) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Return a function, for `forward_in_batches`, that gives the model's inputs for some rows of ``text_ids``."""
    return lambda rows: dict(zip(("input_ids", "attention_mask"), store.pad(text_ids[rows]), strict=True))


def forward_in_batches(
    model: SentenceTransformer | CrossEncoder,
    lengths: np.ndarray,
    features: Callable[[np.ndarray], dict[str, np.ndarray]],
    read: Callable[[dict[str, torch.Tensor]], Result],
    precision: Precision,
    label: str,
    unit: str,
) -> Generator[tuple[np.ndarray, Result]]:
    """Yield rows of texts or pairs with what ``read`` returns of the model's outputs for them.

    ``lengths`` are in tokens, ``features`` returns the model's inputs for some rows, ``read`` what is wanted of its
    outputs, in host memory; the outputs may have padding rows at the end. ``label`` and ``unit`` are those of the
    progress bar. If memory runs out, the batches from there on are half as large, with a warning. Raise
    `OutOfMemoryError` if a single text or pair does not fit. Close the generator if you leave it early.
    """
    device = model.device
    pending = deque(batches(lengths, TOKENS_PER_BATCH.get(device.type, 8_192)))
    model.eval()
    with torch.inference_mode(), autocast(precision, device), progress(label, len(lengths), unit) as done:
        while pending:
            rows, size = pending.popleft()
            try:
                inputs = features(np.resize(rows, size))
                result = read(model({name: torch.from_numpy(array).to(device) for name, array in inputs.items()}))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                message = first_line(error)  # keeping the error would keep the tensors alive
            else:
                yield rows, result
                done(len(rows))
                continue
            longest = int(lengths[rows].max())
            if size == 1:
                raise OutOfMemoryError(f"{label}: {message}, with a single one of {longest} tokens; {_REMEDY[unit]}")
            release_memory()
            tokens = size // 2 * _padded(longest)
            log.warning("%s: %s; at most %d tokens at once from here on", label, message, tokens)
            left = np.concatenate([rows, *(others for others, _ in pending)])
            pending = deque((left[batch], fewer) for batch, fewer in batches(lengths[left], tokens))


def _sentence_vectors(
    model: SentenceTransformer, store: TokenStore, text_ids: TextIds, precision: Precision, label: str
) -> np.ndarray:
    """Return the vectors of texts, encoded here, or on Ray in blocks: a vector is the same in any block."""
    if not on_ray():
        return _encoded(model, precision, label, store, text_ids)
    vectors = np.empty((len(text_ids), model.get_embedding_dimension()), dtype=np.float32)
    order = np.argsort(-store.lengths[text_ids], kind="stable")  # texts of a block have few lengths, to fill batches
    blocks = [order[start : start + _BLOCK] for start in range(0, len(order), _BLOCK)]
    pieces = (_excerpt(store, text_ids[block]) for block in blocks)
    work = partial(_encode_excerpt, model, precision, label, torch.get_num_threads())
    for block, of_block in zip(blocks, in_order(work, pieces, gpu=model.device.type == "cuda"), strict=True):
        vectors[block] = of_block
    return vectors


def _excerpt(store: TokenStore, text_ids: np.ndarray) -> TokenStore:
    """Return a store of some texts, without windows."""
    return pack(TokenRows.of(store[text_id] for text_id in text_ids.tolist()), store.metadata)


def _encode_excerpt(
    model: SentenceTransformer, precision: Precision, label: str, threads: int, store: TokenStore
) -> np.ndarray:
    torch.set_num_threads(threads)  # as the process that asks: sums over more threads may differ in the last bit
    return _encoded(model, precision, label, store, TextIds(np.arange(len(store.lengths))))


def _encoded(
    model: SentenceTransformer, precision: Precision, label: str, store: TokenStore, text_ids: TextIds
) -> np.ndarray:
    vectors = np.empty((len(text_ids), model.get_embedding_dimension()), dtype=np.float32)
    lengths, features = store.lengths[text_ids], text_features(store, text_ids)

    def read(output: dict[str, torch.Tensor]) -> np.ndarray:
        return torch.nn.functional.normalize(output["sentence_embedding"].float(), dim=-1).cpu().numpy()

    with closing(forward_in_batches(model, lengths, features, read, precision, label, "texts")) as outputs:
        for rows, unit_vectors in outputs:
            vectors[rows] = unit_vectors[: len(rows)]
    return vectors


def batches(lengths: np.ndarray, tokens: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the rows of each batch and the size to pad it to, longest first: if memory runs out, it does so at once.

    All texts of a batch have the same padded width, and all batches of a width the same size, at most ``tokens``
    tokens. A text's vector is therefore computed by the same operations whatever other texts are in the batch, and is
    equal to the last bit.
    """
    order = np.argsort(-lengths, kind="stable")
    widths = -(-lengths[order] // PAD_TO)
    for same in np.split(order, np.flatnonzero(np.diff(widths)) + 1):
        size = max(1, tokens // _padded(int(lengths[same[0]]))) if len(same) else 1
        for start in range(0, len(same), size):
            yield same[start : start + size], size


def _padded(length: int) -> int:
    """Return the width that a text is padded to."""
    return -(-length // PAD_TO) * PAD_TO

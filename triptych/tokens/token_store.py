"""The token store: the token ids of each distinct text, memory-mapped, so that later stages need no tokenizer.

Its folder is a ``DatasetDict``, which ``datasets.load_from_disk`` opens. ``texts`` has a row for each text and then for
each further window: ``input_ids``, ``length`` and ``text_id``, the row of the text that it is a window of. ``examples``
names the rows that make each training example: ``anchor``, ``positive`` and ``negatives``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from triptych.artifacts import intact, read_json, write_json
from triptych.errors import ArtifactError
from triptych.ids import TextIds
from triptych.params.sections import Tokenize
from triptych.tokens.saved_dataset import map_dataset, write_datasets
from triptych.tokens.token_rows import TokenRows

PAD_TO = 8  # widths of batches are multiples of this
_TEXTS, _EXAMPLES, _METADATA = "texts", "examples", "metadata.json"


@dataclass(frozen=True, slots=True)
class TokenStore:
    """Token ids of all texts, concatenated; those of text ``i`` are ``offsets[i]`` to ``offsets[i + 1]``."""

    ids: np.ndarray  # int32, shape (tokens,)
    offsets: np.ndarray  # int64, shape (texts and windows + 1,)
    metadata: dict[str, Any]
    windows: np.ndarray | None = (
        None  # int64, shape (texts + 1,): the windows of text ``i`` come after all texts, those
    )
    # of text 0 first, and are numbered ``windows[i]`` to ``windows[i + 1]``; a text without is its only window

    @property
    def lengths(self) -> np.ndarray:
        """Return the number of tokens of each text, int64 of shape (texts,)."""
        return np.diff(self.offsets)

    def windows_of(self, text_ids: TextIds | np.ndarray) -> tuple[TextIds, np.ndarray]:
        """Return the text ids of the windows of some texts, text by text, and for each its position in ``text_ids``."""
        text_ids = np.asarray(text_ids, np.int64)
        if self.windows is None:
            return TextIds(text_ids), np.arange(len(text_ids))
        counts = np.diff(self.windows)[text_ids] + 1
        positions = np.repeat(np.arange(len(text_ids)), counts)
        number = np.arange(len(positions)) - np.repeat(np.cumsum(counts) - counts, counts)
        of_text = text_ids[positions]
        further = len(self.windows) - 1 + self.windows[of_text] + number - 1
        return TextIds(np.where(number == 0, of_text, further)), positions

    def __getitem__(self, text_id: int) -> np.ndarray:
        """Return the token ids of one text, int32; a view, not a copy."""
        return self.ids[self.offsets[text_id] : self.offsets[text_id + 1]]

    def pad(self, text_ids: TextIds | np.ndarray, fixed: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return input ids and attention mask, both int64 of shape (texts, width).

        The width is the longest text rounded up to a multiple of ``PAD_TO``, or ``max_length`` if ``fixed``. Padding is
        on the side of the model's tokenizer (left for decoders).
        """
        rows = [self[int(text_id)] for text_id in text_ids]
        limit = int(self.metadata["max_length"])
        width = limit if fixed else min(limit, -(-max(map(len, rows)) // PAD_TO) * PAD_TO)
        input_ids = np.full((len(rows), width), self.metadata["pad_token_id"], dtype=np.int64)
        mask = np.zeros((len(rows), width), dtype=np.int64)
        left = self.metadata["padding_side"] == "left"
        for row, tokens in enumerate(rows):
            columns = slice(width - len(tokens), width) if left else slice(0, len(tokens))
            input_ids[row, columns] = tokens
            mask[row, columns] = 1
        return input_ids, mask


def pack(rows: TokenRows | Sequence[Sequence[int]], metadata: dict[str, Any]) -> TokenStore:
    """Build a store from the token ids of each text."""
    columns = rows if isinstance(rows, TokenRows) else TokenRows.of(rows)
    return TokenStore(columns.ids, columns.offsets, metadata)


@dataclass(frozen=True, slots=True)
class ExampleTexts:
    """Which texts make each example, as text ids."""

    anchor: np.ndarray  # int32, shape (examples,)
    positive: np.ndarray  # int32, shape (examples,)
    negatives: np.ndarray  # int32, shape (negatives,): those of example ``i`` are ``offsets[i]`` to ``offsets[i + 1]``
    offsets: np.ndarray  # int64, shape (examples + 1,)


@dataclass(frozen=True, slots=True)
class FurtherWindows:
    """The windows of texts after their first ones, text by text."""

    rows: TokenRows
    counts: np.ndarray  # int64, shape (texts,): windows of each text

    @property
    def lengths(self) -> np.ndarray:
        """Return the number of tokens in the further windows of each text, int64 of shape (texts,)."""
        ends = np.concatenate([[0], np.cumsum(self.counts)])
        return np.diff(self.rows.offsets[ends])


def write_store(
    folder: Path,
    rows: TokenRows | Sequence[Sequence[int]],
    metadata: dict[str, Any],
    windows: FurtherWindows | None = None,
    examples: ExampleTexts | None = None,
) -> None:
    """Write a store into an existing folder."""
    columns = rows if isinstance(rows, TokenRows) else TokenRows.of(rows)
    text_ids = np.arange(len(columns))
    if windows is not None:
        columns = TokenRows.join([columns, windows.rows])
        text_ids = np.concatenate([text_ids, np.repeat(text_ids, windows.counts)])
    store = pack(columns, metadata)
    tables = {
        _TEXTS: pa.record_batch(
            {
                "input_ids": pa.LargeListArray.from_arrays(store.offsets, store.ids),
                "length": pa.array(store.lengths.astype(np.int32)),
                "text_id": pa.array(text_ids.astype(np.int32)),
            }
        )
    }
    if examples is not None:
        tables[_EXAMPLES] = pa.record_batch(
            {
                "anchor": pa.array(examples.anchor.astype(np.int32)),
                "positive": pa.array(examples.positive.astype(np.int32)),
                "negatives": pa.LargeListArray.from_arrays(examples.offsets, examples.negatives.astype(np.int32)),
            }
        )
    write_datasets(folder, tables)
    write_json(folder / _METADATA, metadata)


def read_windows(folder: Path) -> np.ndarray | None:
    """Return ``TokenStore.windows`` of the store in a folder; None without a store."""
    return _windows(map_dataset(folder, _TEXTS)) if (folder / _TEXTS).exists() else None


def _windows(texts: pa.RecordBatch) -> np.ndarray:
    text_ids = texts["text_id"].to_numpy()
    number = int((text_ids == np.arange(len(text_ids))).sum())
    return np.concatenate([[0], np.bincount(text_ids[number:], minlength=number).cumsum()]).astype(np.int64)


def read_max_windows(metadata: Path) -> int:
    """Return the most windows of a text that a store was written with, from its ``metadata.json``."""
    with intact(metadata):
        return int(read_json(metadata)["max_windows"])


def with_lengths(settings: Tokenize, folder: Path) -> Tokenize:
    """Return settings in which ``auto`` is what the store in a folder was written with; as given without a store."""
    path = folder / _METADATA
    if "auto" not in (settings.max_length, settings.max_windows) or not path.exists():
        return settings
    with intact(path):
        record = read_json(path)
        return settings.model_copy(update={"max_length": record["max_length"], "max_windows": record["max_windows"]})


def open_store(folder: Path, tokenizer: str) -> TokenStore:
    """Open a store memory-mapped; raise `ArtifactError` if it is missing or was made with another tokenizer.

    ``tokenizer`` is the fingerprint of the base model's tokenizer, as `triptych.models.loading` computes it.
    """
    if not (folder / _METADATA).exists():
        raise ArtifactError(folder, "contains no tokens")
    metadata = read_json(folder / _METADATA)
    with intact(folder / _METADATA):
        other = metadata["tokenizer_sha256"] != tokenizer
    if other:
        raise ArtifactError(
            folder,
            f"was made with the tokenizer of {metadata['tokenizer']}, not with that of the base model in params.yaml"
            " (model.base)",
        )
    texts = map_dataset(folder, _TEXTS)
    ids = texts["input_ids"]
    return TokenStore(ids.values.to_numpy(), ids.offsets.to_numpy(), metadata, _windows(texts))

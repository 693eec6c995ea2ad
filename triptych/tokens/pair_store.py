"""Pairs of texts as a cross-encoder reads them, assembled from stored token ids without a tokenizer."""

from dataclasses import dataclass

import numpy as np

from triptych.ids import TextIds
from triptych.tokens.token_store import PAD_TO, TokenStore


@dataclass(frozen=True, slots=True)
class PairTemplate:
    """The token ids that a model puts around the two texts of a pair, and how it truncates a long pair."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    types: tuple[int, ...] | None  # token types of before, first, between, second, after; None if not used
    chat: bool  # chat template: truncate at the end but keep ``after``; else truncate the longer text
    left: bool  # pad on the left
    pad_token_id: int

    def __len__(self) -> int:
        """Return the number of tokens besides the texts."""
        return len(self.before) + len(self.between) + len(self.after)


@dataclass(frozen=True, slots=True)
class PairStore:
    """Assembles pairs of at most ``max_length`` tokens from the stored ids of their texts.

    A text of ``store`` begins with ``opening`` special tokens and ends with ``closing``; pairs leave them out.
    """

    store: TokenStore
    opening: int
    closing: int
    template: PairTemplate
    max_length: int

    def lengths(self, pairs: TextIds | np.ndarray) -> np.ndarray:
        """Return the number of tokens of each pair, int64 of shape (pairs,); ``pairs`` has shape (pairs, 2)."""
        texts = self.store.lengths[pairs].sum(axis=1) - 2 * (self.opening + self.closing)
        return np.minimum(texts + len(self.template), self.max_length)

    def __getitem__(self, pair: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the token ids of a pair and the type of each token, both int64."""
        template, (first, second) = self.template, (self._without_special(text_id) for text_id in pair)
        if not template.chat:
            room = self.max_length - len(template)
            first, second = _longest_first(first, second, room)
        parts = (template.before, first, template.between, second, template.after)
        ids = np.concatenate([np.asarray(part, np.int64) for part in parts])
        types = np.repeat(template.types or (0,) * len(parts), [len(part) for part in parts])
        if len(ids) > self.max_length:
            kept = self.max_length - len(template.after)
            ids = np.concatenate([ids[:kept], np.asarray(template.after, np.int64)])
        return ids, types[: len(ids)]

    def pad(self, pairs: TextIds | np.ndarray, fixed: bool = False) -> dict[str, np.ndarray]:
        """Return the model's inputs by name, int64 of shape (pairs, width).

        The width is the longest pair rounded up to a multiple of ``PAD_TO``, or ``max_length`` if ``fixed``.
        """
        rows = [self[int(first), int(second)] for first, second in pairs]
        longest = -(-max(len(ids) for ids, _ in rows) // PAD_TO) * PAD_TO
        width = self.max_length if fixed else min(self.max_length, longest)
        input_ids = np.full((len(rows), width), self.template.pad_token_id, np.int64)
        mask, token_types = np.zeros((2, len(rows), width), np.int64)
        for row, (ids, types) in enumerate(rows):
            columns = slice(width - len(ids), width) if self.template.left else slice(0, len(ids))
            input_ids[row, columns], mask[row, columns], token_types[row, columns] = ids, 1, types
        features = {"input_ids": input_ids, "attention_mask": mask}
        return features if self.template.types is None else features | {"token_type_ids": token_types}

    def _without_special(self, text_id: int) -> np.ndarray:
        ids = self.store[text_id]
        return ids[self.opening : len(ids) - self.closing]


def _longest_first(first: np.ndarray, second: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
    """Truncate two texts to ``room`` tokens in total like ``longest_first`` of tokenizers, which shortens the longer.

    A text that fits into half of the room stays whole. Of two longer ones, the longer gets the odd token, or the second
    if they are equal.

    >>> [part.tolist() for part in _longest_first(np.arange(2), np.arange(9), 6)]
    [[0, 1], [0, 1, 2, 3]]
    """
    if len(first) + len(second) <= room:
        return first, second
    half = room // 2
    if len(first) <= half:
        return first, second[: room - len(first)]
    if len(second) <= half:
        return first[: room - len(second)], second
    odd = room % 2 if len(first) > len(second) else 0
    return first[: half + odd], second[: room - half - odd]

"""Pairs of texts as a cross-encoder reads them, put together from the ids of their texts: no tokenizer in any loop."""

from dataclasses import dataclass

import numpy as np

from triptych.tokens.token_store import PAD_TO, TokenStore


@dataclass(frozen=True, slots=True)
class PairFrame:
    """What a model puts around the two texts of a pair, as ids, and how it cuts a pair that is too long."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    types: tuple[int, ...] | None  # token types of before, first, between, second, after; None where it has none
    chat: bool  # a chat template: cut from the end, what closes it stays; else the longer text is cut
    left: bool  # padding stands on the left
    pad_token_id: int

    def __len__(self) -> int:
        """Return how many tokens stand beside the texts."""
        return len(self.before) + len(self.between) + len(self.after)


@dataclass(frozen=True, slots=True)
class PairStore:
    """The ids of texts, each once, and how two of them become a pair of at most ``max_length`` tokens.

    A text of ``store`` has ``opening`` special tokens of its own at its beginning and ``closing`` at its end, which a
    pair leaves out.
    """

    store: TokenStore
    opening: int
    closing: int
    frame: PairFrame
    max_length: int

    def lengths(self, pairs: np.ndarray) -> np.ndarray:
        """Return the number of tokens of each pair; ``pairs`` is int of shape (pairs, 2), int64 of shape (pairs,)."""
        texts = self.store.lengths[pairs].sum(axis=1) - 2 * (self.opening + self.closing)
        return np.minimum(texts + len(self.frame), self.max_length)

    def __getitem__(self, pair: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the token ids of a pair and the type of each token, both int64."""
        frame, (first, second) = self.frame, (self._bare(text) for text in pair)
        if not frame.chat:
            room = self.max_length - len(frame)
            first, second = _longest_first(first, second, room)
        parts = (frame.before, first, frame.between, second, frame.after)
        ids = np.concatenate([np.asarray(part, np.int64) for part in parts])
        types = np.repeat(frame.types or (0,) * len(parts), [len(part) for part in parts])
        if len(ids) > self.max_length:
            kept = self.max_length - len(frame.after)
            ids = np.concatenate([ids[:kept], np.asarray(frame.after, np.int64)])
        return ids, types[: len(ids)]

    def pad(self, pairs: np.ndarray, fixed: bool = False) -> dict[str, np.ndarray]:
        """Return what the model takes, by name, int64 of shape (pairs, width).

        The width is the longest of the pairs rounded up to a multiple of ``PAD_TO``, or ``max_length`` when fixed.
        """
        rows = [self[int(first), int(second)] for first, second in pairs]
        longest = -(-max(len(ids) for ids, _ in rows) // PAD_TO) * PAD_TO
        width = self.max_length if fixed else min(self.max_length, longest)
        input_ids = np.full((len(rows), width), self.frame.pad_token_id, np.int64)
        mask, token_types = np.zeros((2, len(rows), width), np.int64)
        for row, (ids, types) in enumerate(rows):
            place = slice(width - len(ids), width) if self.frame.left else slice(0, len(ids))
            input_ids[row, place], mask[row, place], token_types[row, place] = ids, 1, types
        made = {"input_ids": input_ids, "attention_mask": mask}
        return made if self.frame.types is None else made | {"token_type_ids": token_types}

    def _bare(self, text: int) -> np.ndarray:
        ids = self.store[text]
        return ids[self.opening : len(ids) - self.closing]


def _longest_first(first: np.ndarray, second: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut two texts to ``room`` tokens together as tokenizers' ``longest_first`` does: token by token off the longer.

    A text that fits into half of the room stays whole; of two longer ones the longer gets the odd token, of two equal
    ones the second.
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

"""Windows: the pieces of a text that is longer than the model's cut, each under the same heading."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from triptych.corpus.texts import sentence_spans

_MOST_OF_HEADING = 0.5  # share of a window that the text around its piece may fill
_LEAST_PIECE = 8  # tokens of a piece, however long the heading and however short the window


@dataclass(frozen=True, slots=True)
class Framed:
    """A text in three parts: the piece in the middle is cut into windows, the parts around it are repeated in each."""

    before: str
    middle: str
    after: str = ""

    @property
    def whole(self) -> str:
        """Return the whole text."""
        return self.before + self.middle + self.after


class WindowCutter:
    """Cuts texts into windows of at most ``max_length`` tokens, special tokens and prompt included.

    Windows end where sentences or lines do; a sentence longer than a window is cut between two tokens. A text that fits
    is its only window. At most ``most`` windows are cut from a text: what lies behind them is left out.
    """

    def __init__(self, tokenizer: Any, prompt: str, max_length: int, most: int) -> None:
        self._tokenizer, self._prompt, self._max_length, self._most = tokenizer, prompt, max_length, most

    def windows(self, text: Framed) -> list[str]:
        """Return the windows of a text in order, each with the parts around it."""
        if self._length(text.whole) <= self._max_length:
            return [text.whole]
        before, after = self._shortened(text.before, text.after)
        room = max(self._max_length - self._length(before + after), _LEAST_PIECE)
        pieces = list(_pieces(text.middle, self._token_ends(text.middle), room, self._most))
        return [before + piece + after for piece in pieces] or [text.whole]

    def _length(self, text: str) -> int:
        return len(self._tokenizer(self._prompt + text, truncation=False, verbose=False)["input_ids"])

    def _shortened(self, before: str, after: str) -> tuple[str, str]:
        """Shorten the text around the pieces: what is nearest to them stays."""
        most = int(self._max_length * _MOST_OF_HEADING)
        if self._length(before + after) <= most:
            return before, after
        ends = self._token_ends(before)
        kept = before[ends[-min(most, len(ends))] :].lstrip() if ends else ""
        return kept, ""

    def _token_ends(self, text: str) -> list[int]:
        """Return the end of each token in ``text``, in characters."""
        encoded = self._tokenizer(
            text, add_special_tokens=False, truncation=False, return_offsets_mapping=True, verbose=False
        )
        return [end for _, end in encoded["offset_mapping"]]


def _pieces(text: str, token_ends: Sequence[int], room: int, most: int) -> Iterator[str]:
    """Yield at most ``most`` pieces of a text of at most ``room`` tokens each, cut at sentences where possible."""
    start = end = number = 0

    def tokens(first: int, last: int) -> int:
        return bisect_right(token_ends, last) - bisect_right(token_ends, first)

    for first, last in _parts(text, lambda first, last: tokens(first, last) > room):
        if end > start and tokens(start, last) > room:
            yield text[start:end].strip()
            number, start = number + 1, first
        while tokens(start, last) > room and number < most:  # a line longer than a window
            cut = token_ends[bisect_right(token_ends, start) + room - 1]
            yield text[start:cut].strip()
            number, start = number + 1, cut
        if number >= most:
            return
        end = last
    if text[start:end].strip():
        yield text[start:end].strip()


def _parts(text: str, too_long: Callable[[int, int], bool]) -> Iterator[tuple[int, int]]:
    """Yield start and end of each sentence, and of each line of a sentence that is too long, as code is."""
    for first, last in sentence_spans(text):
        start = first
        while too_long(first, last) and (at := text.find("\n", start, last)) >= 0:
            yield start, at
            start = at + 1
        if start < last:
            yield start, last

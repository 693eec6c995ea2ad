"""Windows: what a model does not see of a text that is longer than its cut, in pieces under the same heading."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from triptych.corpus.embedded_text import FramedText
from triptych.corpus.texts import sentence_spans

_BLOCK = 1000  # texts of a call of the tokenizer: it keeps kilobytes for each until the call is done
_MOST_OF_FRAME = 0.5  # share of a window that may be the text around its piece


class WindowCutter:
    """Cuts texts into windows of at most ``max_length`` tokens, special tokens and prompt included.

    The first window of a text is its beginning, as the model truncates it. The next ones begin with the sentence that
    was truncated, and end where sentences or, in long ones, lines end; a longer line is cut between two tokens. Each
    repeats what stands around the content of the text, shortened to half a window. From a text at most ``most`` windows
    are cut, its first one included: what comes after them is left out.
    """

    def __init__(self, tokenizer: Any, prompt: str, max_length: int, most: int) -> None:
        """``tokenizer`` must be a fast one, which knows where in the text a token ends."""
        self._tokenizer, self._prompt, self._max_length, self._most = tokenizer, prompt, max_length, most

    def further(self, texts: Sequence[FramedText]) -> list[list[str]]:
        """Return the windows of each text after its first one, in order; none for a text that fits."""
        return [[window.text for window in of_text] for of_text in self.framed(texts)]

    def framed(self, texts: Sequence[FramedText]) -> list[list[FramedText]]:
        """Return these windows in parts: the content of each is a piece of the text's content."""
        if self._most < 2:
            return [[] for _ in texts]
        blocks = (texts[start : start + _BLOCK] for start in range(0, len(texts), _BLOCK))
        return [windows for block in blocks for windows in self._framed(block)]

    def _framed(self, texts: Sequence[FramedText]) -> list[list[FramedText]]:
        lengths = self._lengths([one.text for one in texts])
        long = [row for row, length in enumerate(lengths) if length > self._max_length]
        windows: list[list[FramedText]] = [[] for _ in texts]
        if not long:
            return windows
        frames = self._shortened([(texts[row].before, texts[row].after) for row in long])
        rooms = (self._max_length - length for length in self._lengths([before + after for before, after in frames]))
        headings = self._lengths([texts[row].before for row in long])
        contents = self._token_ends([texts[row].content for row in long])
        for row, (before, after), room, heading, ends in zip(long, frames, rooms, headings, contents, strict=True):
            seen = max(self._max_length - heading, 0)  # tokens of the content in the first window
            pieces = _pieces(texts[row].content, ends, seen, max(room, 1), self._most - 1)
            windows[row] = [FramedText(before, piece, after) for piece in pieces]
        return windows

    def _lengths(self, texts: list[str]) -> list[int]:
        encoded = self._tokenizer([self._prompt + text for text in texts], truncation=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]

    def _shortened(self, frames: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return what stands around contents; where it fills too much of a window, what is nearest to the content."""
        room = int(self._max_length * _MOST_OF_FRAME)
        shortened = []
        for (before, after), length in zip(frames, self._lengths([one + two for one, two in frames]), strict=True):
            if length > room:
                (ends,) = self._token_ends([before])
                before, after = before[ends[-room - 1] if len(ends) > room else 0 :].lstrip(), ""
            shortened.append((before, after))
        return shortened

    def _token_ends(self, texts: list[str]) -> list[list[int]]:
        """Return the end of each token of each text, in characters."""
        encoded = self._tokenizer(
            texts, add_special_tokens=False, truncation=False, return_offsets_mapping=True, verbose=False
        )
        return [[end for _, end in offsets] for offsets in encoded["offset_mapping"]]


def _pieces(text: str, token_ends: Sequence[int], seen: int, room: int, most: int) -> Iterator[str]:
    """Yield at most ``most`` pieces of at most ``room`` tokens, from the sentence on that ``seen`` tokens break off."""

    def tokens(first: int, last: int) -> int:
        return bisect_right(token_ends, last) - bisect_right(token_ends, first)

    number, start, end = 0, -1, 0
    for first, last in _parts(text, lambda first, last: tokens(first, last) > room):
        if start < 0:
            if tokens(0, last) <= seen:
                continue
            start = end = first
        if end > start and tokens(start, last) > room:
            yield text[start:end].strip()
            number, start = number + 1, first
        while number < most and tokens(start, last) > room:  # a line longer than a window
            cut = token_ends[bisect_right(token_ends, start) + room - 1]
            yield text[start:cut].strip()
            number, start = number + 1, cut
        if number >= most:
            return
        end = last
    if 0 <= start < end and text[start:end].strip():
        yield text[start:end].strip()


def _parts(text: str, too_long: Callable[[int, int], bool]) -> Iterator[tuple[int, int]]:
    """Yield start and end of each sentence, and of each line of a sentence that is too long, as code is."""
    for first, last in sentence_spans(text):
        start = first
        while too_long(start, last) and (at := text.find("\n", start, last)) >= 0:
            if at > start:
                yield start, at
            start = at + 1
        if start < last:
            yield start, last

"""Plain-text judgments that several steps share: what counts as the same text, where a sentence ends."""

import re

_EDGE = re.compile(r"^\W+|\W+$")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z(`\"'\d])|\n\s*\n")


def normalized(text: str) -> str:
    """Fold case, white space and the punctuation at both ends, so that equal questions compare equal."""
    return _EDGE.sub("", " ".join(text.casefold().split()))


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return (start, end) of each sentence: cut at end marks before a capital and at blank lines."""
    spans, start = [], 0
    for mark in [*_SENTENCE_END.finditer(text), None]:
        end = mark.start() if mark else len(text)
        if text[start:end].strip():
            spans.append((start, end))
        start = mark.end() if mark else end
    return spans

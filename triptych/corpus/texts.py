"""Plain-text judgments that several steps share: what counts as the same text, where a sentence ends."""

import re

_WORD = re.compile(r"\w")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z(`\"'\d])|\n\s*\n")
_WORDS = re.compile(r"[^\W\d_]{2,}")


def normalized(text: str) -> str:
    """Fold case, white space and the punctuation at both ends, so that equal questions compare equal."""
    folded = " ".join(text.casefold().split())
    first, last = _WORD.search(folded), _WORD.search(folded[::-1])
    return folded[first.start() : len(folded) - last.start()] if first and last else ""


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return (start, end) of each sentence: cut at end marks before a capital and at blank lines."""
    spans, start = [], 0
    for mark in [*_SENTENCE_END.finditer(text), None]:
        end = mark.start() if mark else len(text)
        if text[start:end].strip():
            spans.append((start, end))
        start = mark.end() if mark else end
    return spans


def is_prose(sentence: str, at_least: int) -> bool:
    """Tell a sentence of at least so many words that a person might type from code, tables and parameter lists."""
    words = sentence.split()
    letters = sum(map(len, _WORDS.findall(sentence)))
    code = ">>>" in sentence or "----" in sentence or ".. " in sentence or "::" in sentence
    return not code and at_least <= len(words) <= 40 and letters >= 0.65 * len(sentence)

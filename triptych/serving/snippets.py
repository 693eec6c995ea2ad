"""A few lines of a chunk around the words of a query."""

from dataclasses import dataclass

from triptych.corpus.language import ENGLISH
from triptych.retrieval.lexical import stop_words, term_spans, terms

_BEFORE = 40  # characters shown before the first match, cut at a word


@dataclass(frozen=True, slots=True)
class Snippet:
    """Text on one line, and the (start, end) positions of the query's words in it, in order."""

    text: str
    matches: tuple[tuple[int, int], ...]


def snippet(
    content: str, query: str, width: int = 240, language: str = ENGLISH, within: tuple[int, int] | None = None
) -> Snippet:
    """Return about ``width`` characters that contain the most distinct words of the query.

    Words match as in BM25: whole, by the parts of an identifier, or by pairs of characters, without the stop words of
    the language. Of equal extracts the first is taken; without a match it is the beginning. ``within`` is a span of
    the content, such as the window of it that was found: the extract begins in it.
    """
    text = " ".join(content.split())
    wanted = set(terms(query)) - stop_words(language)
    hits = [(start, end, words) for start, end, forms in term_spans(text) if (words := wanted.intersection(forms))]
    low, high = (0, len(text)) if within is None else (_position(content, one) for one in within)
    inside = [one for one in hits if low <= one[0] < high]
    first = max(inside, key=lambda one: (_distinct(hits, one[0], width), -one[0]), default=(low, low, set()))[0]
    start = 0 if first <= _BEFORE else text.find(" ", first - _BEFORE, first) + 1 or first
    end = len(text) if len(text) <= start + width else text.rfind(" ", start, start + width)
    end = end if end > first else start + width  # one long word
    before, after = "… " if start else "", " …" if end < len(text) else ""
    shift = len(before) - start
    shown = [(left + shift, right + shift) for left, right, _ in hits if left >= start and right <= end]
    return Snippet(before + text[start:end] + after, _joined(shown))


def _position(content: str, position: int) -> int:
    """Return where a position of the content is on one line, with single spaces."""
    before = content[:position]
    return len(" ".join(before.split())) + (before[-1:].isspace() and bool(before.strip()))


def _joined(spans: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Join the spans of pairs of characters that overlap or touch; words do neither."""
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return tuple(joined)


def _distinct(hits: list[tuple[int, int, set[str]]], start: int, width: int) -> int:
    within = (words for low, high, words in hits if start <= low and high <= start - _BEFORE + width)
    return len(set().union(*within))

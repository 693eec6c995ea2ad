"""A few lines of a chunk around the words of a query."""

from dataclasses import dataclass

from bm25s.stopwords import STOPWORDS_EN

from triptych.retrieval.lexical import term_spans, terms

_BEFORE = 40  # characters shown before the first match, where words begin


@dataclass(frozen=True, slots=True)
class Snippet:
    """Text on one line, and where words of the query stand in it: (start, end), in order."""

    text: str
    matches: tuple[tuple[int, int], ...]


def snippet(content: str, query: str, width: int = 240) -> Snippet:
    """Cut the stretch of about ``width`` characters in which most different words of the query stand.

    Words match as BM25 matches them: whole, or by the parts of an identifier, stop words left out. Of equal stretches
    the first is taken; without a match it is the beginning.
    """
    text = " ".join(content.split())
    wanted = set(terms(query)) - set(STOPWORDS_EN)
    found = [(start, end, here) for start, end, forms in term_spans(text) if (here := wanted.intersection(forms))]
    first = max(found, key=lambda one: (_different(found, one[0], width), -one[0]), default=(0, 0, set()))[0]
    start = 0 if first <= _BEFORE else text.find(" ", first - _BEFORE, first) + 1 or first
    end = len(text) if len(text) <= start + width else text.rfind(" ", start, start + width)
    end = end if end > first else start + width  # one long word
    before, after = "… " if start else "", " …" if end < len(text) else ""
    moved = len(before) - start
    matches = tuple((low + moved, high + moved) for low, high, _ in found if low >= start and high <= end)
    return Snippet(before + text[start:end] + after, matches)


def _different(found: list[tuple[int, int, set[str]]], start: int, width: int) -> int:
    within = (words for low, high, words in found if start <= low and high <= start - _BEFORE + width)
    return len(set().union(*within))

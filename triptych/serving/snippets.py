"""A few lines of a chunk around the words of a query."""

from dataclasses import dataclass

from bm25s.stopwords import STOPWORDS_EN

from triptych.retrieval.lexical import term_spans, terms

_BEFORE = 40  # characters shown before the first match, cut at a word


@dataclass(frozen=True, slots=True)
class Snippet:
    """Text on one line, and the (start, end) positions of the query's words in it, in order."""

    text: str
    matches: tuple[tuple[int, int], ...]


def snippet(content: str, query: str, width: int = 240) -> Snippet:
    """Return the window of about ``width`` characters that contains the most distinct words of the query.

    Words match as in BM25: whole, or by the parts of an identifier, without stop words. Of equal windows the first is
    taken; without a match it is the beginning.
    """
    text = " ".join(content.split())
    wanted = set(terms(query)) - set(STOPWORDS_EN)
    hits = [(start, end, words) for start, end, forms in term_spans(text) if (words := wanted.intersection(forms))]
    first = max(hits, key=lambda one: (_distinct(hits, one[0], width), -one[0]), default=(0, 0, set()))[0]
    start = 0 if first <= _BEFORE else text.find(" ", first - _BEFORE, first) + 1 or first
    end = len(text) if len(text) <= start + width else text.rfind(" ", start, start + width)
    end = end if end > first else start + width  # one long word
    before, after = "… " if start else "", " …" if end < len(text) else ""
    shift = len(before) - start
    matches = tuple((low + shift, high + shift) for low, high, _ in hits if low >= start and high <= end)
    return Snippet(before + text[start:end] + after, matches)


def _distinct(hits: list[tuple[int, int, set[str]]], start: int, width: int) -> int:
    within = (words for low, high, words in hits if start <= low and high <= start - _BEFORE + width)
    return len(set().union(*within))

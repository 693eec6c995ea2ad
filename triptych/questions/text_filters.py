"""Filters of written questions by their text alone, each with the reason under which it counts."""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from triptych.corpus.language import ENGLISH
from triptych.corpus.records import Chunk
from triptych.corpus.texts import normalized, word_spans
from triptych.corpus.written_questions import WrittenQuestion
from triptych.retrieval.lexical import stop_words, terms

# In the order in which they are tried.
TEXT_REASONS = (
    "empty",
    "too_long",
    "other_language",
    "leans_on_context",
    "only_names_its_chunk",
    "equals_a_judged_query",
    "duplicate",
)
_MOST_WORDS, _MOST_CHARACTERS = 45, 400
_SURE, _UNLIKELY = 0.9, 0.01  # probabilities that a chunk, and its questions, are in the chunk's language
_ASKING = frozenset(
    terms(
        "about can could describe do does explain explanation from function how i mean method my purpose should tell"
        " use used using we what when where which who why work works you"
    )
)
_PARTS = (
    r"(?:function|method|class|module|section|page|chapter|example|snippet|passage|text|document(?:ation)?|article"
    r"|table|figure|excerpt|paragraph)"
)
_LEANS = re.compile(
    rf"\bth(?:is|ese|ose) {_PARTS}s?\b"
    rf"|\bthe (?:above|given|following|preceding|previous|provided|aforementioned|shown) {_PARTS}s?\b"
    r"|\b(?:according to|in) the (?:section|chapter|passage|excerpt|paragraph|article)\b(?! of| on| about)"
    r"|\baccording to the (?:page|text|documentation)\b"
    rf"|\bthe {_PARTS}s? (?:above|below)\b"
    r"|\b(?:mentioned|described|shown|listed|discussed|explained|given) (?:above|below|here|earlier)\b",
    re.IGNORECASE,
)


def leans_on_context(question: str) -> bool:
    """Return whether an English question refers to a text that its reader does not see.

    >>> leans_on_context("What does this function return?"), leans_on_context("What is described above?")
    (True, True)
    >>> leans_on_context("How do I read the text of a page?")
    False
    """
    return _LEANS.search(question) is not None


def only_names(question: str, chunk: Chunk, language: str) -> bool:
    """Return whether a question has no word beyond the names of its chunk and stop words.

    >>> chunk = Chunk("np.sort", "api", "sort", ("np.sort",), "np.sort", "Return a sorted copy.", "")
    >>> only_names("What is np.sort?", chunk, "en"), only_names("How do I sort rows?", chunk, "en")
    (True, False)
    """
    names = {*terms(chunk.title), *(term for header in chunk.header_path[-1:] for term in terms(header))}
    return not set(terms(question)) - names - _fillers(language)


class TextFilter:
    """Filters by text, with what they must know of the whole corpus and of all questions."""

    def __init__(self, chunks: Sequence[Chunk], judged: Iterable[str], language: str) -> None:
        """``judged`` are the texts of dev and test queries; ``language`` is that of the corpus, two letters."""
        self._chunks = {chunk.chunk_id: chunk for chunk in chunks}
        self._judged = {normalized(text) for text in judged}
        self._language = language

    def reasons(self, questions: Sequence[WrittenQuestion]) -> list[str | None]:
        """Return why each question is dropped, one of `TEXT_REASONS`, or None.

        The questions are sorted by chunk. Of equal questions of one near-duplicate cluster the first is kept, of
        questions that chunks of several clusters share none: it is not known which of them answers best.
        """
        foreign = self._in_other_language(questions)
        texts = [normalized(one.text) for one in questions]
        reasons = [self._reason(one, text, one.chunk_id in foreign) for one, text in zip(questions, texts, strict=True)]
        owners = dict[str, set[int | str]]()
        for one, text, reason in zip(questions, texts, reasons, strict=True):
            if reason is None:
                owners.setdefault(text, set()).add(self._cluster(one.chunk_id))
        seen = set[str]()
        for row, text in enumerate(texts):
            if reasons[row] is None:
                if text in seen or len(owners[text]) > 1:
                    reasons[row] = "duplicate"
                seen.add(text)
        return reasons

    def _reason(self, question: WrittenQuestion, text: str, foreign: bool) -> str | None:
        """Return why a question, and its normalized text, is dropped by itself."""
        chunk = self._chunks[question.chunk_id]
        if not text:
            return "empty"
        if len(question.text) > _MOST_CHARACTERS or len(word_spans(question.text)) > _MOST_WORDS:
            return "too_long"
        if foreign:
            return "other_language"
        if leans_on_context(question.text):
            return "leans_on_context"
        if only_names(question.text, chunk, self._language):
            return "only_names_its_chunk"
        return "equals_a_judged_query" if text in self._judged else None

    def _in_other_language(self, questions: Sequence[WrittenQuestion]) -> set[str]:
        """Return the chunks whose questions, taken together, are surely in another language than the chunk."""
        texts = dict[str, list[str]]()
        for one in questions:
            texts.setdefault(one.chunk_id, []).append(one.text)
        foreign = set[str]()
        for chunk_id, of_chunk in texts.items():
            found = _languages(" ".join(of_chunk))
            if max(found, key=found.__getitem__) != self._language:
                own = _languages(self._chunks[chunk_id].content[:1000])
                language = max(own, key=own.__getitem__)
                if own[language] >= _SURE and found[language] <= _UNLIKELY:
                    foreign.add(chunk_id)
        return foreign

    def _cluster(self, chunk_id: str) -> int | str:
        cluster = self._chunks[chunk_id].cluster_id
        return chunk_id if cluster < 0 else cluster


def _languages(text: str) -> dict[str, float]:
    """Return the probability of each language, by its two-letter code."""
    return {str(language): float(probability) for language, probability in _identifier().rank(text)}


@cache
def _identifier() -> Any:
    from py3langid import langid  # loads its model in a second

    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)


@cache
def _fillers(language: str) -> frozenset[str]:
    """Return the terms of a language that carry no content: the stop words, and those that questions are made of."""
    return stop_words(language) | (_ASKING if language == ENGLISH else frozenset())

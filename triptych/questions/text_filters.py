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
_SURE = 0.9  # probability of a language, of the question and of its chunk
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
        reasons = [self._reason(one, one.chunk_id in foreign) for one in questions]
        owners = dict[str, set[Any]]()
        for one, reason in zip(questions, reasons, strict=True):
            if reason is None:
                owners.setdefault(normalized(one.text), set()).add(self._cluster(one.chunk_id))
        seen = set[str]()
        for row, one in enumerate(questions):
            if reasons[row] is None:
                text = normalized(one.text)
                if text in seen or len(owners[text]) > 1:
                    reasons[row] = "duplicate"
                seen.add(text)
        return reasons

    def _reason(self, question: WrittenQuestion, foreign: bool) -> str | None:
        text, chunk = question.text, self._chunks[question.chunk_id]
        if not normalized(text):
            return "empty"
        if len(text) > _MOST_CHARACTERS or len(word_spans(text)) > _MOST_WORDS:
            return "too_long"
        if foreign:
            return "other_language"
        if leans_on_context(text):
            return "leans_on_context"
        if only_names(text, chunk, self._language):
            return "only_names_its_chunk"
        return "equals_a_judged_query" if normalized(text) in self._judged else None

    def _in_other_language(self, questions: Sequence[WrittenQuestion]) -> set[str]:
        """Return the chunks whose questions, taken together, are surely in another language than the chunk."""
        texts = dict[str, list[str]]()
        for one in questions:
            texts.setdefault(one.chunk_id, []).append(one.text)
        foreign = set[str]()
        for chunk_id, of_chunk in texts.items():
            found, probability = _language(" ".join(of_chunk))
            if probability >= _SURE and found != self._language:
                own, own_probability = _language(self._chunks[chunk_id].content[:1000])
                if own != found and own_probability >= _SURE:
                    foreign.add(chunk_id)
        return foreign

    def _cluster(self, chunk_id: str) -> int | str:
        cluster = self._chunks[chunk_id].cluster_id
        return chunk_id if cluster < 0 else cluster


def _language(text: str) -> tuple[str, float]:
    """Return the two-letter code of a text's language and its probability."""
    language, probability = _identifier().classify(text)
    return str(language), float(probability)


@cache
def _identifier() -> Any:
    from py3langid import langid  # loads its model in a second

    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)


@cache
def _fillers(language: str) -> frozenset[str]:
    """Return the terms of a language that carry no content: the stop words, and those that questions are made of."""
    return stop_words(language) | (_ASKING if language == ENGLISH else frozenset())

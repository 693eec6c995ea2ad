"""The question in the words around a link, or why they are none.

A link inside a sentence mostly leads to the definition of one word, so that the sentence is not a question about its
target. Only sentences whose form shows what the target is about are used, and of a sentence that points there ("To
learn how to share state, see X") only what it points for. These forms are English; in other languages there are
descriptions, summaries and definitions, which are recognized by their place.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from triptych.corpus.queries.english_forms import (
    ASIDE,
    CHANGE_LOG_MARKS,
    CODE,
    EMPTY_WORDS,
    FOR,
    LEANS_ANYWHERE,
    LEANS_AT_START,
    LINK,
    POINTER,
    POINTER_START,
    POINTING,
    PRONOUN_EARLY,
    PRONOUN_LAST,
    PURPOSE,
    SECOND_POINTER,
    TAIL,
    TELLING,
    TOPIC,
)
from triptych.corpus.records import CHANGE, GLOSSARY, INDEX, SENTENCE
from triptych.corpus.texts import is_prose, word_count

LEANS = "leans_on_surroundings"
POINTS = "only_points"
INSIDE = "link_inside_sentence"
TOO_SHORT = "too_short"
NOT_PROSE = "not_prose"
LONGEST = 30  # words
# A text with such a letter is not English: words that lean in English mean something else there ("as" in Portuguese).
_OTHER_LETTER = re.compile(r"[^\W\d_a-zA-Z]")
_LONGEST_CONTEXT = 500  # characters


class Question(NamedTuple):
    """A text to ask, and how much of it the target must contain; or an empty text and the reason."""

    text: str
    reason: str = ""
    evidence: float = 0.0  # share of its words


@lru_cache(maxsize=65_536)
def question_of(kind: str, link_text: str, context: str) -> Question:
    """Return the question in the context of a link.

    >>> question_of("sentence", "Sharing state", "To learn how to share state, see Sharing state.").text
    'how to share state'
    >>> question_of("sentence", "state", "A component keeps its state between renders.").reason
    'link_inside_sentence'
    """
    if len(context) > _LONGEST_CONTEXT:
        return Question("", NOT_PROSE)
    if kind == SENTENCE:
        return _of_sentence(link_text, context)
    text = CHANGE_LOG_MARKS.sub("", context).strip() if kind == CHANGE else context.strip()
    if kind == INDEX:
        return Question(text) if word_count(text) > 1 else Question("", TOO_SHORT)
    text = TAIL.sub("", text)
    if kind == CHANGE and not EMPTY_WORDS.sub("", text.replace(link_text, " ")).strip():
        return Question("", POINTS)
    return _standing(text, 0.5 if kind in (CHANGE, GLOSSARY) else 0.0)


def leans(text: str) -> bool:
    """Return whether a text makes no sense without what is around it.

    >>> leans("the section above"), leans("how to share state")
    (True, False)
    """
    if _OTHER_LETTER.search(text):
        return False
    return bool(LEANS_ANYWHERE.search(text) or PRONOUN_EARLY.match(text) or PRONOUN_LAST.search(text))


def is_empty(text: str) -> bool:
    """Return whether a text has at most one word that says what it is about.

    >>> is_empty("more information is available"), is_empty("how to share state"), is_empty("如何清洗")
    (True, False, False)
    """
    return word_count(EMPTY_WORDS.sub(" ", text)) < 2


def _of_sentence(link_text: str, context: str) -> Question:
    at = context.find(link_text)
    sentence = context[:at] + LINK + context[at + len(link_text) :] if at >= 0 else context
    sentence = ASIDE.sub(lambda match: match[0] if LINK in match[0] else "", sentence.strip())
    bare = TAIL.sub("", sentence)
    for pattern in POINTING:
        if match := pattern.match(bare):
            what = TAIL.sub("", SECOND_POINTER.sub("", match["what"])).strip(" “”\"'")
            if LINK in what:
                return Question("", INSIDE)
            return _standing(what, 0.0)
    for pattern in PURPOSE:
        if (match := pattern.match(bare)) and LINK not in match["what"]:
            return _standing(TAIL.sub("", match["what"]), 0.4)
    if TOPIC.match(sentence) and sentence.count(LINK) == 1:
        if context.rstrip().endswith(":"):
            return Question("", LEANS)
        return _standing(TAIL.sub("", context), 0.4)
    return Question("", POINTS if POINTER_START.match(sentence) else INSIDE)


def _standing(text: str, evidence: float) -> Question:
    """Return a text as a question if it stands by itself."""
    text = TELLING.sub("", FOR.sub("", text.replace(LINK, " ").strip()))
    if POINTER.match(text) or is_empty(text) or word_count(EMPTY_WORDS.sub(" ", text)) + word_count(text) < 6:
        return Question("", POINTS)
    if leans(text) or (LEANS_AT_START.match(text) and not _OTHER_LETTER.search(text)):
        return Question("", LEANS)
    if word_count(text) < 3:
        return Question("", TOO_SHORT)
    if word_count(text) > LONGEST or not is_prose(text, 3) or CODE.search(text):
        return Question("", NOT_PROSE)
    return Question(text, "", evidence)

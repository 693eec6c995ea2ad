"""Questions read from the answer of a language model, whatever it is."""

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# Why an answer has no questions.
REFUSAL, EMPTY, CUT, NOT_JSON, NOTHING = "refusal", "empty", "cut", "not_json", "nothing"
_REFUSALS = ("i'm sorry", "i am sorry", "sorry,", "i can't", "i cannot", "i'm unable", "i am unable", "as an ai")
_MOST_READ = 20_000  # characters of an answer
_MOST_KEPT = 1_000  # characters of a question
_MOST_STARTS = 50  # brackets that begin no JSON, after which the rest is not looked at


@dataclass(frozen=True, slots=True)
class Answer:
    """What a language model answered."""

    text: str
    finish: str  # why it stopped: stop, length, content_filter ...
    refused: bool
    tokens: int | None  # of prompt and answer together, as the endpoint counts; None if it does not


def questions_in(answer: Answer, most: int, forms: tuple[str, ...]) -> tuple[list[tuple[str, str]], str | None]:
    """Return up to ``most`` questions as (text, form), or none and the reason.

    Accepts a list of questions, or an object with one, in any text around it; each question is a string or an object.
    Of JSON that ends too early the whole questions are kept. A form that is not in ``forms`` becomes empty.
    """
    text = answer.text.rpartition("</think>")[2][:_MOST_READ]
    questions = dict[str, str]()
    values = list(_json_values(text))
    for value in values:
        for question, form in _questions(value):
            questions.setdefault(question, form if form in forms else "")
    if questions:
        return list(questions.items())[:most], None
    if answer.refused or text.strip().casefold().replace("\u2019", "'").startswith(_REFUSALS):
        return [], REFUSAL
    if answer.finish == "length":
        return [], CUT
    if not text.strip():
        return [], EMPTY
    return [], NOTHING if values else NOT_JSON


def _json_values(text: str) -> Iterator[Any]:
    """Yield the objects and lists in a text, outermost first; of one that ends too early, those within it."""
    decoder, position, failures = json.JSONDecoder(), 0, 0
    while failures < _MOST_STARTS:
        starts = [start for start in (text.find("{", position), text.find("[", position)) if start >= 0]
        if not starts:
            return
        try:
            value, position = decoder.raw_decode(text, min(starts))
            yield value
        except (ValueError, RecursionError):
            position, failures = min(starts) + 1, failures + 1


def _questions(value: Any) -> Iterator[tuple[str, str]]:
    """Yield (text, form) of each question in a value of JSON."""
    if isinstance(value, dict) and isinstance(value.get("questions"), list):
        value = value["questions"]
    for one in value if isinstance(value, list) else [value]:
        text, form = one, ""
        if isinstance(one, dict):
            text, form = one.get("text", one.get("question")), one.get("form", "")
        if isinstance(text, str) and (plain := _plain(text)):
            yield plain, form if isinstance(form, str) else ""


def _plain(text: str) -> str:
    """Return a question on one line, without control characters and half surrogates."""
    kept = "".join(" " if unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") else one for one in text[:_MOST_KEPT])
    return " ".join(kept.split())

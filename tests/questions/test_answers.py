"""Questions are read from any answer; an answer without one has a reason."""

import json
import time

import pytest
from scripted_endpoint import questions

from triptych.questions.answers import Answer, questions_in

FORMS = ("task", "keywords")
TWO = [("how to clean a pump", "task"), ("pump cleaning", "task")]
GOOD = questions("how to clean a pump", "pump cleaning")


def read(text, finish="stop", refused=False, most=2):
    return questions_in(Answer(text, finish, refused, None), most, FORMS)


ACCEPTED = {
    "as asked for": GOOD,
    "fenced": f"```json\n{GOOD}\n```",
    "with words around it": f"Sure! Here are [two] questions {{as}} you wished:\n{GOOD}\nAnything else?",
    "after thinking": f'<think>{{"questions": ["wrong"]}} or so</think>\n{GOOD}',
    "a list": json.dumps(json.loads(GOOD)["questions"]),
    "one after another": '{"form": "task", "text": "how to clean a pump"}\n{"form": "task", "text": "pump cleaning"}',
    "cut within the third": GOOD[:-2] + ', {"form": "task", "text": "why doe',
    "more than asked for": questions("how to clean a pump", "pump cleaning", "third", "fourth"),
    "one of them twice": questions("how to clean a pump", "how to clean a pump", "pump cleaning"),
    "other name of the text": GOOD.replace('"text"', '"question"'),
    "white space and control characters": questions("how to\n clean\x07 a\u2028pump", "  pump cleaning "),
    "between values of other types": json.dumps({"questions": [None, 3, *json.loads(GOOD)["questions"], [], {}]}),
}


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_the_questions_are_found(text):
    assert read(text) == (TWO, None)


def test_plain_texts_have_no_form_and_unknown_forms_are_dropped():
    assert read('{"questions": ["how to clean a pump"]}') == ([("how to clean a pump", "")], None)
    assert read(questions("pump cleaning", form="poem")) == ([("pump cleaning", "")], None)
    assert read('{"questions": [{"text": "pump cleaning", "form": ["task"]}]}') == ([("pump cleaning", "")], None)


WITHOUT = {
    "refusal in words": ("I\u2019m sorry, but I can't help with that.", "refusal"),
    "refusal": ("As an AI model, I cannot write this.", "refusal"),
    "empty": (" \n", "empty"),
    "prose": ("The pump should be cleaned yearly.", "not_json"),
    "nothing to ask": ('{"questions": []}', "nothing"),
    "empty texts": ('{"questions": ["", {"text": "  "}]}', "nothing"),
    "wrong types": ('{"questions": [1, {"text": 2}, {"text": ["x"]}]}', "nothing"),
    "not even JSON": ('{"questions: [', "not_json"),
    "thoughts only": ("<think>hmm</think>", "empty"),
}


@pytest.mark.parametrize(("text", "reason"), WITHOUT.values(), ids=WITHOUT.keys())
def test_an_answer_without_questions_has_a_reason(text, reason):
    assert read(text) == ([], reason)


def test_the_endpoints_own_word_counts_too():
    assert read("", refused=True) == ([], "refusal")
    assert read('{"questions": [{"form": "ta', finish="length") == ([], "cut")


@pytest.mark.parametrize("text", ["[" * 1_000_000, '{"a":' * 200_000, GOOD[:20] * 50_000, '[{"text":' * 100_000])
def test_a_huge_or_deep_answer_is_read_in_a_moment(text):
    started = time.process_time()
    assert read(text)[1] in ("not_json", "nothing")
    assert time.process_time() - started < 2


def test_a_question_has_a_length():
    ((text, _),) = read(questions("x" * 5_000))[0]
    assert len(text) == 1_000


def test_half_surrogates_can_be_written():
    ((text, _),) = read('{"questions": ["pump \\ud800 cleaning"]}')[0]
    assert text.encode() == b"pump cleaning"

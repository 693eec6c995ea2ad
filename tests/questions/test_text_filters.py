"""Each filter drops what it is for, under its own reason, and leaves good questions alone."""

import time

import pytest
from hand_made import chunk

from triptych.corpus.written_questions import WrittenQuestion
from triptych.questions.text_filters import TEXT_REASONS, TextFilter

ENGLISH = "Clean the filter of the pump before winter comes. A pump that leaks must be replaced by two people."
CHUNKS = [
    chunk(0, title="Pump.clean", header_path=("Pumps", "Pump.clean"), content=ENGLISH),
    chunk(1, title="Valves", header_path=("Valves",), content=ENGLISH.replace("pump", "valve")),
    chunk(
        2, title="Valves again", header_path=("Valves again",), content=ENGLISH.replace("pump", "valve"), cluster_id=1
    ),
]


def reasons(*texts, judged=(), chunks=CHUNKS, language="en"):
    questions = [WrittenQuestion(f"lists{row}", text, "") for row, text in texts]
    return TextFilter(chunks, judged, language).reasons(questions)


GOOD = [
    "How often do I have to clean the filter?",
    "pump leaks after winter",
    "What does this error mean: pump 3 is dry?",
    "Which columns of my table eat the most memory, counting the text in them?",
    "How do I read the text of a page?",
    "Why is the value below zero?",
    "In which section of the file is the version?",
    "what is Pump.clean good for in winter",
]


@pytest.mark.parametrize("text", GOOD)
def test_a_question_that_stands_alone_is_kept(text):
    assert reasons((0, text)) == [None]


DROPPED = {
    "empty": ["", " ?! "],
    "too_long": ["how to " + "clean " * 60, "x" * 500],
    "leans_on_context": [
        "What does this function return?",
        "When are these methods faster?",
        "What is described above?",
        "According to the passage, who cleans the pump?",
        "What must be done in the section?",
        "Which of the following methods is faster?",
        "What does the text above say about pumps?",
    ],
    "only_names_its_chunk": [
        "Pump.clean",
        "What is Pump.clean?",
        "How do I use the Pump.clean method?",
        "What does it do?",
    ],
    "other_language": [
        "Wie oft muss ich den Filter der Pumpe reinigen, wenn der Winter kommt?",
        "如何清洗过滤器",
    ],
}


@pytest.mark.parametrize(("reason", "text"), [(reason, text) for reason, texts in DROPPED.items() for text in texts])
def test_a_question_is_dropped_under_its_reason(reason, text):
    assert reasons((0, text)) == [reason]
    assert reason in TEXT_REASONS


def test_a_question_that_equals_a_dev_or_test_query_is_dropped():
    assert reasons((0, "Pump leaks?"), (0, "pump leaks again"), judged=["pump  LEAKS"]) == [
        "equals_a_judged_query",
        None,
    ]


def test_a_question_that_two_chunks_share_is_no_ones():
    assert reasons((0, "how to clean it in winter"), (1, "How to clean it in winter?")) == ["duplicate", "duplicate"]


def test_of_equal_questions_of_one_chunk_or_of_near_duplicates_the_first_is_kept():
    assert reasons((0, "pump leaks"), (0, "Pump leaks!")) == [None, "duplicate"]
    assert reasons((1, "valve leaks"), (2, "valve leaks")) == [None, "duplicate"]


def test_a_question_dropped_for_another_reason_makes_no_duplicate():
    texts = [(0, "What is Pump.clean?"), (1, "What is Pump.clean?")]
    assert reasons(*texts) == ["only_names_its_chunk", None]


def test_questions_in_the_language_of_their_chunk_are_kept_in_a_corpus_of_another():
    german = "Der Filter der Pumpe muss vor dem Winter gereinigt werden, sonst friert das Wasser in der Leitung ein."
    chunks = [chunk(0, content=german, title="Filter"), *CHUNKS[1:]]
    assert reasons((0, "Wie oft muss ich den Filter der Pumpe reinigen?"), chunks=chunks) == [None]


def test_100000_questions_take_seconds():
    chunks = [chunk(row % 50, chunk_id=f"lists{row}", cluster_id=row) for row in range(50_000)]
    texts = [(row // 2, f"how do I clean pump number {row} in winter") for row in range(100_000)]
    started = time.process_time()
    assert set(reasons(*texts, chunks=chunks)) == {None}
    assert time.process_time() - started < 30

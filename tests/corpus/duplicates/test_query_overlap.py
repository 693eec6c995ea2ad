"""The nearest train query of each test query."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triptych.corpus.duplicates.query_overlap import nearest, query_overlap_metrics, written_overlap_metrics
from triptych.corpus.records import Query
from triptych.corpus.written_questions import WrittenQuestion

WORDS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6).map(" ".join)


def similarity(left, right):
    one, other = (set(re.findall(r"\w+", text.casefold())) for text in (left, right))
    return len(one & other) / len(one | other)


def queries(*texts):
    return [Query(f"q{index}", text, "user", "lists") for index, text in enumerate(texts)]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(WORDS, min_size=1, max_size=8), st.lists(WORDS, min_size=1, max_size=12))
def test_nearest_text_of_similarity_one_half_or_more_is_that_of_brute_force(test, train):
    indices, found = nearest(test, train)
    for text, index, value in zip(test, indices.tolist(), found.tolist(), strict=True):
        best = max(similarity(text, other) for other in train)
        assert value == (similarity(text, train[index]) if index >= 0 else 0.0)
        assert value == best if best >= 0.5 else value <= best


def test_queries_without_common_words_have_no_neighbor():
    indices, found = nearest(["sort lists", "???"], ["join tables"])
    assert (indices.tolist(), found.tolist()) == ([-1, -1], [0.0, 0.0])


def test_many_queries_of_the_same_words_propose_nothing_by_these():
    common = [f"how do i use thing{number}" for number in range(2000)]
    indices, found = nearest(["how do i use thing7", "how do i"], common)
    assert (indices.tolist(), found.tolist()) == ([7, -1], [1.0, 0.0])


def test_figures_are_a_distribution_and_the_closest_to_look_at():
    test = queries("sort a list", "join two tables", "plot")
    train = queries("sort a long list", "merge tables")
    metrics = query_overlap_metrics(test, train)
    assert (metrics["test_queries"], metrics["train_queries"]) == (3, 2)
    assert metrics["max"] == metrics["p99"] == 0.75
    assert metrics["p50"] == 0.25
    assert metrics["at_least_0.5"] == pytest.approx(1 / 3)
    assert metrics["closest"][0] == {
        "similarity": 0.75,
        "test": {"q0": "sort a list"},
        "train": {"q0": "sort a long list"},
    }
    assert len(metrics["closest"]) == 2


def test_order_of_the_queries_does_not_matter():
    test, train = queries("sort a list", "join two tables"), queries("sort lists", "a list", "list a sort of two")
    assert query_overlap_metrics(test[::-1], train[::-1]) == query_overlap_metrics(test, train)


@pytest.mark.parametrize(("test", "train"), [((), ("a",)), (("a",), ()), ((), ())])
def test_without_queries_there_is_no_distribution(test, train):
    assert query_overlap_metrics(queries(*test), queries(*train)) == {
        "test_queries": len(test),
        "train_queries": len(train),
    }


def written(*texts):
    return [WrittenQuestion(f"c{number}", text, "") for number, text in enumerate(texts)]


def test_written_questions_that_equal_or_nearly_equal_a_test_query_are_counted_and_shown():
    test = [
        Query("q1", "How do I sort a list?", "user", "x"),
        Query("q2", "how to glue two wide frames side by side on one key", "user", "x"),
        Query("q3", "plot a histogram", "user", "x"),
    ]
    found = written_overlap_metrics(
        test,
        written(
            "how do i  SORT a list?", "how to glue two wide frames side by side on a key", "how do I sort an array?"
        ),
    )
    assert (found["test_queries"], found["written_questions"]) == (3, 3)
    assert (found["equal"], found["nearly_equal"]) == (1, 1)
    assert found["closest"][0] == {
        "similarity": 1.0,
        "test": {"q1": "How do I sort a list?"},
        "written": {"c0": "how do i  SORT a list?"},
    }
    assert [list(one["test"]) for one in found["closest"]][:2] == [["q1"], ["q2"]]


@pytest.mark.parametrize(("tests", "texts"), [(0, 2), (1, 0), (0, 0)])
def test_without_written_questions_or_test_queries_nothing_is_compared(tests, texts):
    test = [Query("q1", "sort", "user", "x")][:tests]
    assert written_overlap_metrics(test, written("a", "b")[:texts]) == {
        "test_queries": tests,
        "written_questions": texts,
    }

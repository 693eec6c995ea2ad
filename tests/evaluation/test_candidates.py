"""Another base is said to be worth more than tuning only where that is sure."""

import pytest

from triptych.corpus.records import Query
from triptych.evaluation.candidates import against_tuned, worth_more
from triptych.params.sections import Evaluate

NUMBER = 120


def intervals_of(kind="user", **firsts):
    """Compare systems that rank the answer first for the given number of queries, and second for the others."""
    queries = {f"q{number:03}": Query(f"q{number:03}", "", kind, "api") for number in range(NUMBER)}
    qrels = {one: {"answer": 1} for one in queries}
    documents = {one: int(one[1:]) // 2 for one in queries}

    def run(first):
        right, wrong = {"answer": 2.0, "other": 1.0}, {"answer": 1.0, "other": 2.0}
        return {one: right if int(one[1:]) * first % NUMBER < first else wrong for one in queries}

    runs = {name.replace("candidate_", "candidate:"): run(first) for name, first in firsts.items()}
    return against_tuned(runs, qrels, queries, documents, Evaluate(bootstrap_samples=1000))


def test_a_candidate_that_is_surely_better_is_named_best_first():
    found = intervals_of(tuned_hybrid=40, candidate_a_hybrid=100, candidate_b_hybrid=110, candidate_b=0)
    sentences = worth_more(found, "mrr@10", 0.95)
    assert [one.split(": ")[1].split(" as it comes")[0] for one in sentences] == ["b", "a"]
    assert "mrr@10 0.250 [" in sentences[1]
    assert f"over {NUMBER} queries" in sentences[0]


@pytest.mark.parametrize("firsts", [{"candidate_a_hybrid": 41}, {"candidate_a_hybrid": 10}, {"candidate_a": 110}])
def test_nothing_is_said_of_one_that_may_be_worse_or_is_searched_otherwise(firsts):
    assert worth_more(intervals_of(tuned_hybrid=40, **firsts), "mrr@10", 0.95) == []


def test_queries_that_nobody_asked_prove_nothing():
    found = intervals_of("pseudo", tuned_hybrid=40, candidate_a_hybrid=110)
    assert found
    assert worth_more(found, "mrr@10", 0.95) == []


def test_without_candidates_there_is_nothing_to_compare():
    assert intervals_of(tuned_hybrid=40, base_hybrid=100) == []
    assert worth_more([], "mrr@10", 0.95) == []

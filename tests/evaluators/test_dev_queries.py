"""What the dev queries may choose, and when what was best over several corpora stays."""

from triptych.corpus.records import Query
from triptych.evaluators.dev_queries import COVERED, FEWEST, DevQueries
from triptych.retrieval.fusion import PRIOR, Fusion

CANDIDATES = [Fusion("zscore", weight) for weight in (0.0, PRIOR.dense_weight, 1.0)]
RIGHT, WRONG = {"a": 2.0, "b": 1.0}, {"a": 1.0, "b": 2.0}


def runs(dense_right, lexical_right, number=40):
    """Return dense and lexical hits of queries answered by ``a``: how many of them each run ranks first is given."""
    names = [f"q{row:02}" for row in range(number)]
    dense = {name: RIGHT if row < dense_right else WRONG for row, name in enumerate(names)}
    lexical = {name: RIGHT if row < lexical_right else WRONG for row, name in enumerate(names)}
    return dense, lexical, DevQueries({name: {"a": 1} for name in names}, "mrr@10")


def test_dev_chooses_where_the_gain_exceeds_its_standard_error():
    dense, lexical, dev = runs(dense_right=4, lexical_right=36)
    assert dev.fusion(dense, lexical, CANDIDATES) == Fusion("zscore", 0.0)
    assert dev.is_better(lexical, dense, by=0.3)  # 0.4 with a standard error of 0.032
    assert not dev.is_better(lexical, dense, by=0.38)


def test_a_gain_within_its_standard_error_changes_nothing():
    dense, _, dev = runs(dense_right=30, lexical_right=0)
    lexical = dict(zip(dense, [WRONG] * 9 + [RIGHT] * 31, strict=True))  # ten better, nine worse
    assert not dev.is_better(lexical, dense)
    assert dev.fusion(dense, lexical, CANDIDATES) == PRIOR


def test_few_queries_choose_nothing():
    dense, lexical, dev = runs(0, FEWEST - 1, FEWEST - 1)
    assert not dev.decide
    assert dev.fusion(dense, lexical, CANDIDATES) == PRIOR
    assert dev.fusion(dense, lexical, [Fusion("rrf", 0.4), Fusion("rrf", 0.6)]) == Fusion("rrf", 0.6)


def test_questions_of_nearly_all_chunks_are_searched_unless_dev_is_surely_against_them():
    asked, _, dev = runs(30, 0)
    unasked = dict(zip(asked, [WRONG] * 9 + [RIGHT] * 31, strict=True))  # ten better, nine worse
    assert dev.prefers_questions(asked, unasked, COVERED)
    asked, unasked, dev = runs(4, 36)
    assert not dev.prefers_questions(asked, unasked, 1.0)


def test_questions_of_some_chunks_are_searched_only_if_dev_surely_prefers_them():
    unasked, _, dev = runs(30, 0)
    asked = dict(zip(unasked, [WRONG] * 9 + [RIGHT] * 31, strict=True))  # ten better, nine worse
    assert not dev.prefers_questions(asked, unasked, COVERED - 0.01)
    asked, unasked, dev = runs(36, 4)
    assert dev.prefers_questions(asked, unasked, 0.01)


def test_without_dev_queries_only_questions_of_nearly_all_chunks_are_searched():
    asked, unasked, dev = runs(0, FEWEST - 1, FEWEST - 1)
    assert dev.prefers_questions(asked, unasked, COVERED)
    assert not dev.prefers_questions(asked, unasked, COVERED - 0.01)


def test_where_the_prior_is_no_candidate_the_best_is_taken():
    dense, lexical, dev = runs(31, 30)
    assert dev.fusion(dense, lexical, [Fusion("zscore", 0.0), Fusion("zscore", 1.0)]) == Fusion("zscore", 1.0)


def test_pseudo_queries_choose_nothing():
    queries = [Query("asked", "?", "user", "c"), Query("made", "?", "pseudo", "c")]
    dev = DevQueries.of(queries, {"asked": {"a": 1}, "made": {"a": 1}}, "mrr@10")
    assert dev.qrels == {"asked": {"a": 1}}

"""Late interaction by its definition, the error of int8, and token vectors on disk."""

import numpy as np
import pytest

from triptych.retrieval.late_interaction import TokenVectors, coded, late_scores, save_tokens

LENGTHS = [3, 1, 7, 40]


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def passages():
    random = np.random.default_rng(3)
    return [unit(random.normal(size=(length, 24))).astype(np.float32) for length in LENGTHS]


@pytest.fixture
def question():
    return unit(np.random.default_rng(4).normal(size=(5, 24))).astype(np.float32)


def by_definition(question, passage):
    return np.mean([max(float(asked @ said) for said in passage) for asked in question])


def test_a_score_is_the_mean_of_the_closest_tokens(passages, question):
    tokens = TokenVectors.of([coded(one) for one in passages])
    wanted = [by_definition(question, passages[row]) for row in (2, 0, 3, 1)]
    np.testing.assert_allclose(tokens.max_sim(question, [2, 0, 3, 1]), wanted, atol=0.01)  # of eight bits


def test_a_passage_with_the_questions_own_tokens_has_all_there_is(question):
    tokens = TokenVectors.of([coded(question[::-1])])
    assert tokens.max_sim(question, [0])[0] == pytest.approx(1, abs=1e-3)


def test_a_code_keeps_the_direction_of_each_token_and_one_of_zeros_says_nothing():
    vectors = np.float32([[3, -4, 0], [1e-6, 0, 1e-6], [0, 0, 0]])
    tokens = TokenVectors.of([coded(vectors)])
    np.testing.assert_allclose(tokens.vectors([0]), [[0.6, -0.8, 0], [0.5**0.5, 0, 0.5**0.5], [0, 0, 0]], atol=0.005)


def test_what_is_written_in_blocks_is_mapped_back_whole(passages, tmp_path):
    codes = [coded(one) for one in passages]
    size = save_tokens(tmp_path, iter([TokenVectors.of(codes[:3]), TokenVectors.of(codes[3:])]))
    assert size == sum(path.stat().st_size for path in tmp_path.iterdir())
    found = TokenVectors.open(tmp_path)
    assert isinstance(found.codes, np.memmap)
    assert len(found) == len(codes)
    for mine, theirs in zip(found.each(), codes, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_blocks_are_joined_in_their_order(passages):
    codes = [coded(one) for one in passages]
    blocks = [TokenVectors.of(codes[:1]), TokenVectors.of(codes[1:3]), TokenVectors.of(codes[3:])]
    for mine, theirs in zip(TokenVectors.join(blocks).each(), codes, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert TokenVectors.join(blocks[1:2]).offsets.tolist() == blocks[1].offsets.tolist()


def test_the_best_hits_of_a_run_are_scored_and_no_others(passages, question):
    tokens = TokenVectors.of([coded(one) for one in passages])
    first = {"q": {"a": 1.0, "b": 3.0, "c": 2.0}, "none": {}}
    found = late_scores(first, {"q": question, "none": question}, tokens, {"a": 0, "b": 1, "c": 2}, 2)
    assert found["none"] == {}
    assert list(found["q"]) == ["b", "c"]
    assert found["q"]["c"] == pytest.approx(by_definition(question, passages[2]), abs=0.01)

"""Examples and their pools as columns: round trips through rows and files, joined pools, imported negatives first."""

import numpy as np
import pytest
from corpora import LEAD_ROWS, Example, example, example_sets, examples_of, look_alikes
from corpora import rows_of as examples_as_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from triptych.artifacts import write_table
from triptych.corpus.chunk_questions import ChunkQuestions
from triptych.errors import UserError
from triptych.triplets.examples import (
    Examples,
    QuestionIds,
    TextTable,
    _table,
    read_examples,
    read_passage_ids,
    read_query_text_ids,
    read_question_ids,
    read_texts,
    write_examples,
    write_texts,
)
from triptych.triplets.negatives import STRATEGIES, TIERS, Negative, Pool
from triptych.triplets.views import Anchor

RANDOM = settings(max_examples=60, deadline=None, derandomize=True)
NEGATIVE = st.builds(
    Negative,
    st.integers(0, 9),
    st.sampled_from(TIERS),
    st.sampled_from(STRATEGIES),
    *[st.floats(-1, 1, width=32)] * 3,
)
POOLS = st.lists(st.lists(NEGATIVE, max_size=4, unique_by=lambda one: one.chunk).map(tuple), max_size=5)


def rows_of(pool):
    return [pool[row] for row in range(len(pool))]


def equal(one, other):
    names = ("anchor", "positive", "positive_chunk", "view", "category")
    columns = [(getattr(one, name), getattr(other, name)) for name in names]
    columns += [(getattr(one.pool, name), getattr(other.pool, name)) for name in Pool.__slots__]
    same = all(left.dtype == right.dtype and np.array_equal(left, right) for left, right in columns)
    return same and one.categories == other.categories


@RANDOM
@given(POOLS)
def test_pool_returns_the_negatives_it_was_built_from(rows):
    pool = Pool.of(rows)
    assert rows_of(pool) == rows
    assert pool.anchors.tolist() == [number for number, row in enumerate(rows) for _ in row]


@RANDOM
@given(st.lists(POOLS, min_size=1, max_size=4))
def test_joined_pools_are_one_after_another(parts):
    joined = Pool.join([Pool.of(rows) for rows in parts])
    assert rows_of(joined) == [row for rows in parts for row in rows]
    assert joined.offsets.dtype == np.int64


@RANDOM
@given(POOLS, POOLS, st.integers(0, 4))
def test_given_negatives_stand_first_and_the_pool_fills_their_tiers(before, own, size):
    given_ones = [row[: len(row) // 2] for row in own]
    found = rows_of(Pool.of([*before, *own]).preferring(given_ones, size))
    assert found[: len(before)] == before
    assert len(found) == len(before) + len(own)
    for row, first, rest in zip(found[len(before) :], given_ones, own, strict=True):
        assert row[: len(first)] == first
        assert len({one.chunk for one in row}) == len(row)
        assert set(row[len(first) :]) <= set(rest)
        for tier in TIERS:
            asked, there = (sum(one.tier == tier for one in part) for part in (first, rest))
            assert sum(one.tier == tier for one in row) == max(asked, min(size, there))


def test_given_negative_that_the_pool_has_too_is_there_once_as_it_was_given():
    own, mine = Negative(3, "easy", "random", 0.1), Negative(3, "hard", "imported", 0.0)
    assert Pool.of([[own, Negative(4, "easy", "random", 0.1)]]).preferring([[mine]], 4)[0] == (
        mine,
        Negative(4, "easy", "random", pytest.approx(0.1)),
    )


def test_nothing_given_changes_nothing():
    pool = Pool.of([[Negative(3, "easy", "random", 0.1)]])
    assert pool.preferring([], 4) is pool


def test_examples_of_anchors_share_the_ids_of_equal_texts():
    texts = [("sort", 1, "passage 1", "lead"), ("sort", 0, "passage 0", "query"), ("passage 1", 2, "p", "sibling")]
    table, pool = TextTable(), Pool.of([[], [], []])
    examples = Examples.of_anchors([Anchor(*one) for one in texts], look_alikes(3), pool, table)
    assert [table.texts[one] for one in examples.anchor] == ["sort", "sort", "passage 1"]
    assert [table.texts[one] for one in examples.positive] == ["passage 1", "passage 0", "p"]
    assert len(set(table.texts)) == len(table.texts) == 4  # a sibling's anchor is a passage, and known already
    rows = examples_as_rows(examples)
    assert equal(examples, examples_of(rows, pool))
    assert [(row.positive_chunk, row.view, row.category) for row in rows] == [
        (1, "lead", "tables"),
        (0, "query", "lists"),
        (2, "sibling", "lists"),
    ]


def test_no_anchors_give_no_examples():
    assert equal(Examples.of_anchors([], [], Pool.of([]), TextTable()), examples_of([]))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(example_sets())
def test_examples_that_were_written_are_read_back_equal(tmp_path_factory, examples):
    path = tmp_path_factory.mktemp("examples") / "examples.parquet"
    write_examples(path, examples)
    assert equal(read_examples(path), examples)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [Example(0, 1, 2, "lead", "lists", ())],
        [Example(0, 1, 2, "imported", "lists", ()), *LEAD_ROWS[:2], Example(3, 4, 5, "query", "maps", ())],
    ],
    ids=["no example", "no negative", "some empty pools"],
)
def test_empty_pools_are_read_back_as_empty_pools(tmp_path, rows):
    examples = examples_of(rows)
    write_examples(tmp_path / "examples.parquet", examples)
    found = read_examples(tmp_path / "examples.parquet")
    assert equal(found, examples)
    assert examples_as_rows(found) == rows


def test_more_examples_than_a_row_group_are_read_back_equal(tmp_path):
    number = 70_000
    pool = Pool.of([LEAD_ROWS[0].negatives[:2]])
    offsets = np.minimum(np.arange(number + 1), 2)
    examples = Examples(
        *(np.arange(number, dtype=np.int32) for _ in range(3)),
        np.zeros(number, np.int8),
        np.zeros(number, np.int16),
        ("lists",),
        Pool(offsets, pool.chunk, pool.tier, pool.strategy, pool.score, pool.path, pool.lexical),
    )
    write_examples(tmp_path / "examples.parquet", examples)
    assert equal(read_examples(tmp_path / "examples.parquet"), examples)
    write_table(tmp_path / "at_once.parquet", _table(examples))
    assert (tmp_path / "at_once.parquet").read_bytes() == (tmp_path / "examples.parquet").read_bytes()


def test_missing_examples_are_named(tmp_path):
    with pytest.raises(UserError, match=r"examples\.parquet is missing"):
        read_examples(tmp_path / "examples.parquet")


def test_some_examples_are_chosen_by_seed_and_keep_their_order():
    examples = examples_of(LEAD_ROWS)
    one, same, other = (examples.sample(8, seed) for seed in (1, 1, 2))
    assert equal(one, same)
    assert not equal(one, other)
    assert one.anchor.tolist() == sorted(set(one.anchor.tolist()))
    assert [row.negatives for row in examples_as_rows(one)] == [
        example(number).negatives for number in one.anchor.tolist()
    ]
    assert equal(examples.sample(99, 1), examples)


def test_text_has_one_id_for_each_role(tmp_path):
    table = TextTable()
    assert [table.add(*one) for one in (("query", "a"), ("passage", "a"), ("query", "a"))] == [0, 1, 0]
    questions = QuestionIds.added(ChunkQuestions(np.array([0, 2]), ["a", "new"]), table)
    write_texts(tmp_path, table, [1, 1], {"q1": 0}, questions)
    assert read_texts(tmp_path) == (["query", "passage", "query"], ["a", "a", "new"])
    assert read_passage_ids(tmp_path).tolist() == [1, 1]
    assert read_query_text_ids(tmp_path) == {"q1": 0}
    found = read_question_ids(tmp_path)
    assert (found.text.tolist(), found.chunk.tolist()) == ([0, 2], [0, 2])

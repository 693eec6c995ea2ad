"""Written questions by chunk: order, unknown chunks, coverage, and the texts that BM25 searches."""

import time
from dataclasses import replace

import pytest
from hand_made import two_categories

from triptych.corpus.chunk_questions import ChunkQuestions
from triptych.corpus.written_questions import WrittenQuestion

IDS = ["a", "b", "c"]


def of(*written, ids=IDS):
    return ChunkQuestions.of([WrittenQuestion(one, text, "task") for one, text in written], ids)


def test_questions_come_in_the_order_of_their_chunks_and_keep_their_own():
    found = of(("c", "1"), ("a", "2"), ("gone", "3"), ("c", "0"))
    assert (found.chunk.tolist(), found.texts, found.unknown) == ([0, 2, 2], ["2", "1", "0"], 1)
    assert found.added_to(["A", "B", "C"]) == ["A\n2", "B", "C\n1\n0"]


def test_no_questions_add_nothing():
    assert ChunkQuestions.none().added_to(IDS) == IDS
    assert of().coverage(two_categories(3)) == 0
    assert of(("gone", "?")).texts == []


def test_coverage_is_that_of_the_category_with_the_fewest():
    chunks = two_categories(20)
    ids = [chunk.chunk_id for chunk in chunks]
    assert of(*((one, "?") for one in ids), ids=ids).coverage(chunks) == 1.0
    assert of(*((one, "?") for one in ids[2:]), ids=ids).coverage(chunks) == pytest.approx(0.9)
    lists = [(one, "?") for one in ids if one.startswith("lists")]
    assert of(*lists, ids=ids).coverage(chunks) == 0.0  # none of tables


def test_a_near_duplicate_of_a_chunk_with_questions_is_covered():
    chunks = [replace(one, category="lists", cluster_id=row // 2) for row, one in enumerate(two_categories(6))]
    ids = [chunk.chunk_id for chunk in chunks]
    assert of((ids[0], "?"), (ids[2], "?"), (ids[5], "?"), ids=ids).coverage(chunks) == 1.0
    alone = [replace(one, cluster_id=-1) for one in chunks]
    assert of((ids[0], "?"), (ids[2], "?"), (ids[5], "?"), ids=ids).coverage(alone) == 0.5


def test_a_hundred_thousand_questions_take_a_moment():
    ids = [f"c{row}" for row in range(50_000)]
    written = [WrittenQuestion(ids[-1 - row // 2], f"question {row}", "") for row in range(100_000)]
    started = time.perf_counter()
    assert len(ChunkQuestions.of(written, ids).added_to(ids)) == 50_000
    assert time.perf_counter() - started < 5

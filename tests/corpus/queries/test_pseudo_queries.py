"""Pseudo-queries: of the chunk's own words, labeled, the same whatever the order of the rows."""

from collections import Counter
from dataclasses import replace
from random import Random

import numpy as np
from hand_made import stored

from triptych.corpus.queries.pseudo_queries import pseudo_queries
from triptych.corpus.records import SPLITS, Chunk
from triptych.corpus.texts import normalized


def chunk(row, category="lists", title=None, content=None):
    title = f"Ordering {category} of kind {row}" if title is None else title
    content = (
        f"Kind {row} of {category} is put in order. It sorts {category} of kind {row} by key."
        if content is None
        else content
    )
    return Chunk(f"{category}{row:04}", category, f"{row}.md", (title,), title, content, f"{row}")


def made(chunks, sides=None, seed=13, min_words=3):
    table, columns = stored(chunks)
    sides = np.arange(len(chunks), dtype=np.int8) % 3 if sides is None else np.array(sides, dtype=np.int8)
    return pseudo_queries(table, columns, sides, seed, min_words)


CHUNKS = [chunk(row) for row in range(60)]


def test_each_dev_and_test_chunk_is_asked_for_with_words_of_its_own():
    placed, dropped = made(CHUNKS)
    by_id = {one.chunk_id: one for one in CHUNKS}
    assert not dropped
    assert placed["train"] == []
    for side, split in ((1, "dev"), (2, "test")):
        assert [item.relevant for item in placed[split]] == [{one.chunk_id: 1} for one in CHUNKS[side::3]]
        for item in placed[split]:
            (answer,) = item.relevant
            assert item.query.text in by_id[answer].title + "\n" + by_id[answer].content
    kinds = [item.query.text.startswith("Ordering") for split in ("dev", "test") for item in placed[split]]
    assert set(kinds) == {True, False}


def test_they_carry_their_label_and_the_category_of_the_chunk():
    placed, _ = made([chunk(row, ("lists", "tables")[row % 2]) for row in range(12)])
    found = [item.query for split in SPLITS for item in placed[split]]
    assert {query.kind for query in found} == {"pseudo"}
    assert all(query.query_id.startswith("pseudo-") for query in found)
    assert {query.category for query in found} == {"lists", "tables"}


def test_neither_order_of_the_rows_nor_other_chunks_change_a_query_but_the_seed_does():
    order = Random(1).sample(range(60), 60)
    sides = np.arange(60) % 3
    forward, _ = made(CHUNKS, sides)
    shuffled, _ = made([CHUNKS[row] for row in order], sides[order])

    def texts(placed):
        return {split: {(item.query.text, *item.relevant) for item in placed[split]} for split in SPLITS}

    assert texts(forward) == texts(shuffled)
    assert texts(made(CHUNKS[:30], sides[:30])[0])["test"] < texts(forward)["test"]
    assert texts(made(CHUNKS, sides, seed=14)[0]) != texts(forward)


def test_a_heading_that_several_chunks_bear_asks_for_none_of_them():
    chunks = [chunk(row, title="Notes on this page") for row in range(30)]
    placed, _ = made(chunks)
    assert len(placed["test"]) == 10
    assert not [item for item in placed["test"] if "Notes" in item.query.text]


def test_a_sentence_that_several_chunks_hold_is_dropped_and_counted():
    chunks = [chunk(row, title="", content="See the other page for this.") for row in range(9)]
    placed, dropped = made(chunks)
    assert placed == {"train": [], "dev": [], "test": []}
    assert dropped == {"same_text_of_another_chunk": 6}


def test_a_chunk_without_a_sentence_is_counted():
    placed, dropped = made([chunk(row, title="x", content=">>> sort(a, b)") for row in range(9)])
    assert not any(placed.values())
    assert dropped == {"no_sentence": 6}


def test_no_more_chunks_are_asked_for_than_serve():
    chunks = [chunk(row, category) for category in ("lists", "tables") for row in range(500)]
    placed, _ = made(chunks, [2] * 1000)
    assert Counter(item.query.category for item in placed["test"]) == {"lists": 300, "tables": 300}


def test_no_text_stands_in_two_splits(tiny_corpus):
    chunks = [replace(one, split="") for one in tiny_corpus.chunks]
    placed, _ = made(chunks, [SPLITS.index(one.split) for one in tiny_corpus.chunks])
    texts = [normalized(item.query.text) for split in SPLITS for item in placed[split]]
    assert len(texts) == len(set(texts)) > 10

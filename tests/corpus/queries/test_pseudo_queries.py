"""Pseudo-queries: from the text of the chunk, labeled, the same in any order of the rows."""

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


def generate(chunks, codes=None, seed=13, min_words=3):
    table, columns = stored(chunks)
    codes = np.arange(len(chunks), dtype=np.int8) % 3 if codes is None else np.array(codes, dtype=np.int8)
    return pseudo_queries(table, columns, codes, seed, min_words)


CHUNKS = [chunk(row) for row in range(60)]


def test_each_dev_and_test_chunk_gets_a_query_from_its_own_text():
    queries, dropped = generate(CHUNKS)
    by_id = {one.chunk_id: one for one in CHUNKS}
    assert not dropped
    assert queries["train"] == []
    for code, split in ((1, "dev"), (2, "test")):
        assert [item.relevant for item in queries[split]] == [{one.chunk_id: 1} for one in CHUNKS[code::3]]
        for item in queries[split]:
            (answer,) = item.relevant
            assert item.query.text in by_id[answer].title + "\n" + by_id[answer].content
    kinds = [item.query.text.startswith("Ordering") for split in ("dev", "test") for item in queries[split]]
    assert set(kinds) == {True, False}


def test_they_carry_their_label_and_the_category_of_the_chunk():
    queries, _ = generate([chunk(row, ("lists", "tables")[row % 2]) for row in range(12)])
    found = [item.query for split in SPLITS for item in queries[split]]
    assert {query.kind for query in found} == {"pseudo"}
    assert all(query.query_id.startswith("pseudo-") for query in found)
    assert {query.category for query in found} == {"lists", "tables"}


def test_neither_order_of_the_rows_nor_other_chunks_change_a_query_but_the_seed_does():
    order = Random(1).sample(range(60), 60)
    codes = np.arange(60) % 3
    forward, _ = generate(CHUNKS, codes)
    shuffled, _ = generate([CHUNKS[row] for row in order], codes[order])

    def texts(queries):
        return {split: {(item.query.text, *item.relevant) for item in queries[split]} for split in SPLITS}

    assert texts(forward) == texts(shuffled)
    assert texts(generate(CHUNKS[:30], codes[:30])[0])["test"] < texts(forward)["test"]
    assert texts(generate(CHUNKS, codes, seed=14)[0]) != texts(forward)


def test_heading_of_several_chunks_is_not_a_query():
    chunks = [chunk(row, title="Notes on this page") for row in range(30)]
    queries, _ = generate(chunks)
    assert len(queries["test"]) == 10
    assert not [item for item in queries["test"] if "Notes" in item.query.text]


def test_sentence_of_several_chunks_is_dropped_and_counted():
    chunks = [chunk(row, title="", content="See the other page for this.") for row in range(9)]
    queries, dropped = generate(chunks)
    assert queries == {"train": [], "dev": [], "test": []}
    assert dropped == {"same_text_of_another_chunk": 6}


def test_a_chunk_without_a_sentence_is_counted():
    queries, dropped = generate([chunk(row, title="x", content=">>> sort(a, b)") for row in range(9)])
    assert not any(queries.values())
    assert dropped == {"no_sentence": 6}


def test_number_of_queries_is_limited():
    chunks = [chunk(row, category) for category in ("lists", "tables") for row in range(500)]
    queries, _ = generate(chunks, [2] * 1000)
    assert Counter(item.query.category for item in queries["test"]) == {"lists": 300, "tables": 300}


def test_no_text_is_in_two_splits(tiny_corpus):
    chunks = [replace(one, split="") for one in tiny_corpus.chunks]
    queries, _ = generate(chunks, [SPLITS.index(one.split) for one in tiny_corpus.chunks])
    texts = [normalized(item.query.text) for split in SPLITS for item in queries[split]]
    assert len(texts) == len(set(texts)) > 10

"""A corpus is read and copied in batches without losing a chunk."""

import filecmp
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hand_made import stored

from triptych.artifacts import open_table
from triptych.corpus.chunk_table import ChunkTable
from triptych.corpus.records import Chunk, read_chunks, write_chunks


def chunk(row, **changes):
    one = Chunk(f"c{row}", "lists", f"{row % 7}.md", ("Lists", f"h{row}"), f"t{row}", f"Text of {row}.", f"s:{row}")
    return replace(one, **changes)


MANY = [chunk(row) for row in range(20_000)]


def test_chunks_are_those_of_the_rows_in_ascending_order():
    rows = [19_999, 3, 8191, 8192, 3, 16_384]
    assert list(stored(MANY)[0].chunks_at(rows)) == [(row, MANY[row]) for row in sorted(set(rows))]
    assert list(stored(MANY)[0].chunks_at([])) == []


def test_batches_are_the_columns_in_order():
    found = list(stored(MANY)[0].batches("content", "chunk_id"))
    assert len(found) > 1
    assert [text for texts, _ in found for text in texts] == [one.content for one in MANY]
    assert [name for _, names in found for name in names] == [one.chunk_id for one in MANY]


@pytest.mark.parametrize("number", [20, 70_000])
def test_copy_in_batches_has_the_bytes_of_a_single_write(tmp_path, number):
    chunks = [chunk(row) for row in range(number)]
    write_chunks(tmp_path / "before.parquet", chunks)
    numbers = np.arange(number, dtype=np.int32)
    ChunkTable(open_table(tmp_path / "before.parquet")).write_with(
        tmp_path / "after.parquet",
        cluster_id=pa.array(numbers),
        document_id=pa.array(numbers // 3),
        split=pa.array(["test"] * number),
    )
    expected = [replace(one, cluster_id=row, document_id=row // 3, split="test") for row, one in enumerate(chunks)]
    write_chunks(tmp_path / "whole.parquet", expected)
    assert filecmp.cmp(tmp_path / "after.parquet", tmp_path / "whole.parquet", shallow=False)
    if number < 1000:
        assert read_chunks(tmp_path / "after.parquet") == expected


def test_row_of_an_unknown_id_is_minus_one():
    _, columns = stored(MANY)
    assert columns.rows(["c19999", "gone", "c0"]).tolist() == [19_999, -1, 0]
    assert columns.rows([]).tolist() == []


def test_rank_is_the_order_of_the_ids_in_any_order_of_rows():
    names = ["b", "é", "a10", "a9", "B"]
    _, columns = stored([chunk(0, chunk_id=name) for name in names])
    assert [names[row] for row in np.argsort(columns.rank())] == sorted(names)


def test_equal_things_have_equal_numbers():
    chunks = [
        chunk(0, category="z", filename="a.md", title="Sort it"),
        chunk(1, category="y", filename="a.md", title=" sort  IT."),
        chunk(2, category="z", filename="a.md", title="", header_path=("Lists", "h0")),
        chunk(3, category="z", filename="b.md", title="", header_path=()),
    ]
    _, columns = stored(chunks)
    assert (columns.categories, columns.category.tolist()) == (["y", "z"], [1, 0, 1, 1])
    assert columns.file[0] == columns.file[2] != columns.file[1]
    assert columns.section[0] == columns.section[2] != columns.section[1]
    assert columns.title[0] == columns.title[1]
    assert len(set(columns.title.tolist())) == 3


def test_columns_of_an_empty_corpus_are_empty():
    _, columns = stored([])
    assert (len(columns), columns.categories, columns.rank().tolist()) == (0, [], [])


def test_columns_read_in_several_batches_are_those_of_one(monkeypatch):
    _, whole = stored(MANY[:50])
    monkeypatch.setattr("triptych.corpus.chunk_table.BATCH", 7)
    _, pieces = stored(MANY[:50])
    for name in ("category", "file", "section", "title"):
        assert getattr(whole, name).tolist() == getattr(pieces, name).tolist()

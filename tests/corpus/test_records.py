"""The table of chunks, written as a stream."""

import pyarrow.parquet as pq
import pytest

from triptych.corpus import records
from triptych.corpus.records import Chunk, read_chunks, write_chunks


@pytest.mark.parametrize("size", [0, 1, 3, 4, 7])
def test_chunks_of_a_stream_of_any_length_are_read_in_order(tmp_path, monkeypatch, size):
    monkeypatch.setattr(records, "BATCH", 3)
    chunks = [Chunk(f"c{n}", "api", "a.md", ("A",) * n, "", f"Text {n}.", "a.md:1") for n in range(size)]
    write_chunks(tmp_path / "chunks.parquet", iter(chunks))
    assert read_chunks(tmp_path / "chunks.parquet") == chunks
    assert pq.ParquetFile(tmp_path / "chunks.parquet").num_row_groups == -(-size // 3)

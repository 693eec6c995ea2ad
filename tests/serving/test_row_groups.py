"""Rows read from a Parquet file by groups, and what a damaged group gives."""

import pyarrow as pa
import pytest

from triptych.artifacts import writing_table
from triptych.errors import ArtifactError
from triptych.serving.row_groups import GROUP, RowGroups

ROWS = 2 * GROUP + 7


@pytest.fixture
def path(tmp_path):
    texts = [f"text {row} " + "".join(chr(97 + row * step % 26) for step in range(1, 40)) for row in range(ROWS)]
    with writing_table(tmp_path / "a.parquet", pa.schema([("text", pa.string())]), GROUP) as write:
        write(pa.table({"text": texts}))
    return tmp_path / "a.parquet"


def test_rows_come_in_the_order_that_is_asked_for(path):
    rows = RowGroups(path)
    assert len(rows) == ROWS
    wanted = [ROWS - 1, 0, GROUP, GROUP - 1]
    assert [one["text"].split()[1] for one in rows.records(wanted)] == [str(row) for row in wanted]
    assert rows.columns("text")["text"].to_pylist() == [one["text"] for one in rows.records(range(ROWS))]


def test_a_damaged_group_is_one_message_and_the_others_are_read(path):
    """Opening reads the end of the file alone, so that only a search finds the damage."""
    data = bytearray(path.read_bytes())
    data[400:420] = bytes(20)  # in the first group
    path.write_bytes(data)
    rows = RowGroups(path)
    assert rows.records([ROWS - 1])[0]["text"].startswith(f"text {ROWS - 1} ")
    with pytest.raises(ArtifactError, match=r"a\.parquet is damaged \(Data corruption"):
        rows.records([0])
    with pytest.raises(ArtifactError, match=r"a\.parquet is damaged"):
        rows.columns("text")

"""The files of stages: complete or absent, and equal bytes for equal results."""

import json

import numpy as np
import pyarrow as pa
import pytest

from triptych.artifacts import read_json, read_jsonl, read_table, write_json, write_jsonl, write_table, writing
from triptych.errors import UserError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_folder_appears_when_it_is_complete(tmp_path):
    out = tmp_path / "deep" / "chunks"
    with writing(out) as folder:
        (folder / "a.txt").write_text("a")
        assert not out.exists()
    assert names(out) == ["a.txt"]
    assert names(tmp_path / "deep") == ["chunks"]


def fail_after_writing(out, name):
    with writing(out) as folder:
        (folder / name).write_text(name)
        raise ValueError("half")


def test_error_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="half"):
        fail_after_writing(tmp_path / "chunks", "a.txt")
    assert names(tmp_path) == []


def test_keyboard_interrupt_leaves_nothing_behind(tmp_path):
    with pytest.raises(KeyboardInterrupt), writing(tmp_path / "chunks"):
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_error_keeps_the_previous_output(tmp_path):
    with writing(tmp_path / "chunks") as folder:
        (folder / "old.txt").write_text("old")
    with pytest.raises(ValueError, match="half"):
        fail_after_writing(tmp_path / "chunks", "new.txt")
    assert names(tmp_path / "chunks") == ["old.txt"]


def test_new_output_replaces_the_old_one(tmp_path):
    for name in ("old.txt", "new.txt"):
        with writing(tmp_path / "chunks") as folder:
            (folder / name).write_text(name)
    assert names(tmp_path / "chunks") == ["new.txt"]


def test_remains_of_a_killed_run_are_removed(tmp_path):
    (tmp_path / "chunks.partial").mkdir()
    (tmp_path / "chunks.partial" / "half.txt").write_text("half")
    with writing(tmp_path / "chunks") as folder:
        (folder / "a.txt").write_text("a")
    assert names(tmp_path / "chunks") == ["a.txt"]


def test_json_of_equal_values_is_equal_bytes(tmp_path):
    write_json(tmp_path / "one.json", {"b": 0.1 + 0.2, "a": [1, {"y": 2, "x": "é"}]})
    write_json(tmp_path / "two.json", {"a": (1, {"x": "é", "y": 2}), "b": 0.3})
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_json_is_utf8_with_lf_and_ends_with_a_line_end(tmp_path):
    write_json(tmp_path / "one.json", {"a": "é"})
    assert (tmp_path / "one.json").read_bytes() == '{\n  "a": "é"\n}\n'.encode()


def test_nan_and_inf_become_null(tmp_path):
    values = [float("nan"), float("inf"), np.float64("nan")]
    write_json(tmp_path / "one.json", {"a": values})
    write_jsonl(tmp_path / "one.jsonl", [{"a": values}])
    assert json.loads((tmp_path / "one.json").read_text()) == {"a": [None, None, None]}
    assert (tmp_path / "one.jsonl").read_text() == '{"a": [null, null, null]}\n'


def test_failed_write_keeps_the_previous_file(tmp_path):
    write_json(tmp_path / "one.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "one.json", {"a": object()})
    assert read_json(tmp_path / "one.json") == {"a": 1}


def test_parquet_of_equal_tables_is_equal_bytes(tmp_path):
    for name in ("one", "two"):
        write_table(tmp_path / name, pa.table({"text": ["a", "b"] * 9, "path": [["x", "y"], []] * 9}))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_table_comes_back_as_it_was_written(tmp_path):
    table = pa.table({"text": ["é", ""], "path": [["x"], []]})
    write_table(tmp_path / "deep" / "one.parquet", table)
    assert read_table(tmp_path / "deep" / "one.parquet").equals(table)
    assert names(tmp_path / "deep") == ["one.parquet"]


@pytest.mark.parametrize("read", [read_json, read_jsonl, read_table])
def test_missing_file_is_named(tmp_path, read):
    with pytest.raises(UserError, match="examples is missing"):
        read(tmp_path / "examples")

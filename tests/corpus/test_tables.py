"""Chunk records from files: what is kept, what is rejected, what is refused."""

import json
import unicodedata

import pandas as pd
import pytest

from triptych.corpus.tables import read_records
from triptych.errors import UserError
from triptych.params import Fields

NAMES = ("chunk_id", "category", "filename", "header_path", "title", "content")
FIELDS = Fields(**{name: name for name in NAMES})
SORT = {"chunk_id": "s1", "content": "Sorts the list in place.", "header_path": ["List", "sort"]}
JOIN = {"chunk_id": "j1", "content": "Joins texts with a separator.", "header_path": "Text > join"}


def read(tmp_path, text, kind="json", category="api", fields=FIELDS):
    path = tmp_path / f"docs.{kind}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return read_records(path, kind, fields, category)


def read_one(tmp_path, **values):
    return read(tmp_path, json.dumps([{**SORT, **values}]))


def rejected(reading):
    return [(one.source, one.reason, one.detail) for one in reading.rejected]


@pytest.mark.parametrize(
    "value",
    [
        [SORT, JOIN],
        {"version": 2, "tags": ["a", "b"], "chunks": [SORT, JOIN]},
        {"s1": {**SORT, "chunk_id": "s1"}, "j1": {key: JOIN[key] for key in ("content", "header_path")}},
    ],
    ids=["array", "one list", "keyed by id"],
)
def test_json_shapes_give_the_same_chunks(tmp_path, value):
    chunks = read(tmp_path, json.dumps(value)).chunks
    assert [(one.chunk_id, one.header_path, one.source) for one in chunks] == [
        ("s1", ("List", "sort"), "docs.json:1"),
        ("j1", ("Text", "join"), "docs.json:2"),
    ]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_kinds_agree_with_json_on_the_same_records(tmp_path, kind):
    path = tmp_path / f"docs.{kind}"
    frame = pd.DataFrame([SORT, {**JOIN, "header_path": ["Text", "join"]}])
    if kind == "jsonl":
        path.write_text(f"{json.dumps(SORT)}\n{json.dumps(JOIN)}\n", encoding="utf-8")
    elif kind == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    got, wanted = read_records(path, kind, FIELDS, "api"), read(tmp_path, json.dumps([SORT, JOIN]))
    assert [(one.chunk_id, one.header_path, one.title, one.content) for one in got.chunks] == [
        (one.chunk_id, one.header_path, one.title, one.content) for one in wanted.chunks
    ]


def test_fields_may_have_other_names(tmp_path):
    fields = Fields(**{name: f"my_{name}" for name in NAMES})
    record = {f"my_{name}": f"some {name}" for name in NAMES}
    (chunk,) = read(tmp_path, json.dumps([record]), category=None, fields=fields).chunks
    assert (chunk.chunk_id, chunk.category, chunk.filename) == (
        "some chunk_id",
        "some category",
        "some filename",
    )
    assert (chunk.header_path, chunk.title, chunk.content) == (
        ("some header_path",),
        "some title",
        "some content",
    )


def test_missing_title_and_filename_are_filled_in(tmp_path):
    (chunk,) = read_one(tmp_path).chunks
    assert (chunk.title, chunk.filename) == ("sort", "docs.json")


def test_category_of_the_source_wins_over_the_record(tmp_path):
    assert read_one(tmp_path, category="other").chunks[0].category == "api"


def test_record_without_any_category_is_rejected(tmp_path):
    text = json.dumps([{**SORT, "category": "own"}, JOIN])
    reading = read(tmp_path, text, category=None)
    assert [one.category for one in reading.chunks] == ["own"]
    assert [one[:2] for one in rejected(reading)] == [("docs.json:2", "no category")]


def test_missing_id_is_made_of_the_record_and_stays_the_same(tmp_path):
    bare = {"content": SORT["content"], "header_path": ["List"]}
    first = read(tmp_path, json.dumps([bare, {**bare, "header_path": ["Set"]}])).chunks
    again = read(tmp_path, json.dumps([{**bare, "chunk_id": None}])).chunks
    assert first[0].chunk_id == again[0].chunk_id != first[1].chunk_id
    assert first[0].chunk_id != read(tmp_path, json.dumps([bare]), category="guide").chunks[0].chunk_id


@pytest.mark.parametrize(("given", "kept"), [(7, "7"), (7.0, "7"), ("  a\tb ", "a b")])
def test_ids_become_text_on_one_line(tmp_path, given, kept):
    assert read_one(tmp_path, chunk_id=given).chunks[0].chunk_id == kept


@pytest.mark.parametrize(
    ("values", "reason", "detail"),
    [
        ({"content": None}, "missing field", "content: null"),
        ({"content": " \n\t"}, "empty content", "content: ' \\n\\t'"),
        ({"title": True}, "wrong type", "title: expected text or a number, got True"),
        ({"content": 12}, "wrong type", "content: expected text, got 12"),
        ({"chunk_id": ["x"]}, "wrong type", "chunk_id: expected text or a number, got ['x']"),
        (
            {"header_path": [["x"]]},
            "wrong type",
            "header_path: expected a list of headings or 'A > B', got [['x']]",
        ),
    ],
)
def test_bad_record_is_rejected_with_key_and_value(tmp_path, values, reason, detail):
    reading = read(tmp_path, json.dumps([{**SORT, **values}, JOIN]))
    assert rejected(reading) == [("docs.json:1", reason, detail)]
    assert [one.chunk_id for one in reading.chunks] == ["j1"]


def test_record_without_the_content_key_is_rejected(tmp_path):
    reading = read(tmp_path, json.dumps([{"chunk_id": "x"}, JOIN]))
    assert rejected(reading) == [("docs.json:1", "missing field", "content: missing")]


def test_long_values_are_shortened_in_the_detail(tmp_path):
    reading = read(tmp_path, json.dumps([{**SORT, "content": ["long " * 500]}, JOIN]))
    assert len(reading.rejected[0].detail) < 120


def test_entry_that_is_no_object_is_rejected(tmp_path):
    assert rejected(read(tmp_path, json.dumps([SORT, "text"])))[0][:2] == ("docs.json:2", "wrong type")


def test_equal_repeat_is_merged_and_other_text_gets_a_suffix(tmp_path):
    other, third = {**SORT, "content": "Sorts a copy."}, {**SORT, "content": "Sorts lazily."}
    reading = read(tmp_path, json.dumps([SORT, other, SORT, third, other]))
    assert [(one.chunk_id, one.content) for one in reading.chunks] == [
        ("s1", SORT["content"]),
        ("s1~2", "Sorts a copy."),
        ("s1~3", "Sorts lazily."),
    ]
    assert (reading.merged, reading.read) == (2, 5)


def test_suffix_avoids_an_id_that_is_taken(tmp_path):
    records = [{**SORT, "chunk_id": "s1~2", "content": "First."}, SORT, {**SORT, "content": "Another."}]
    assert [one.chunk_id for one in read(tmp_path, json.dumps(records)).chunks] == ["s1~2", "s1", "s1~3"]


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("cafe\u0301", "caf\u00e9"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("a\x00b\x07c\x9fd", "abcd"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("page\x0cbreak", "page\nbreak"),
        ("lone \ud800surrogate", "lone surrogate"),
        ("e\x00\u0301", "\u00e9"),
    ],
)
def test_content_is_normalized(tmp_path, raw, kept):
    content = read_one(tmp_path, content=raw).chunks[0].content
    assert content == kept
    assert unicodedata.is_normalized("NFC", content)


@pytest.mark.parametrize(
    ("kind", "text"),
    [("csv", "chunk_id,content\ns1,Sorts.\n"), ("jsonl", json.dumps(SORT)), ("json", json.dumps([SORT]))],
)
def test_byte_order_mark_is_no_part_of_the_text(tmp_path, kind, text):
    chunks = read(tmp_path, b"\xef\xbb\xbf" + text.encode(), kind).chunks
    assert [one.chunk_id for one in chunks] == ["s1"]


def test_csv_cells_stay_text(tmp_path):
    chunks = read(tmp_path, "chunk_id,content\n007,NA\n1e3,null\n", "csv").chunks
    assert [(one.chunk_id, one.content) for one in chunks] == [("007", "NA"), ("1e3", "null")]


@pytest.mark.parametrize(
    ("cell", "path"),
    [
        ("['A', 'B']", ("A", "B")),
        ('["A", "B"]', ("A", "B")),
        ("[old] A", ("[old] A",)),
        ("List<T>", ("List<T>",)),
    ],
)
def test_csv_header_path_may_be_a_list_in_a_cell(tmp_path, cell, path):
    frame = pd.DataFrame([{"content": "Sorts.", "header_path": cell}])
    assert read(tmp_path, frame.to_csv(index=False), "csv").chunks[0].header_path == path


def test_bad_line_is_rejected_with_its_number(tmp_path):
    text = f"{json.dumps(SORT)}\n\n{{broken\n{json.dumps(JOIN)}\n"
    reading = read(tmp_path, text, "jsonl")
    assert [one.source for one in reading.chunks] == ["docs.jsonl:1", "docs.jsonl:4"]
    ((source, reason, detail),) = rejected(reading)
    assert (source, reason) == ("docs.jsonl:3", "invalid JSON")
    assert "line 3" in detail


def test_line_separator_inside_a_json_text_ends_no_line(tmp_path):
    line = json.dumps({**SORT, "content": "one\u2028two"}, ensure_ascii=False)
    assert [one.content for one in read(tmp_path, line, "jsonl").chunks] == ["one\u2028two"]


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        ("json", '[\n{"content": }]', ["docs.json:2:13", "invalid JSON"]),
        ("json", "", ["docs.json is empty"]),
        ("json", "[]", ["docs.json holds no records"]),
        ("json", '{"chunks": []}', ["docs.json holds no records"]),
        ("json", '"text"', ["expected an array of objects", "'text'"]),
        ("json", '{"content": "x", "header_path": ["A"]}', ["expected an array of objects"]),
        ("json", '{"a": [{}], "b": [{}]}', ["lists under a, b"]),
        ("json", '{"a": {"content": "x"}, "a": {"content": "y"}}', ["'a' is given twice"]),
        ("json", "[" * 100_000, ["docs.json", "invalid JSON"]),
        ("json", '[{"body": "x", "id": 1}]', ["'content'", "body, id", "ingest.fields"]),
        ("jsonl", "[\n1\n]\n", ["docs.jsonl holds no records", "docs.jsonl:1", "format"]),
        ("jsonl", b'{"content": "x"}\n{"content": "\xff"}', ["docs.jsonl:2", "0xff", "UTF-8"]),
        ("csv", "", ["docs.csv is empty"]),
        ("csv", "chunk_id,content\n", ["docs.csv holds no records"]),
        ("csv", "chunk_id,body\n1,x\n", ["'content'", "chunk_id, body"]),
        ("csv", "chunk_id,content\n1,x\n2,y,z\n", ["docs.csv", "line 3", "quote"]),
        ("csv", "chunk_id,content\n1,x,y\n2,y,z\n", ["docs.csv", "quote"]),
        ("csv", 'chunk_id,content\n1,"x\n', ["docs.csv", "not CSV"]),
        ("parquet", "chunk_id,content\n", ["docs.parquet", "not Parquet"]),
    ],
)
def test_bad_file_is_refused_with_place_and_remedy(tmp_path, kind, data, words):
    with pytest.raises(UserError) as error:
        read(tmp_path, data, kind)
    assert [word for word in words if word not in str(error.value)] == []


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "parquet"])
def test_missing_file_is_refused(tmp_path, kind):
    with pytest.raises(UserError, match="gone"):
        read_records(tmp_path / "gone", kind, FIELDS, None)

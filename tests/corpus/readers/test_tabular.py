"""Chunk records from files: accepted and rejected records, and refused files."""

import codecs
import gzip
import json
import math
import unicodedata

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from readings import collected

from triptych.corpus.cleaning import cleaned
from triptych.corpus.outcomes import SourceCounts
from triptych.corpus.readers.tabular import read_records
from triptych.errors import UserError
from triptych.params.sections import Fields

NAMES = ("chunk_id", "category", "filename", "header_path", "title", "content")
FIELDS = Fields()
SORT = {"chunk_id": "s1", "content": "Sorts the list in place.", "header_path": ["List", "sort"]}
JOIN = {"chunk_id": "j1", "content": "Joins texts with a separator.", "header_path": "Text > join"}


def read_file(path, kind, category="api", fields=FIELDS, encoding=None):
    counts = SourceCounts(str(path))
    return collected(read_records(path, kind, fields, counts, category=category, encoding=encoding), counts)


def read(tmp_path, text, kind="json", **settings):
    path = tmp_path / f"docs.{kind}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return read_file(path, kind, **settings)


def read_one(tmp_path, **values):
    return read(tmp_path, json.dumps([{**SORT, **values}]))


@pytest.mark.parametrize(
    "value",
    [
        [SORT, JOIN],
        {"version": 2, "tags": ["a", "b"], "chunks": [SORT, JOIN]},
        {"s1": {**SORT, "chunk_id": "s1"}, "j1": {key: JOIN[key] for key in ("content", "header_path")}},
        {"data": {"count": 2, "pages": {"items": [SORT, JOIN]}}, "meta": {"by": ["x"]}},
        {"chunks": [SORT, JOIN], "authors": [{"given": "A"}], "links": []},
        {"data": {"s1": SORT, "j1": JOIN}},
    ],
    ids=["array", "one list", "keyed by id", "nested wrappers", "lists of others", "keyed by id in a wrapper"],
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
    got, wanted = read_file(path, kind), read(tmp_path, json.dumps([SORT, JOIN]))
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
    assert [one[:2] for one in reading.reasons()] == [("docs.json:2", "no category")]


def test_file_without_any_category_is_one_category_with_its_name(tmp_path):
    bare = [{"content": one["content"]} for one in (SORT, JOIN)]
    assert {one.category for one in read(tmp_path, json.dumps(bare), category=None).chunks} == {"docs"}


def test_missing_id_is_a_stable_hash_of_the_record(tmp_path):
    bare = {"content": SORT["content"], "header_path": ["List"]}
    first = read(tmp_path, json.dumps([bare, {**bare, "header_path": ["Set"]}])).chunks
    again = read(tmp_path, json.dumps([{**bare, "chunk_id": None}])).chunks
    assert first[0].chunk_id == again[0].chunk_id != first[1].chunk_id
    assert first[0].chunk_id != read(tmp_path, json.dumps([bare]), category="guide").chunks[0].chunk_id


@pytest.mark.parametrize(
    ("given", "kept"),
    [(7, "7"), (7.0, "7"), ("  a\tb ", "a b"), (2**80, str(2**80)), (-(2**63) - 1, str(-(2**63) - 1)), (0, "0")],
)
def test_ids_become_text_on_one_line(tmp_path, given, kept):
    assert read_one(tmp_path, chunk_id=given).chunks[0].chunk_id == kept


@pytest.mark.parametrize(
    ("values", "reason", "detail"),
    [
        ({"content": None}, "missing field", "null"),
        ({"content": " \n\t"}, "empty content", "' \\n\\t'"),
        ({"content": "\u200b\ufeff"}, "empty content", "'\\u200b\\ufeff'"),
        ({"title": True}, "wrong type", "expected text or a number, got True"),
        ({"content": 12}, "wrong type", "expected text, got 12"),
        ({"content": {"a": 1}}, "wrong type", "expected text, got {'a': 1}"),
        ({"content": math.nan}, "wrong type", "expected text, got nan"),
        ({"chunk_id": ["x"]}, "wrong type", "expected text or a number, got ['x']"),
        ({"chunk_id": math.inf}, "wrong type", "expected text or a number, got inf"),
        ({"chunk_id": -math.inf}, "wrong type", "expected text or a number, got -inf"),
        ({"header_path": [["x"]]}, "wrong type", "expected a list of headings or 'A > B', got [['x']]"),
        ({"header_path": True}, "wrong type", "expected a list of headings or 'A > B', got True"),
    ],
)
def test_bad_record_is_rejected_with_key_and_value(tmp_path, values, reason, detail):
    reading = read(tmp_path, json.dumps([{**SORT, **values}, JOIN]))
    assert reading.reasons() == [("docs.json:1", reason, next(iter(values)), detail)]
    assert [one.chunk_id for one in reading.chunks] == ["j1"]


def test_record_without_the_content_key_is_rejected(tmp_path):
    reading = read(tmp_path, json.dumps([{"chunk_id": "x"}, JOIN]))
    assert reading.reasons() == [("docs.json:1", "missing field", "content", "missing")]


def test_long_values_are_shortened_in_the_detail(tmp_path):
    reading = read(tmp_path, json.dumps([{**SORT, "content": ["long " * 500]}, JOIN]))
    assert len(reading.rejected[0].detail) < 120


def test_entry_that_is_not_an_object_is_rejected(tmp_path):
    assert read(tmp_path, json.dumps([SORT, "text"])).reasons()[0][:2] == ("docs.json:2", "wrong type")


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
def test_byte_order_mark_is_removed(tmp_path, kind, text):
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
    ((source, reason, _, detail),) = reading.reasons()
    assert (source, reason) == ("docs.jsonl:3", "invalid JSON")
    assert "{broken" in detail


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("jsonl", b'{"content": "x"}\n{"content": "\xff"}\n{"content": "y"}', ("undecodable", "", "byte 0xff")),
        ("jsonl", '{"content": "x"}\n{"content": "y"} garbage\n{"content": "y"}', ("invalid JSON", "", "Extra data")),
        ("jsonl", '{"content": "x"}\n{"content": "trunc\n{"content": "y"}', ("invalid JSON", "", "Unterminated")),
        ("jsonl", '{"content": "x"}\n' + '{"a":' * 10_000 + '\n{"content": "y"}', ("invalid JSON", "", "recursion")),
        ("jsonl", '{"content": "x"}\n' + "[" * 10_000 + "]" * 10_000 + '\n{"content": "y"}', ("invalid JSON", "", "")),
        (
            "jsonl",
            '{"content": "x"}\n{"content": "y", "content": "z"}\n{"content": "y"}',
            ("invalid JSON", "", "twice"),
        ),
        ("jsonl", '{"content": "x"}\n[1]\n{"content": "y"}', ("wrong type", "record", "expected an object, got [1]")),
        ("jsonl", '{"content": "x"}\n{"id": ' + "9" * 5000 + '}\n{"content": "y"}', ("invalid JSON", "", "digits")),
        ("csv", "content,title\nx,t\ny,t,more\ny,t\n", ("too many cells", "", "3 cells under 2 columns")),
        ("csv", 'content,title\nx,t\ny,"t" more\ny,t\n', ("not CSV", "", "line 3")),
        ("csv", b"content,title\nx,t\ny,caf\xe9\ny,t\n", ("undecodable", "title", "byte 0xe9")),
        ("csv", "title,content\nt,x\nt\nt,y\n", ("missing field", "content", "missing")),
    ],
)
def test_bad_record_does_not_affect_its_neighbors(tmp_path, kind, data, expected):
    reading = read(tmp_path, data, kind)
    assert [one.content for one in reading.chunks] == ["x", "y"]
    ((source, reason, field, detail),) = reading.reasons()
    assert source == f"docs.{kind}:2"
    assert (reason, field) == expected[:2]
    assert expected[2] in detail


@pytest.mark.parametrize("name", ["docs.tsv", "docs.csv"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_delimiter_is_found_in_the_header(tmp_path, name, delimiter):
    rows = ["id", "title", "content"], ["1", "A, b; c", '"One, two;\nthree | four\t"']
    (tmp_path / name).write_text("\n".join(delimiter.join(row) for row in rows).replace("A, b; c", '"A, b; c"'))
    (chunk,) = read_file(tmp_path / name, "csv").chunks
    assert (chunk.chunk_id, chunk.title, chunk.content) == ("1", "A, b; c", "One, two;\nthree | four\t")


def test_only_the_columns_that_serve_are_read_of_a_parquet_file(tmp_path):
    frame = pd.DataFrame({"text": ["x"], "when": [pd.Timestamp.max], "vector": [[1.0] * 9], "metadata": [{"id": 7}]})
    frame.to_parquet(tmp_path / "docs.parquet")
    assert [one.chunk_id for one in read_file(tmp_path / "docs.parquet", "parquet").chunks] == ["7"]


def test_raw_control_characters_in_json_are_cleaned_like_others(tmp_path):
    (chunk,) = read(tmp_path, '[{"content": "one\ttwo\x01\nthree"}]').chunks
    assert chunk.content == "one\ttwo\nthree"


@pytest.mark.parametrize(
    "text",
    [
        "Sch\u00c3\u00b6n: mojibake is kept as it is",
        "emoji \U0001f600 and family \U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\u0645\u0631\u062d\u0628\u0627 \u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd",
        "x" * 200_000,
        "a replacement \ufffd character",
    ],
)
@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "parquet"])
def test_unusual_text_comes_through_unchanged(tmp_path, kind, text):
    frame = pd.DataFrame([{"chunk_id": "1", "content": text}])
    path = tmp_path / f"docs.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_json(path, orient="records", lines=kind == "jsonl")
    assert [one.content for one in read_file(path, kind).chunks] == [text]


@pytest.mark.parametrize(
    "category", ["api/v2", "user guide", "r\u00e9f\u00e9rence", "\u6587\u6863", "../../etc", "a\nb"]
)
def test_category_may_have_any_letters(tmp_path, category):
    (chunk,) = read(tmp_path, json.dumps([{**SORT, "category": category}]), category=None).chunks
    assert chunk.category == " ".join(category.split())


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("A > B > C", ("A", "B", "C")),
        (["A", None, " ", "B"], ("A", "B")),
        ([1, 2.0], ("1", "2")),
        ({"Header 1": "A", "Header 2": "B"}, ("A", "B")),
        ("", ()),
        (None, ()),
        ([], ()),
        (7, ("7",)),
        ("A\n > B", ("A", "B")),
    ],
)
def test_header_path_of_any_reasonable_shape_is_taken(tmp_path, value, path):
    assert read_one(tmp_path, header_path=value).chunks[0].header_path == path


def test_changes_are_counted_by_kind(tmp_path):
    records = [
        {"content": "cafe\u0301", "header_path": "A > B"},
        {"content": "one\r\ntwo", "id": 1, "title": "T"},
        {"content": "one\x07", "id": 2, "title": "T"},
        SORT | {"title": "T"},
    ]
    assert read(tmp_path, json.dumps(records)).counts.normalized == {
        "unicode_nfc": 1,
        "line_ends": 1,
        "control_characters": 1,
        "header_path_from_text": 1,
        "title_from_header_path": 1,
        "id_from_content": 1,
    }


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)), max_size=30).filter(str.strip)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "parquet"])
@given(texts=st.lists(TEXT.map(cleaned), max_size=6))
def test_no_text_is_lost_or_invented_and_the_order_is_kept(tmp_path, kind, texts):
    path = tmp_path / f"docs.{kind}"
    frame = pd.DataFrame({"content": [*texts, "last"], "title": "t"}, dtype="object")
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        records = [json.dumps(record) for record in frame.to_dict("records")]
        path.write_text(f"[{','.join(records)}]" if kind == "json" else "\n".join(records), encoding="utf-8")
    reading = read_file(path, kind)
    reasons = {one.record: one.reason for one in reading.rejected}
    assert set(reasons.values()) <= {"empty content"}
    assert [one.content for one in reading.chunks] == [
        text for number, text in enumerate([*texts, "last"], start=1) if number not in reasons
    ]


def test_line_separator_inside_a_json_string_does_not_end_a_line(tmp_path):
    line = json.dumps({**SORT, "content": "one\u2028two"}, ensure_ascii=False)
    assert [one.content for one in read(tmp_path, line, "jsonl").chunks] == ["one\u2028two"]


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        ("json", '[\n{"content": }]', ["docs.json:2:13", "invalid JSON"]),
        ("json", "", ["docs.json is empty"]),
        ("json", "[]", ["docs.json contains no records"]),
        ("json", '{"chunks": []}', ["docs.json contains no records"]),
        ("json", '"text"', ["expected an array of objects", "'text'"]),
        ("json", '{"content": "x", "header_path": ["A"]}', ["expected an array of objects"]),
        ("json", '{"a": [{}], "b": [{}]}', ["lists under a, b"]),
        ("json", '{"a": {"content": "x"}, "a": {"content": "y"}}', ["'a' appears twice"]),
        ("json", "[" * 100_000, ["docs.json", "invalid JSON"]),
        ("json", '[{"words": "x", "id": 1}]', ["content/contents/text", "words, id", "ingest.fields"]),
        ("json", '[{"content": "x"}', ["docs.json:1:18", "invalid JSON"]),
        ("json", '[{"content": "x"}] garbage', ["docs.json:1:20", "Extra data"]),
        ("json", '{"content": "x"}\n{"content": "y"}\n', ["docs.json:2:1", "set format: jsonl"]),
        ("json", b'[{"content":\n "\xe9"}]', ["docs.json:2", "byte 0xe9 is not UTF-8", "encoding"]),
        ("json", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00", ["docs.json", "is not text"]),
        ("json", '[{"content": "x"}]'.encode("utf-16-le"), ["docs.json", "utf-16-le"]),
        ("json", b"\x1f\x8b\x08\x00broken", ["docs.json", "gzip"]),
        ("json", gzip.compress(b'[{"content": "a text"}]', mtime=0)[:-9], ["docs.json", "gzip", "damaged"]),
        ("jsonl", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00", ["docs.jsonl", "is not text"]),
        ("jsonl", codecs.BOM_UTF16_LE + b'{\x00"', ["docs.jsonl", "utf-16"]),
        ("jsonl", "", ["docs.jsonl contains no records"]),
        ("jsonl", gzip.compress(b'{"content": "a text"}\n' * 9, mtime=0)[:-9], ["docs.jsonl", "gzip", "damaged"]),
        ("jsonl", "[\n1\n]\n", ["docs.jsonl contains no records", "docs.jsonl:1", "format"]),
        ("csv", "", ["docs.csv contains no records"]),
        ("csv", "content,content\nx,y\n", ["docs.csv:1", "'content' appears twice"]),
        ("csv", "chunk_id,content\n", ["docs.csv contains no records"]),
        ("csv", "chunk_id,words\n1,x\n", ["content", "chunk_id, words"]),
        ("csv", 'chunk_id,content\n1,"x\n2,y\n', ["docs.csv:2", "a quote is never closed"]),
        ("parquet", "", ["docs.parquet", "not Parquet"]),
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
        read_file(tmp_path / "gone", kind)

"""Records of other systems: usual field names are known, and the names in use are counted."""

import json

import pytest
from readings import collected

from triptych.corpus.outcomes import SourceCounts
from triptych.corpus.readers.tabular import read_records
from triptych.params.sections import Fields


def read(tmp_path, record, category=None, **names):
    path, counts = tmp_path / "docs.jsonl", SourceCounts("docs.jsonl")
    path.write_text(json.dumps(record), encoding="utf-8")
    return collected(read_records(path, "jsonl", Fields(**names), counts, category=category), counts)


WANTED = ("7", "api", "list.md", ("List", "sort"), "sort", "Sorts the list.")


@pytest.mark.parametrize(
    "record",
    [
        {"id": 7, "domain": "api", "file": "list.md", "headings": ["List", "sort"], "title": "sort", "text": WANTED[5]},
        {"_id": "7", "category": "api", "path": "list.md", "section": "List > sort", "body": WANTED[5]},
        {
            "uuid": "7",
            "collection": "api",
            "url": "list.md",
            "breadcrumbs": "List > sort",
            "name": "sort",
            "contents": WANTED[5],
        },
        {
            "Chunk ID": "7",
            "Category": "api",
            "File Name": "list.md",
            "Header-Path": ["List", "sort"],
            "Title": "sort",
            "Content": WANTED[5],
        },
        {"chunkId": "7", "category": "api", "filePath": "list.md", "headerPath": ["List", "sort"], "Text": WANTED[5]},
        {
            "page_content": WANTED[5],
            "metadata": {"source": "list.md", "id": 7, "category": "api", "header_path": "List > sort"},
        },
        {
            "id_": "7",
            "text": WANTED[5],
            "metadata": {"file_path": "list.md", "category": "api", "section": ["List", "sort"]},
        },
    ],
    ids=["plain", "underscored", "others", "capitals", "camels", "page_content and metadata", "id_ and metadata"],
)
def test_usual_names_are_known(tmp_path, record):
    (chunk,) = read(tmp_path, record).chunks
    found = (chunk.chunk_id, chunk.category, chunk.filename, chunk.header_path, chunk.title, chunk.content)
    assert found == WANTED


def test_first_nonempty_field_is_taken_and_counted(tmp_path):
    reading = read(tmp_path, {"content": None, "text": "", "body": "Sorts.", "section": "List", "id": 1}, "api")
    assert [one.content for one in reading.chunks] == ["Sorts."]
    assert reading.counts.summary()["fields"] == {
        "content": {"body": 1},
        "header_path": {"section": 1},
        "chunk_id": {"id": 1},
    }


def test_name_that_is_given_is_the_only_one(tmp_path):
    reading = read(tmp_path, {"content": "not this", "answer": "Sorts.", "text": "nor this"}, "api", content="answer")
    assert [one.content for one in reading.chunks] == ["Sorts."]
    reading = read(tmp_path, {"answer": None, "text": "not this"}, "api", content="answer")
    assert reading.reasons() == [("docs.jsonl:1", "missing field", "answer", "null")]


def test_category_of_the_source_wins_over_the_field(tmp_path):
    assert read(tmp_path, {"text": "x", "category": "own"}, "given").chunks[0].category == "given"


def test_field_of_the_record_wins_over_that_of_its_metadata(tmp_path):
    record = {"text": "x", "title": "own", "metadata": {"title": "other", "category": "api"}}
    assert read(tmp_path, record).chunks[0].title == "own"

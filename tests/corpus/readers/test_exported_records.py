"""Exports of LangChain, LlamaIndex, Haystack and unstructured are read as what they are."""

import json

import pandas as pd
import pytest
from readings import collected

from triptych.corpus.outcomes import SourceCounts
from triptych.corpus.readers.shortening import listed, shortened
from triptych.corpus.readers.tabular import read_records
from triptych.errors import UserError
from triptych.params.sections import Fields

TEXT = "The pump restarts after a power cut."


def read(tmp_path, value, kind="json", **names):
    path, counts = tmp_path / f"docs.{kind}", SourceCounts("docs")
    if kind == "csv":
        pd.DataFrame(value).to_csv(path, index=False)
    elif kind == "parquet":
        pd.DataFrame(value).to_parquet(path)
    else:
        text = json.dumps(value) if kind == "json" else "\n".join(map(json.dumps, value))
        path.write_text(text, encoding="utf-8")
    return collected(read_records(path, kind, Fields(**names), counts, category="pumps"), counts)


def one(tmp_path, record, kind="jsonl"):
    (chunk,) = read(tmp_path, [record], kind).chunks
    return chunk


@pytest.mark.parametrize(
    ("metadata", "path"),
    [
        ({"Header 1": "Pumps", "Header 2": "Install"}, ("Pumps", "Install")),
        ({"Header 2": "Install", "Header 1": "Pumps"}, ("Pumps", "Install")),
        ({"Header_1": "Pumps", "Header_3": "Drain"}, ("Pumps", "Drain")),
        ({"h1": "Pumps", "h2": None}, ("Pumps",)),
        ({"Header 1": "Pumps", "header_path": "A > B"}, ("A", "B")),
        ({"parent_headers": ["Pumps"], "header": "Install"}, ("Pumps", "Install")),
        ({"header": "Install"}, ("Install",)),
        ({"Header 7": "no level"}, ()),
    ],
)
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_headings_in_several_fields_are_one_path(tmp_path, metadata, path, kind):
    assert one(tmp_path, {"page_content": TEXT, "metadata": metadata}, kind).header_path == path


def test_headings_in_the_record_itself_are_read_too(tmp_path):
    assert one(tmp_path, {"text": TEXT, "Header 1": "Pumps", "Header 2": ""}, "csv").header_path == ("Pumps",)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/Pumps/Install/", ("Pumps", "Install")),
        ("/", ()),
        ("Pumps > Install", ("Pumps", "Install")),
        ("a/b", ("a/b",)),
    ],
)
def test_header_path_with_slashes_at_both_ends_is_split(tmp_path, text, path):
    assert one(tmp_path, {"text": TEXT, "header_path": text}).header_path == path


@pytest.mark.parametrize(
    ("above", "content", "path", "rest"),
    [
        ("/Pumps/", f"## Install\n\n{TEXT}", ("Pumps", "Install"), TEXT),
        ("/", f"# Pumps\n{TEXT}", ("Pumps",), TEXT),
        ("/Pumps/Install/", f"## Install\n\n{TEXT}", ("Pumps", "Install"), TEXT),
        ("/Pumps/", "## Install\n", ("Pumps",), "## Install\n"),
        ("Pumps", f"## Install\n\n{TEXT}", ("Pumps",), f"## Install\n\n{TEXT}"),
    ],
)
def test_heading_of_a_llamaindex_node_ends_its_path(tmp_path, above, content, path, rest):
    chunk = one(tmp_path, {"id_": "n1", "text": content, "metadata": {"header_path": above}})
    assert (chunk.header_path, chunk.content) == (path, rest)


@pytest.mark.parametrize(
    ("metadata", "filename"),
    [
        ({"file_name": "index.md", "file_path": "/docs/p0/index.md"}, "/docs/p0/index.md"),
        ({"file_name": "index.md", "file_path": "C:\\docs\\index.md"}, "C:\\docs\\index.md"),
        ({"file_name": "a.md", "file_path": "/docs/b.md"}, "a.md"),
        ({"filename": "index.md", "file_directory": "docs/p0"}, "docs/p0/index.md"),
        ({"filename": "index.md", "file_directory": "."}, "index.md"),
        ({"filename": "index.md", "url": "https://example.com/p0/index.md"}, "https://example.com/p0/index.md"),
        ({"file_path": "index.md", "source_id": "d7"}, "d7/index.md"),
        ({"file_path": "pumps.md", "source_id": "d7"}, "pumps.md"),
        ({"source_id": "d7"}, "d7"),
        ({"source": None}, "docs.jsonl"),
    ],
)
@pytest.mark.parametrize("under", ["metadata", "meta"])
def test_file_is_named_with_its_folder(tmp_path, metadata, filename, under):
    assert one(tmp_path, {"content": TEXT, under: metadata}).filename == filename


def test_only_fields_with_a_value_count_as_taken(tmp_path):
    records = [{"id": None, "page_content": TEXT, "metadata": {"source": "a.md", "title": ""}}] * 2
    assert read(tmp_path, records).counts.summary()["fields"] == {
        "content": {"page_content": 2},
        "filename": {"source": 2},
    }


def test_metadata_may_be_json_or_a_python_literal_in_a_cell(tmp_path):
    for metadata in ('{"source": "a.md"}', "{'source': 'a.md', 'page': None}"):
        assert one(tmp_path, {"text": TEXT, "metadata": metadata}, "csv").filename == "a.md"


def test_document_that_langchain_dumped(tmp_path):
    kwargs = {"page_content": TEXT, "metadata": {"source": "a.md", "Header 1": "Pumps"}, "type": "Document"}
    dumped = {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "Document"], "kwargs": kwargs}
    chunk = one(tmp_path, dumped)
    assert (chunk.content, chunk.filename, chunk.header_path) == (TEXT, "a.md", ("Pumps",))


NODE = {
    "id_": "n1",
    "metadata": {"file_path": "docs/p0.md", "header_path": "/Pumps/"},
    "relationships": {"1": {"node_id": "d1", "node_type": "4", "metadata": {"title": "Pumps guide"}}},
    "text": TEXT,
    "class_name": "TextNode",
}


@pytest.mark.parametrize(
    "record",
    [
        NODE,
        {key: value for key, value in NODE.items() if key != "text"} | {"text_resource": {"text": TEXT, "url": None}},
        {"__data__": NODE, "__type__": "1"},
        {"__data__": json.dumps(NODE), "__type__": "1"},
        {"_node_content": json.dumps(NODE | {"text": ""}), "text": TEXT, "doc_id": "d1", "ref_doc_id": "None"},
    ],
    ids=["node", "text_resource", "in a store", "as JSON in a store", "payload of a vector store"],
)
def test_nodes_of_llamaindex(tmp_path, record):
    chunk = one(tmp_path, record)
    assert (chunk.chunk_id, chunk.content, chunk.filename) == ("n1", TEXT, "docs/p0.md")
    assert (chunk.header_path, chunk.title) == (("Pumps",), "Pumps guide")


def test_document_of_a_node_is_its_file_where_no_file_is_named(tmp_path):
    assert one(tmp_path, NODE | {"metadata": {}}).filename == "d1"


@pytest.mark.parametrize("as_text", [False, True])
def test_docstore_gives_its_nodes_but_not_the_pages_that_they_were_cut_from(tmp_path, as_text):
    page = {"id_": "d1", "text_resource": {"text": f"{TEXT} {TEXT}"}, "metadata": {}, "relationships": {}}
    nodes = {"d1": page, "n1": NODE, "n2": NODE | {"id_": "n2", "text": "Drain it in winter."}}
    stored = {key: {"__data__": json.dumps(node) if as_text else node, "__type__": "1"} for key, node in nodes.items()}
    info = {"d1": {"node_ids": ["n1", "n2"], "metadata": {"text": None}}}
    reading = read(
        tmp_path,
        {"docstore/metadata": {"n1": {"doc_hash": "x"}}, "docstore/data": stored, "docstore/ref_doc_info": info},
    )
    assert [(chunk.chunk_id, chunk.content) for chunk in reading.chunks] == [
        ("n1", TEXT),
        ("n2", "Drain it in winter."),
    ]
    assert [(reason[1], reason[3]) for reason in reading.reasons()] == [("cut into nodes", "'d1'")]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "csv"])
def test_pages_that_nodes_were_cut_from_are_left_out_of_any_file(tmp_path, suffix):
    page = {"id_": "d1", "text": f"{TEXT} {TEXT}", "metadata": {}, "relationships": {}}
    nodes = [page, NODE, NODE | {"id_": "n2", "text": "Drain it in winter."}]
    path = tmp_path / f"nodes.{suffix}"
    if suffix == "jsonl":
        path.write_text("".join(json.dumps(node) + "\n" for node in nodes), encoding="utf-8")
    else:
        frame = pd.DataFrame({"_node_content": [json.dumps(node) for node in nodes]})
        frame.to_parquet(path) if suffix == "parquet" else frame.to_csv(path, index=False)
    counts = SourceCounts(str(path))
    reading = collected(read_records(path, suffix, Fields(), counts, category="api"), counts)
    assert [chunk.chunk_id for chunk in reading.chunks] == ["n1", "n2"]
    assert [(reason[1], reason[3]) for reason in reading.reasons()] == [("cut into nodes", "'d1'")]


def element(number, kind, text, depth=None, parent=None, file="p.md", folder="docs"):
    metadata = {"filename": file, "file_directory": folder, "category_depth": depth, "parent_id": parent}
    return {"type": kind, "element_id": f"e{number}", "text": text, "metadata": metadata}


PAGE = [
    element(0, "Header", "ACME manual"),
    element(1, "Title", "Pumps", 0),
    element(2, "NarrativeText", "All about pumps."),
    element(3, "Title", "Install", 1),
    element(4, "Title", "Steps", 2),
    element(5, "NarrativeText", "Do this:"),
    element(6, "ListItem", "Dig a pit."),
    element(7, "ListItem", "Put it in."),
    element(8, "CodeSnippet", "pump --on"),
    element(9, "PageNumber", "7"),
    element(10, "Title", "Drain", 1),
    element(11, "Table", "Winter 1 Summer 0"),
    element(12, "Title", "Nothing below", 1),
    element(13, "NarrativeText", "Another page.", file="q.md"),
]
SECTIONS = [
    ("e1", "docs/p.md", ("Pumps",), "All about pumps."),
    (
        "e4",
        "docs/p.md",
        ("Pumps", "Install", "Steps"),
        "Do this:\n\n- Dig a pit.\n- Put it in.\n\n```\npump --on\n```",
    ),
    ("e10", "docs/p.md", ("Pumps", "Drain"), "Winter 1 Summer 0"),
    ("e13", "docs/q.md", (), "Another page."),
]


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "langchain"])
def test_elements_of_unstructured_become_sections(tmp_path, kind):
    elements = PAGE
    if kind == "csv":
        elements = [{key: value for key, value in one.items() if key != "metadata"} | one["metadata"] for one in PAGE]
    elif kind == "langchain":
        kind = "json"
        elements = [
            {"page_content": one["text"], "metadata": one["metadata"] | {"category": one["type"]}}
            | {"id": None, "element_id": one["element_id"]}
            for one in PAGE
        ]
    reading = read(tmp_path, elements, kind)
    assert [(one.chunk_id, one.filename, one.header_path, one.content) for one in reading.chunks] == SECTIONS
    assert [(reason[1], reason[3]) for reason in reading.reasons()] == [("empty section", "Nothing below")]
    assert reading.counts.read == len(reading.chunks) + len(reading.rejected)


def test_titles_without_a_depth_follow_their_parents(tmp_path):
    page = [
        element(1, "Title", "Pumps"),
        element(2, "Title", "Install", parent="e1"),
        element(3, "NarrativeText", "Dig."),
        element(4, "Title", "Valves"),
        element(5, "NarrativeText", "Turn."),
    ]
    assert [chunk.header_path for chunk in read(tmp_path, page).chunks] == [("Pumps", "Install"), ("Valves",)]


def test_chunks_that_unstructured_joined_stay_as_they_are(tmp_path):
    chunks = [element(1, "CompositeElement", "Pumps\n\nDig."), element(2, "Table", "1 2")]
    assert [one.chunk_id for one in read(tmp_path, chunks).chunks] == ["e1", "e2"]


def test_elements_stay_records_where_the_user_names_fields(tmp_path):
    assert len(read(tmp_path, PAGE, content="text").chunks) == len(PAGE)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("json", json.dumps({f"list {number}": [{"a": 1}] for number in range(5000)})),
        ("json", json.dumps({"k" * 70_000: {"a": [{"b": 1}]}, "other": [{"c": 1}]})),
        ("json", json.dumps([{f"field {number}": 1 for number in range(5000)}])),
        ("json", json.dumps([{"x" * 70_000: 1}])),
        ("json", json.dumps({f"key {number}": {"a" * 5000: "b" * 5000} for number in range(5000)})),
        ("json", f'{{"{"k" * 70_000}": 1, "{"k" * 70_000}": 2}}'),
        ("csv", ",".join(f"column {number}" for number in range(5000)) + "\n1\n"),
        ("csv", f"{'c' * 70_000},{'c' * 70_000}\n1,2\n"),
        ("jsonl", "[" + ",".join(f'"{"x" * 500}"' for _ in range(500)) + "]\n"),
        ("jsonl", "x" * 70_000),
    ],
)
def test_messages_are_short_whatever_the_file_contains(tmp_path, kind, text):
    path = tmp_path / f"docs.{kind}"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        collected(read_records(path, kind, Fields(), SourceCounts("docs")), SourceCounts("docs"))
    assert len(str(error.value).replace(str(tmp_path), "")) < 900


def test_shortened_values_and_lists():
    deep = {
        f"k{one}": {f"k{two}": {f"k{three}": "x" * 99 for three in range(9)} for two in range(9)} for one in range(9)
    }
    assert len(shortened(deep)) <= 200
    assert shortened([1, "a"]) == "[1, 'a']"
    assert listed(map(str, range(100))) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, …"
    assert len(listed(["n" * 1000])) == 40

"""From the sources in params.yaml to one stream of chunks."""

import gzip
import json
import sys
import tracemalloc
import types
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triptych.corpus.readers import sources
from triptych.corpus.readers.sources import SourceReader
from triptych.errors import UserError
from triptych.params.corpus import Source

RECORD = {"chunk_id": "a", "title": "Sorting", "content": "Call sort."}


class Read:
    """All that a reader yields; any other attribute is a list of that attribute of the counts of each source."""

    def __init__(self, params):
        self.rejected = []
        self.reader = SourceReader(params)
        self.chunks = list(self.reader.chunks(lambda path, one: self.rejected.append((path, one))))
        self.links = [(one.from_chunk_id, one.to_chunk_id) for one in self.reader.links()]
        self.ids = [one.chunk_id for one in self.chunks]

    def __getattr__(self, name):
        return [getattr(counts, name) for counts in self.reader.counts]


@pytest.fixture(scope="session")
def read(params_with):
    """Read sources, each a path or its settings, with changes to the section ``ingest``."""

    def call(*paths, **changes):
        listed = [one if isinstance(one, dict) else {"path": str(one), "category": "api"} for one in paths]
        changed = {f"ingest.{key}": value for key, value in changes.items()}
        return Read(params_with(**{"ingest.sources": listed} | changed).ingest)

    return call


@pytest.fixture
def write(tmp_path):
    """Write records, or text as it is, to a file in a temporary folder; return the path."""

    def call(name, *records):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [one if isinstance(one, str) else json.dumps(one) for one in records]
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    return call


def record(chunk_id, content=None, **fields):
    return {"chunk_id": chunk_id, "content": content or f"Text of {chunk_id}.", **fields}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", json.dumps([RECORD])),
        ("a.jsonl", json.dumps(RECORD)),
        ("a.ndjson", json.dumps(RECORD)),
        ("a.JSONL", json.dumps(RECORD)),
        ("a.csv", "chunk_id,title,content\na,Sorting,Call sort.\n"),
        ("a.tsv", "chunk_id\ttitle\tcontent\na\tSorting\tCall sort.\n"),
        ("a.md", "# Sorting\n\nCall sort.\n"),
        ("a.html", "<h1>Sorting</h1><p>Call sort.</p>"),
        ("a.HTM", "<h1>Sorting</h1><p>Call sort.</p>"),
    ],
)
@pytest.mark.parametrize("packed", ["", "unnamed", ".gz"])
def test_format_is_inferred_from_the_file_name_and_gzip_from_its_bytes(read, tmp_path, name, text, packed):
    path = tmp_path / (name + packed.removeprefix("unnamed"))
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    (chunk,) = read(path).chunks
    assert (chunk.title, chunk.content) == ("Sorting", "Call sort.")


def test_folder_with_a_corpus_is_beir_and_any_other_is_markdown(read, tmp_path, write):
    write("page.md", "# Sorting\n\nCall sort.\n")
    assert [chunk.filename for chunk in read(tmp_path).chunks] == ["page.md"]
    write("corpus.jsonl", {"_id": "a", "title": "Joining", "text": "Call join."})
    assert [chunk.title for chunk in read(tmp_path).chunks] == ["Joining"]


def test_folder_of_html_is_html_unless_it_contains_markdown(read, tmp_path, write):
    write("sub/page.html", "<h1>Sorting</h1>Call sort.")
    assert [chunk.filename for chunk in read(tmp_path).chunks] == ["sub/page.html"]
    write("page.md", "# Sorting\n\nCall sort.\n")
    assert [chunk.filename for chunk in read(tmp_path).chunks] == ["page.md"]


def test_format_given_wins_over_the_name(read, write):
    path = write("dump.txt", RECORD)
    assert len(read({"path": str(path), "format": "jsonl", "category": "api"}).chunks) == 1


def test_name_without_a_known_format_is_refused(read, write):
    with pytest.raises(UserError, match=r"cannot infer the format of .*dump\.txt; set format in params\.yaml"):
        read(write("dump.txt", "x"))


@pytest.mark.parametrize("kind", ["auto", "csv", "markdown"])
def test_missing_path_is_refused_even_if_bad_files_are_skipped(read, tmp_path, kind):
    with pytest.raises(UserError, match=r"ingest\.sources: .*nowhere\.md does not exist"):
        read({"path": str(tmp_path / "nowhere.md"), "format": kind}, on_bad_file="skip")


def test_source_without_a_usable_record_is_refused_with_the_reasons(read, write):
    path = write("a.jsonl", RECORD | {"content": ""}, RECORD | {"content": " "}, "{")
    with pytest.raises(UserError) as error:
        read(path, max_rejected_share=1.0)
    assert "has no usable record (3 read: 2 empty content (a.jsonl:1, content: ''), 1 invalid JSON (a.jsonl:3" in str(
        error.value
    )


def test_folder_without_a_page_is_refused(read, tmp_path):
    with pytest.raises(UserError, match=r"cannot infer the format of"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["docs/a.rst", "docs"])
def test_restructured_text_is_refused_with_the_remedy(read, write, tmp_path, name):
    write("docs/a.rst", "Title\n=====\n")
    with pytest.raises(UserError, match=r"sphinx-build -b html"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "remedy"), [("a.adoc", "Antora"), ("a.ipynb", "nbconvert"), ("a.mediawiki", "pandoc"), ("a.dita", "dita")]
)
def test_formats_that_others_convert_are_refused_with_the_remedy(read, write, tmp_path, name, remedy):
    write(f"docs/{name}", "words\n")
    write("docs/x.png", "")
    with pytest.raises(UserError, match=remedy):
        read(tmp_path / "docs")


def test_question_and_answer_are_title_and_text(read, write):
    found = read(write("faq.csv", "question,answer\nHow is it oiled?,With linseed.\n"))
    assert [(chunk.title, chunk.content) for chunk in found.chunks] == [("How is it oiled?", "With linseed.")]


def test_sources_are_read_in_order_with_counts_for_each(read, write):
    one = write("one.jsonl", record("a"), "{", record("b"))
    two = write("two.jsonl", record("c"), record("c"), record("c"))
    found = read(one, two, max_rejected_share=0.5)
    assert found.ids == ["a", "b", "c"]
    assert (found.read, found.accepted, found.merged) == ([3, 3], [2, 1], [0, 2])
    assert [(path, one.reason) for path, one in found.rejected] == [(str(one), "invalid JSON")]


def test_equal_repeat_is_merged_and_other_text_gets_a_suffix(read, write):
    texts = ["Sorts.", "Sorts a copy.", "Sorts.", "Sorts lazily.", "Sorts a copy."]
    found = read(write("a.jsonl", *(record("s", text) for text in texts)))
    assert [(one.chunk_id, one.content) for one in found.chunks] == [
        ("s", "Sorts."),
        ("s~2", "Sorts a copy."),
        ("s~3", "Sorts lazily."),
    ]
    assert (found.read, found.merged, found.renamed) == ([5], [2], [2])


def test_suffix_avoids_an_id_that_is_taken(read, write):
    path = write("a.jsonl", record("s~2", "First."), record("s"), record("s", "Other."), record("s::part2", "Third."))
    assert read(path).ids == ["s~2", "s", "s~3", "s::part2"]
    assert read(write("b.jsonl", record("s::part2"), record("s", "word " * 60)), max_content_chars=200).ids == [
        "s::part2",
        "s",
        "s::part2~2",
    ]


def test_same_text_in_another_category_is_not_merged(read, write):
    found = read({"path": str(write("a.jsonl", record("a", "x", category="one"), record("a", "x", category="two")))})
    assert [(one.chunk_id, one.category) for one in found.chunks] == [("a", "one"), ("a~2", "two")]


def test_thousands_of_texts_with_one_id_take_constant_time_each(read, write, monkeypatch):
    digests = []
    digest = sources._digest
    monkeypatch.setattr(sources, "_digest", lambda *parts: digests.append(1) or digest(*parts))
    found = read(write("a.jsonl", *(record("a", f"Text {number}.") for number in range(2000))))
    assert found.ids[-1] == "a~2000"
    assert len(digests) < 5 * 2000


def test_ids_are_unique_across_sources_and_equal_chunks_are_one(read, write):
    found = read(write("one.jsonl", record("a"), record("b")), write("two.jsonl", record("b", "Other."), record("a")))
    assert found.ids == ["a", "b", "b~2"]
    assert (found.merged, found.renamed) == ([0, 1], [0, 1])


def test_links_follow_the_ids_of_their_own_source(read, write):
    one = write("one/a.md", "# A\n\n[to the other](#b)\n\n# B\n\ntext one\n").parent
    two = write("two/a.md", "# A\n\nAnd [to the other](#b)\n\n# B\n\ntext two\n").parent
    assert read(one, two).links == [("a.md#a", "a.md#b"), ("a.md#a~2", "a.md#b~2")]


def test_links_to_a_merged_chunk_go_to_the_one_that_is_kept(read, write):
    one = write("one/a.md", "# A\n\none\n\n# B\n\nsame\n").parent
    two = write("two/a.md", "# A\n\n[to the other](#b)\n\n# B\n\nsame\n").parent
    assert read(one, two).links == [("a.md#a~2", "a.md#b")]


def test_link_into_another_source_is_kept_and_one_to_nowhere_left_out(read, monkeypatch):
    for name, doc in (
        ("alpha", "Find.\n\nSee Also\n--------\nbeta.f : How to sort.\ngamma.f : Gone.\n"),
        ("beta", "Sort."),
    ):
        module = types.ModuleType(name)
        module.__all__ = ["f"]
        module.f = types.FunctionType((lambda: None).__code__, {}, "f")
        module.f.__doc__ = doc
        monkeypatch.setitem(sys.modules, name, module)
    found = read(*({"path": name, "format": "package"} for name in ("alpha", "beta")))
    assert found.links == [("alpha.f", "beta.f")]
    assert [counts.links for counts in found.reader.counts] == [2, 0]


def test_source_listed_twice_is_refused(read, write):
    path = write("one.jsonl", RECORD)
    with pytest.raises(UserError, match=r"one\.jsonl is listed twice; remove one of the entries"):
        read(path, path)


def test_folder_listed_twice_with_another_spelling_is_refused(read, write):
    folder = write("one.jsonl", RECORD).parent
    with pytest.raises(UserError, match=r"is listed twice"):
        read({"path": f"{folder}", "format": "markdown"}, {"path": f"{folder}/./", "format": "markdown"})


def test_too_many_rejected_records_stop_the_stage_with_the_common_reasons(read, write):
    good = [record(str(number)) for number in range(90)]
    bad = [record("x", " ")] * 5 + ["{"] * 3 + [{"chunk_id": "y"}] * 2 + ["[]"]
    path = write("a.jsonl", *good, *bad)
    with pytest.raises(UserError) as error:
        read(path)
    output = str(error.value)
    assert "11 of 101 records of" in output
    assert "more than ingest.max_rejected_share (0.05)" in output
    assert "5 empty content (a.jsonl:91, content: ' '), 3 invalid JSON (a.jsonl:96" in output
    assert "2 missing field" in output
    assert "wrong type" not in output
    assert len(read(path, max_rejected_share=0.11).chunks) == 90


def test_records_without_text_do_not_count_as_rejected(read, write):
    path = write("a.md", *(f"# Part {number}\n\n## Inner {number}\n\nText {number}.\n" for number in range(9)))
    found = read(path)
    assert (found.accepted, found.read) == ([9], [18])
    assert [one.reason for _, one in found.rejected] == ["empty section"] * 9


def test_bad_file_of_a_folder_stops_the_stage_or_is_skipped(read, tmp_path, write):
    write("a.md", "# A\n\ntext\n")
    (tmp_path / "b.md").write_bytes(b"caf\xe9")
    with pytest.raises(UserError, match=r"b\.md:1: byte 0xe9 is not UTF-8; .*on_bad_file: skip"):
        read(tmp_path)
    found = read(tmp_path, on_bad_file="skip")
    assert found.ids == ["a.md#a"]
    ((problem,),) = found.bad_files
    assert "b.md:1: byte 0xe9" in problem


def test_records_before_the_error_of_a_skipped_file_are_read(read, tmp_path, write):
    path = write("a.csv", "chunk_id,content", "a,Text.", 'b,"never closed')
    found = read(path, write("b.jsonl", RECORD), on_bad_file="skip")
    assert found.ids == ["a", "a~2"]
    assert (found.read, found.accepted) == ([1, 1], [1, 1])
    assert "a.csv:3" in found.bad_files[0][0]


def test_stage_stops_if_all_files_are_bad(read, write):
    with pytest.raises(UserError, match=r"no file could be read; .*a\.json"):
        read(write("a.json", "{"), on_bad_file="skip")


def test_short_chunks_are_joined_if_set_and_links_follow(read, write):
    text = "# A\n\nA text of some length, see [the note](#c).\n\n## B\n\nShort.\n\n## C\n\nNote.\n"
    assert read(write("a.md", text)).ids == ["a.md#a", "a.md#b", "a.md#c"]
    found = read(write("a.md", text), min_content_chars=20)
    assert [one.content for one in found.chunks] == [
        "A text of some length, see [the note](#c).\n\nB\n\nShort.\n\nC\n\nNote."
    ]
    assert found.reader.written["joined"] == 2
    assert found.links == [("a.md#a", "a.md#a")]


def test_headings_in_a_record_cut_it_and_comments_in_a_page_do_not(read, write):
    text = "\n".join(f"# part {number}\n{'word ' * 15}" for number in range(6))
    by_record = read(write("a.jsonl", record("a", text)), max_content_chars=200).chunks
    assert all(one.content.startswith("# part") for one in by_record)
    page = read(write("a.html", f"<h1>A</h1><pre>{text}</pre>"), max_content_chars=200).chunks
    assert [one for one in page if not one.content.startswith("# part")]


@pytest.mark.parametrize(("name", "size"), [("a.jsonl", 3000), ("a.csv", 3000), ("a.parquet", 5000), ("md", 1000)])
def test_texts_are_not_held_all_at_once(params_with, write, tmp_path, name, size):
    frame = pd.DataFrame({"chunk_id": range(size), "content": [f"{n} " + "word " * 780 for n in range(size)]})
    path = tmp_path / name
    if name == "a.jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif name == "a.csv":
        frame.to_csv(path, index=False)
    elif name == "a.parquet":
        frame.to_parquet(path, row_group_size=500)
    else:
        for row in frame.itertuples():
            write(f"md/{row.chunk_id}.md", f"# {row.chunk_id}\n\n{row.content}")
    params = params_with(**{"ingest.sources": [{"path": str(path), "category": "api"}]}).ingest
    del frame
    tracemalloc.start()
    number = sum(1 for _ in SourceReader(params).chunks(lambda path, one: None))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert number == size
    most = 0.6 if sys.version_info < (3, 12) else 0.66  # whose own objects are larger
    assert peak < size * 4000 * most


FIELDS = st.fixed_dictionaries(
    {"chunk_id": st.sampled_from(["a", "b", "a~2", "a::part2", None])},
    optional={
        "content": st.sampled_from(["", "x", "y", "word " * 50, "y\r\n", None, 7]),
        "category": st.sampled_from(["one", "two", ["x"]]),
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(exports=st.lists(st.lists(FIELDS, max_size=8), min_size=1, max_size=3))
def test_every_record_is_counted_and_every_id_is_unique(read, write, exports):
    paths = [
        write(f"{number}.jsonl", record("last", category="one"), *records) for number, records in enumerate(exports)
    ]
    found = read(*({"path": str(path)} for path in paths), max_content_chars=200, max_rejected_share=1.0)
    assert found.read == [1 + len(records) for records in exports]
    assert len(set(found.ids)) == len(found.ids)
    total = sum(found.accepted) + sum(found.merged) + len(found.rejected)
    assert total == sum(found.read)
    assert len(found.chunks) == sum(found.accepted) + found.reader.written["parts_added"]


def test_every_format_that_params_name_has_a_reader_and_is_documented():
    named = set(get_args(Source.model_fields["format"].annotation)) - {"auto"}
    assert named == set(sources._READERS)
    page = (Path(__file__).parents[3] / "docs/sources.md").read_text(encoding="utf-8")
    assert not [name for name in named if f"`{name}`" not in page]

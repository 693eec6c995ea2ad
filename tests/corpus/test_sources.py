"""From the sources in params.yaml to one list of chunks."""

import json

import pytest

from triptych.corpus.reading import Reading, Rejected
from triptych.corpus.records import Chunk, Link
from triptych.corpus.sources import join, read_source
from triptych.errors import UserError
from triptych.params import Fields, Source

RECORD = {"chunk_id": "a", "title": "Sorting", "content": "Call sort."}


@pytest.fixture
def read(params_with):
    fields: Fields = params_with().ingest.fields
    return lambda path, **settings: read_source(Source(path=str(path), **{"category": "api"} | settings), fields)


def reading(*names, links=(), rejected=0, merged=0):
    chunks = [Chunk(name, "api", "api.md", (name,), name, f"Text of {name}.", f"api.md:{name}") for name in names]
    made = [Link(origin, target, "how to sort", "See how to sort.") for origin, target in links]
    return Reading(chunks, made, [Rejected("api.md", "empty content", "")] * rejected, merged)


def sources(**readings):
    return [(Source(path=f"docs/{name}"), one) for name, one in readings.items()]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", json.dumps([RECORD])),
        ("a.jsonl", json.dumps(RECORD)),
        ("a.ndjson", json.dumps(RECORD)),
        ("a.JSONL", json.dumps(RECORD)),
        ("a.csv", "chunk_id,title,content\na,Sorting,Call sort.\n"),
        ("a.md", "# Sorting\n\nCall sort.\n"),
        ("a.html", "<h1>Sorting</h1><p>Call sort.</p>"),
        ("a.HTM", "<h1>Sorting</h1><p>Call sort.</p>"),
    ],
)
def test_format_goes_by_the_name_of_the_file(read, tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    (chunk,) = read(tmp_path / name).chunks
    assert (chunk.title, chunk.content) == ("Sorting", "Call sort.")


def test_folder_with_a_corpus_is_beir_and_another_markdown(read, tmp_path):
    (tmp_path / "page.md").write_text("# Sorting\n\nCall sort.\n", encoding="utf-8")
    assert [chunk.filename for chunk in read(tmp_path).chunks] == ["page.md"]
    (tmp_path / "corpus.jsonl").write_text('{"_id": "a", "title": "Joining", "text": "Call join."}', encoding="utf-8")
    assert [chunk.title for chunk in read(tmp_path).chunks] == ["Joining"]


def test_folder_of_html_is_html_unless_it_holds_markdown(read, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "page.html").write_text("<h1>Sorting</h1>Call sort.", encoding="utf-8")
    assert [chunk.filename for chunk in read(tmp_path).chunks] == ["sub/page.html"]
    (tmp_path / "page.md").write_text("# Sorting\n\nCall sort.\n", encoding="utf-8")
    assert [chunk.filename for chunk in read(tmp_path).chunks] == ["page.md"]


def test_format_given_wins_over_the_name(read, tmp_path):
    (tmp_path / "dump.txt").write_text(json.dumps(RECORD), encoding="utf-8")
    assert len(read(tmp_path / "dump.txt", format="jsonl").chunks) == 1


def test_name_that_tells_no_format_is_refused(read, tmp_path):
    (tmp_path / "dump.txt").write_text("x", encoding="utf-8")
    with pytest.raises(UserError, match=r"cannot tell the format of .*dump\.txt; set format in params\.yaml"):
        read(tmp_path / "dump.txt")


@pytest.mark.parametrize("kind", ["auto", "csv", "markdown"])
def test_missing_path_is_refused_by_name(read, tmp_path, kind):
    with pytest.raises(UserError, match=r"ingest\.sources: .*nowhere\.md does not exist"):
        read(tmp_path / "nowhere.md", format=kind)


def test_source_without_a_usable_record_says_why(read, tmp_path):
    lines = [json.dumps(RECORD | {"content": ""}), json.dumps(RECORD | {"content": " "}), "{"]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UserError) as error:
        read(tmp_path / "a.jsonl")
    assert "(3 read: 2 empty content, 1 invalid JSON)" in str(error.value)


def test_folder_without_a_page_is_refused(read, tmp_path):
    with pytest.raises(UserError, match=r"markdown"):
        read(tmp_path)


def test_sources_are_joined_in_order_with_all_their_counts():
    joined = join(sources(one=reading("a", "b", rejected=1), two=reading("c", merged=2)))
    assert [chunk.chunk_id for chunk in joined.chunks] == ["a", "b", "c"]
    assert (joined.read, joined.merged, len(joined.rejected)) == (6, 2, 1)


def test_ids_of_two_sources_are_kept_apart_by_the_path_of_the_later():
    joined = join(sources(one=reading("a", "b"), two=reading("b", "c")))
    assert [chunk.chunk_id for chunk in joined.chunks] == ["a", "b", "docs/two:b", "docs/two:c"]
    assert [chunk.content for chunk in joined.chunks][1:3] == ["Text of b.", "Text of b."]


def test_links_follow_the_ids_of_their_own_source():
    joined = join(sources(one=reading("a", "b", links=[("a", "b")]), two=reading("a", "b", links=[("b", "a")])))
    assert [(one.from_chunk_id, one.to_chunk_id) for one in joined.links] == [("a", "b"), ("docs/two:b", "docs/two:a")]


def test_link_into_another_source_is_kept_and_one_to_nowhere_left_out():
    joined = join(sources(one=reading("a", links=[("a", "c"), ("a", "gone")]), two=reading("c")))
    assert [(one.from_chunk_id, one.to_chunk_id) for one in joined.links] == [("a", "c")]


def test_source_listed_twice_is_refused():
    same = [(Source(path="docs/one"), reading("a"))] * 2
    with pytest.raises(UserError, match="docs/one is listed twice; remove one of the entries"):
        join(same)


def test_three_folders_of_one_name_are_not_one_source_listed_twice():
    chunk = Chunk("README.md", "api", "api.md", ("a",), "a", "Text.", "api.md:1")
    joined = join([(Source(path=f"{team}/docs"), Reading([chunk])) for team in "abc"])
    assert len({one.chunk_id for one in joined.chunks}) == 3

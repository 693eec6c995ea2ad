"""Files in any encoding, compressed or not, and only from the folder of the source."""

import codecs
import gzip
import os

import pytest
from readings import read_from

from triptych.corpus import files
from triptych.corpus.files import BadFileError, files_under, open_text, read_bytes, read_text
from triptych.corpus.pages.html import read_html
from triptych.corpus.pages.markdown import read_markdown
from triptych.corpus.readers.beir import read_beir

TEXT = "# Größe\n\nEin «Text» über Größen.\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.md"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (TEXT.encode(), None),
        (TEXT.encode("utf-8-sig"), None),
        (TEXT.encode("utf-16"), None),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), None),
        (TEXT.encode("utf-32"), None),
        (TEXT.encode("cp1252"), "cp1252"),
        (TEXT.encode("utf-16-le"), "utf-16-le"),
        (TEXT.encode("utf-16"), "utf-16-le"),
        (TEXT.encode("utf-8-sig"), "cp1252"),
    ],
)
def test_encoding_is_that_of_the_byte_order_mark_or_the_user_else_utf8(path, data, encoding, packed):
    path.write_bytes(gzip.compress(data) if packed else data)
    assert read_text(path, encoding) == TEXT
    with open_text(path, encoding) as lines:
        assert "".join(lines) == TEXT
    chunk = read_from(read_markdown, path, "docs", encoding=encoding).chunks[0]
    assert (chunk.title, chunk.content) == ("Größe", "Ein «Text» über Größen.")


def test_encoding_that_is_not_named_is_not_guessed(path):
    path.write_bytes(TEXT.encode("cp1252"))
    with pytest.raises(BadFileError, match=r"a\.md:1: byte 0xf6 is not UTF-8; .*name its encoding in ingest\.sources"):
        read_text(path)


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\x00\x00", b"PK\x03\x04\x14\x00\xff" * 9, b"a\x00b\x00c\x00"])
def test_binary_file_is_refused(path, data):
    path.write_bytes(data)
    with pytest.raises(BadFileError, match=r"a\.md: is not text"):
        read_text(path)


def test_file_with_a_few_nul_characters_is_text(path):
    path.write_bytes(TEXT.encode() + b"\x00")
    assert read_text(path) == TEXT + "\x00"


def test_unreadable_file_is_refused(tmp_path):
    with pytest.raises(BadFileError, match="is a folder, not a file; check its path"):
        read_text(tmp_path)


HOSTILE = [
    "..md",
    "a\nb.md",
    "a\x07b.md",
    "-rf.md",
    "$(touch x).md",
    " .md",
    "\u202egnp.md",
    "ü" * 100 + ".md",
    "a#b.md",
]


@pytest.mark.posix
def test_hostile_names_are_names(tmp_path):
    for number, name in enumerate(HOSTILE):
        (tmp_path / name).write_text(f"# Title\n\nText {number}.\n", encoding="utf-8")
    (tmp_path / os.fsdecode(b"\xff\xfe.md")).write_text("# Title\n\nText of bytes.\n", encoding="utf-8")
    chunks = read_from(read_markdown, tmp_path, "docs").chunks
    assert len(chunks) == len(HOSTILE) + 1
    assert len({one.filename for one in chunks}) == len(chunks)
    for one in chunks:
        assert one.filename.isprintable() or "\u202e" in one.filename
        one.filename.encode()


@pytest.mark.posix
def test_names_that_become_equal_get_a_suffix(tmp_path):
    for name in ("a\x07.md", "a\x08.md", "a.md"):
        (tmp_path / name).write_text("text", encoding="utf-8")
    assert list(files_under(tmp_path, (".md",))) == ["a.md", "a.md~2", "a.md~3"]


@pytest.mark.posix
@pytest.mark.parametrize(("reader", "name"), [(read_markdown, "page.md"), (read_html, "page.html")])
def test_link_out_of_the_folder_is_not_followed(tmp_path, reader, name):
    folder, outside = tmp_path / "docs", tmp_path / "secret"
    folder.mkdir()
    outside.mkdir()
    (outside / name).write_text("secret words", encoding="utf-8")
    (folder / f"own-{name}").write_text("own words", encoding="utf-8")
    (folder / f"loop-{name}").symlink_to(folder / f"own-{name}")
    (folder / name).symlink_to(outside / name)
    (folder / "sub").symlink_to(outside, target_is_directory=True)
    (folder / f"{name}.gz").symlink_to(os.path.relpath(outside / name, folder))
    (folder / "round").symlink_to(folder, target_is_directory=True)
    reading = read_from(reader, folder, "docs")
    assert [one.content for one in reading.chunks] == ["own words"]  # a link inside the folder is its target
    assert [one[:2] for one in reading.reasons()] == [
        (f"{name}:1", "outside the folder"),
        (f"{name}.gz:1", "outside the folder"),
    ]


@pytest.mark.posix
def test_corpus_that_is_a_link_out_of_its_folder_is_refused(tmp_path):
    (tmp_path / "corpus.jsonl").write_text('{"_id": "a", "text": "secret"}', encoding="utf-8")
    (tmp_path / "beir").mkdir()
    (tmp_path / "beir" / "corpus.jsonl").symlink_to(tmp_path / "corpus.jsonl")
    with pytest.raises(BadFileError, match="link out of its folder"):
        read_from(read_beir, tmp_path / "beir", "docs")


def test_front_matter_cannot_run_code(tmp_path):
    flag = tmp_path / "flag"
    tag = f'!!python/object/apply:os.mkdir ["{flag}"]'
    (tmp_path / "a.md").write_text(f"---\ntitle: {tag}\n---\nIntro.\n", encoding="utf-8")
    assert [one.content for one in read_from(read_markdown, tmp_path, "docs").chunks] == ["Intro."]
    assert not flag.exists()


@pytest.mark.parametrize(
    "text",
    [
        "---\ntitle: " + "[" * 10_000 + "\n---\ntext",
        "> " * 10_000 + "text",
        "- " * 5_000 + "text",
        "*" * 10_000 + "text",
        "[" * 10_000 + "text",
        "<b>" * 10_000 + "text",
        "".join(f"{'#' * (n % 6 + 1)} h\n" for n in range(10_000)) + "text",
    ],
    ids=["front matter", "quotes", "lists", "emphasis", "brackets", "tags", "headings"],
)
def test_deep_nesting_in_markdown_loses_no_text(tmp_path, text):
    (tmp_path / "a.md").write_text(text, encoding="utf-8")
    assert "text" in read_from(read_markdown, tmp_path, "docs").chunks[-1].content


@pytest.mark.posix
def test_a_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(BadFileError, match="a pipe, socket or device"):
        read_bytes(tmp_path / "a.jsonl")


def test_gzip_that_gives_far_more_than_texts_do_is_refused(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"a" * 2**25))
    with pytest.raises(BadFileError, match="made to fill memory"):
        read_bytes(path)
    path.write_bytes(gzip.compress(b"a" * 2**20))
    assert len(read_bytes(path)) == 2**20


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_LONGEST_LINE", 100)
    path = tmp_path / "a.jsonl"
    path.write_text("short\n" + "long" * 100, encoding="utf-8")
    with open_text(path) as text, pytest.raises(BadFileError, match=r"a\.jsonl:2: a line of more than 100 characters"):
        list(files.bounded_lines(path, text))


def test_a_file_that_is_not_there_names_both_keys_that_may_have_named_it(tmp_path):
    with pytest.raises(BadFileError, match=r"a\.tsv: No such file .*ingest\.sources or split\.queries"):
        read_text(tmp_path / "a.tsv")

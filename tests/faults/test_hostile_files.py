"""Files made to fill memory, to never end, or to lead elsewhere: each reader ends in time and within its memory."""

import gzip
import json
import os
from pathlib import Path

import pytest
from forked_stages import FULL, count

from triptych.corpus.readers.sources import SourceReader
from triptych.errors import UserError
from triptych.params.sections import Ingest

pytestmark = [pytest.mark.faults, pytest.mark.posix]
SECONDS, MEBIBYTES = 120, 2048  # of the CPU, and beyond this process, for one hostile file
LINKS = 10_000_000 if FULL else 300_000


def bomb(path: Path, start: bytes = b"", fill: bytes = b"a", parts: int = 1_200) -> None:
    """Write some MB of gzip that give 20 GB of text, in ``parts`` of 16 MB."""
    part = gzip.compress(fill * 2**24, 9)
    with path.open("wb") as file:
        file.write(gzip.compress(start))
        for _ in range(parts):
            file.write(part)


def long_line(path: Path, start: str, end: str) -> None:
    """Write a line of 1 GB."""
    with path.open("w", encoding="utf-8") as file:
        file.write(start)
        for _ in range(1024):
            file.write("words and " * 104_858)
        file.write(end)


def links(path: Path, link: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("# A\n\n" if path.suffix == ".md" else "<h1>A</h1><p>")
        for _ in range(LINKS // 1000):
            file.write(link * 1000 + "\n")


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def self_including(folder: Path) -> None:
    for name in "abcd":
        includes = '{% include "a.md" %}\n{% include "b.md" %}\n' * 500
        write(folder / f"{name}.md", f"# T\n\n{includes}Words of the page.\n")


def laughs(path: Path) -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    keys = ("template", "title", "category", "slug", "aliases", "description", "redirect_to", "uid")
    write(path, "---\n" + "\n".join([*lines, *(f"{key}: *a11" for key in keys)]) + "\n---\n# T\n\nWords of the page.\n")


def loop(folder: Path) -> None:
    write(folder / "page.md", "# T\n\nWords of the page.\n")
    (folder / "self.md").symlink_to("self.md")
    (folder / "up").symlink_to("..")
    (folder / "one.md").symlink_to("two.md")
    (folder / "two.md").symlink_to("one.md")
    (folder / "outside.md").symlink_to("/etc/passwd")
    (folder / "endless.md").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.md")


RECORD = {"chunk_id": "a", "title": "T", "content": "Words of the record.", "category": "c"}
# name → (path of the source, how it is made, what of it is read: "message" or the number of chunks)
HOSTILE = {
    "gzip bomb, JSON": ("a.json", lambda path: bomb(path, b'[{"content": "'), "made to fill memory"),
    "gzip bomb, JSON Lines": ("a.jsonl", lambda path: bomb(path), "fill memory|more than 67,108,864 characters"),
    "gzip bomb, many lines": ("b.jsonl", lambda path: bomb(path, fill=b"x\n", parts=16), "made to fill memory"),
    "gzip bomb, CSV": ("a.csv", lambda path: bomb(path, b"chunk_id,content\na,"), "fill memory|more than"),
    "gzip bomb, Markdown": ("a.md", lambda path: bomb(path, b"# A\n"), "larger than a page|fill memory"),
    "gzip bomb, HTML": ("a.html", lambda path: bomb(path, b"<h1>A</h1>"), "larger than a page|fill memory"),
    "1 GB line, JSON Lines": (
        "line.jsonl",
        lambda path: long_line(path, '{"chunk_id": "a", "content": "', '"}\n'),
        "more than 67,108,864 characters",
    ),
    "1 GB line, CSV": ("line.csv", lambda path: long_line(path, "chunk_id,content\na,", "\n"), "more than 67,108,864"),
    "1 GB line, Markdown": ("line.md", lambda path: long_line(path, "# A\n\n", "\n"), "larger than a page"),
    "1 GB line, HTML": ("line.html", lambda path: long_line(path, "<h1>A</h1>", "\n"), "larger than a page"),
    "links, Markdown": (
        "links.md",
        lambda path: links(path, "[a](b.md) "),
        "links, more than a page|larger than a page",
    ),
    "links, HTML": ("links.html", lambda path: links(path, "<a href=b.html>a</a> "), None),
    "open brackets, Markdown": ("brackets.md", lambda path: write(path, "# A\n\n" + "[" * 200_000 + "\n"), None),
    "nested quotes, Markdown": ("quotes.md", lambda path: write(path, "# A\n\n" + ">" * 100_000 + " a\n"), None),
    "nested lists, Markdown": (
        "lists.md",
        lambda path: write(path, "# A\n\n" + "".join(" " * 2 * n + "- a\n" for n in range(2000))),
        None,
    ),
    "spaces, Markdown": ("spaces.md", lambda path: write(path, "# A\n\n" + (" " * 300_000 + "a\n") * 5), 1),
    "emphasis, Markdown": ("stars.md", lambda path: write(path, "# A\n\n" + "*a_ " * 60_000 + "\n"), None),
    "a million nested elements, HTML": (
        "nested.html",
        lambda path: write(path, "<h1>A</h1>" + "<div>" * 1_000_000 + "words"),
        None,
    ),
    "nested arrays, JSON": ("nested.json", lambda path: write(path, "[" * 1_000_000), "invalid JSON"),
    "nested arrays, JSON Lines": (
        "nested.jsonl",
        lambda path: write(path, "[" * 1_000_000 + "\n" + json.dumps(RECORD) + "\n"),
        1,
    ),
    "a billion laughs, front matter": ("laughs.md", laughs, 1),
    "a page that includes itself": ("includes", lambda path: (path.mkdir(), self_including(path)), None),
    "symlink loops, devices, pipes": ("loop", lambda path: (path.mkdir(), loop(path)), 1),
    "a pipe": ("pipe.jsonl", os.mkfifo, "a pipe, socket or device|cannot infer the format"),
    "a device": ("zero.md", lambda path: path.symlink_to("/dev/zero"), "a pipe, socket or device|does not exist"),
    "300,000 columns, CSV": (
        "columns.csv",
        lambda path: write(path, ",".join(f"c{n}" for n in range(300_000)) + "\n1\n"),
        "no record has the field",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_has_an_end(name, tmp_path):
    made, make, expected = HOSTILE[name]
    path = tmp_path / made
    make(path)
    ended, seconds, mebibytes, output = read_in_fork(path)
    assert ended == 0, f"{name}: {output}"
    assert seconds < SECONDS
    assert mebibytes < MEBIBYTES
    found = json.loads(output)
    if isinstance(expected, int):
        assert found["chunks"] == expected, found
    elif expected:
        assert any(part in str(found["message"]) for part in expected.split("|")), found
        assert made in str(found["message"])
    how = "refused with a message" if found["message"] else "read"
    count(f"hostile file: {name}", made, f"{how}, {seconds:.0f} s, {mebibytes:.0f} MiB more")


def read_in_fork(path: Path) -> tuple[int, float, float, str]:
    """Read a source in a fork; return its exit, CPU seconds, MiB beyond this process, and what it found."""
    import resource  # of POSIX alone

    log = path.with_name("found.json")
    before = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * resource.getpagesize()
    if (child := os.fork()) == 0:
        code = 1
        try:
            pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
            limit = pages * resource.getpagesize() + 6 * 2**30
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            resource.setrlimit(resource.RLIMIT_CPU, (2 * SECONDS, 2 * SECONDS))
            chunks, message = 0, None
            try:
                reader = SourceReader(Ingest(sources=[{"path": str(path)}], on_bad_file="stop"))
                for _ in reader.chunks(lambda path, one: None):
                    chunks += 1
                for _ in reader.links():
                    pass
            except UserError as error:
                message = str(error)
            log.write_text(json.dumps({"chunks": chunks, "message": message}), encoding="utf-8")
            code = 0
        except BaseException:
            import traceback

            log.write_text(traceback.format_exc(), encoding="utf-8")
        finally:
            os._exit(code)
    _, status, used = os.wait4(child, 0)
    output = log.read_text(encoding="utf-8") if log.exists() else ""
    return (
        os.waitstatus_to_exitcode(status),
        used.ru_utime + used.ru_stime,
        (used.ru_maxrss * 1024 - before) / 2**20,
        output,
    )


def test_no_code_of_a_model_is_run_and_no_pickle_is_read(tiny_model, tmp_path):
    """Neither a module of its own, nor weights as a pickle, nor code that its config names."""
    import shutil

    import torch
    from safetensors.torch import load_file

    from triptych.models.loading import load_base
    from triptych.params.sections import Model

    ran = tmp_path / "ran"
    code = f"import pathlib\npathlib.Path({str(ran)!r}).touch()\nclass Evil:\n    pass\n"
    for name in ("module", "pickle", "config"):
        folder = tmp_path / name
        shutil.copytree(tiny_model, folder)
        (folder / "evil.py").write_text(code, encoding="utf-8")
        if name == "module":
            modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
            modules[0]["type"] = "evil.Evil"
            (folder / "modules.json").write_text(json.dumps(modules))
        elif name == "pickle":
            torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
            (folder / "model.safetensors").unlink()
        else:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"}}
            (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(UserError, match=r"model.base: .* could not be loaded") as refused:
            load_base(Model(base=str(folder), revision=None, query_prompt=None, passage_prompt=None))
        assert not ran.exists()
        count("a model with code or a pickle", name, "refused with a message")
        assert str(folder) in str(refused.value)


def test_the_gzip_limit_lets_texts_pass(tmp_path):
    """Real text that compresses well is read whole."""
    path = tmp_path / "a.jsonl"
    records = (RECORD | {"chunk_id": str(n), "content": f"Word {n * 7919} of it."} for n in range(200_000))
    path.write_bytes(gzip.compress("".join(json.dumps(one) + "\n" for one in records).encode(), 1))
    reader = SourceReader(Ingest(sources=[{"path": str(path)}], on_bad_file="stop"))
    assert sum(1 for _ in reader.chunks(lambda path, one: None)) == 200_000

"""Standard streams are UTF-8 where the console's code page is another, as on Windows."""

import io
import json
import os
import subprocess
import sys

import pytest

from triptych.streams import use_utf8

TITLE = "naïve “日本” 🦜"
CONSOLES = ("cp1252", "cp437", "ascii")


class Terminal(io.TextIOWrapper):
    def isatty(self):
        return True


def stream(kind=io.TextIOWrapper, data=b"", encoding="cp1252"):
    return kind(io.BytesIO(data), encoding=encoding, write_through=True)


@pytest.mark.parametrize("encoding", CONSOLES)
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_what_is_written_to_a_file_is_utf_8(monkeypatch, encoding, name):
    monkeypatch.setattr(sys, name, stream(encoding=encoding))
    use_utf8()
    getattr(sys, name).write(TITLE)
    assert getattr(sys, name).buffer.getvalue() == TITLE.encode()


def test_a_terminal_keeps_its_encoding_and_what_it_lacks_is_escaped(monkeypatch):
    monkeypatch.setattr(sys, "stdout", stream(Terminal))
    use_utf8()
    sys.stdout.write(TITLE)
    assert sys.stdout.buffer.getvalue() == b"na\xefve \x93\\u65e5\\u672c\x94 \\U0001f99c"


@pytest.mark.parametrize("encoding", [*CONSOLES, "utf-8"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_what_is_read_from_a_file_is_utf_8_with_or_without_a_byte_order_mark(monkeypatch, encoding, mark):
    monkeypatch.setattr(sys, "stdin", stream(data=mark + TITLE.encode(), encoding=encoding))
    use_utf8()
    assert sys.stdin.read() == TITLE


def test_bytes_that_are_not_utf_8_are_left_for_the_reader_to_refuse(monkeypatch):
    monkeypatch.setattr(sys, "stdin", stream(data=b"caf\xe9", encoding="utf-8"))
    use_utf8()
    assert sys.stdin.read() == "caf\udce9"


@pytest.mark.parametrize("missing", [None, io.StringIO()])
def test_streams_that_are_none_or_replaced_are_left_alone(monkeypatch, missing):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, missing)
    use_utf8()


def in_process(*command, cwd=None, stdin=b"", encoding="cp1252"):
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, *command], cwd=cwd, env=environment, input=stdin, capture_output=True)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


def test_search_reads_questions_and_writes_json_in_utf_8(indexed):
    output = in_process("-m", "triptych.cli", "search", "--json", "--k", "1", cwd=indexed, stdin=TITLE.encode())
    assert json.loads(output.decode("utf-8"))["question"] == TITLE


def test_help_is_written_in_utf_8():
    assert "─" in in_process("-m", "triptych.cli", "--help", encoding="cp437").decode("utf-8")


def test_a_stage_prints_in_utf_8():
    code = f"from stages.command import print_line, run; run(lambda: print_line({TITLE!r}))"
    assert in_process("-c", code).decode("utf-8").splitlines() == [TITLE]

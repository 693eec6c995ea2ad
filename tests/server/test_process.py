"""``triptych serve`` as a process: it starts, stops cleanly, and what is wrong is one message."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import httpx2
import pytest
from typer.testing import CliRunner

from triptych.cli import app


@contextmanager
def started(folder, *arguments, **environment):
    command = [sys.executable, "-m", "triptych.cli", "serve", "--port", "0", *arguments]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    )
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield process, re.search(r"http://\S+", line)[0]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


@pytest.mark.posix
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_it_finds_what_the_command_line_finds_and_a_signal_ends_it_after_the_requests_that_run(
    indexed, sent, monkeypatch
):
    monkeypatch.chdir(indexed)
    printed = CliRunner().invoke(app, ["search", "--json", "--k", "4", "--category", "ma", "mask an array"]).stdout
    with started(indexed) as (process, url), httpx2.Client(base_url=url, timeout=60) as client:
        body = {"question": "mask an array", "k": 4, "category": "ma"}
        assert client.post("/search", json=body).json() == json.loads(printed)
        long = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=60)
        texts = json.dumps({"input": ["the inverse of rfft " * 40] * 400, "model": "embedder-query"})
        long.request("POST", "/v1/embeddings", texts, {"Content-Type": "application/json"})
        for _ in range(3):  # by then it has been read
            assert client.get("/info").status_code == 200
        process.send_signal(sent)
        answer = long.getresponse()
        assert answer.status == 200
        assert len(json.load(answer)["data"]) == 400
        assert process.wait(30) == (0 if sent == signal.SIGINT else -signal.SIGTERM)
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("arguments", "token", "said"),
    [
        (["--host", "0.0.0.0"], "", "set TRIPTYCH_SERVE_TOKEN in the environment"),
        (["--host", "docs.example.com"], "", "set TRIPTYCH_SERVE_TOKEN in the environment"),
        (["--host", "0.0.0.0"], "two words", "TRIPTYCH_SERVE_TOKEN has a space"),
        (["--queue", "0"], "", "must be above 0"),
        (["--timeout", "0"], "", "must be above 0"),
        (["--source-url", "https://x/{page}"], "", "--source-url has {page}; known are {filename}"),
        (["--source-url", "javascript:{filename}"], "", "must begin with http:// or https://"),
        (["--index", "nowhere"], "", "nowhere is missing"),
        (["--host", "203.0.113.7"], "sesame", "cannot listen on 203.0.113.7:8000"),
    ],
)
def test_what_is_wrong_is_one_message(indexed, monkeypatch, arguments, token, said):
    monkeypatch.chdir(indexed)
    monkeypatch.setenv("TRIPTYCH_SERVE_TOKEN", token)
    result = CliRunner().invoke(app, ["serve", *arguments])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_one_message(indexed, monkeypatch):
    monkeypatch.chdir(indexed)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, ["serve", "--port", str(port)])
    assert result.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{port} (" in result.stderr
    assert "set --host or --port" in result.stderr


@pytest.mark.parametrize(("arguments", "extra"), [([], "serve"), (["--mcp"], "mcp")])
def test_a_missing_extra_is_one_message(indexed, monkeypatch, arguments, extra):
    monkeypatch.chdir(indexed)
    monkeypatch.setattr("triptych.server.run.find_spec", lambda name: None)
    result = CliRunner().invoke(app, ["serve", *arguments])
    assert result.exit_code == 1
    assert f"pip install 'triptych[{extra}]'" in result.stderr


def test_a_server_needs_no_torch(indexed):
    code = (
        "import sys; from triptych import Searcher; from triptych.server.app import make_app;"
        " from triptych.server.service import SearchService; from triptych.server.settings import ServerSettings;"
        " searcher = Searcher(); searcher.warm(); make_app(SearchService(searcher, ServerSettings()));"
        " assert not {'torch', 'transformers', 'dvc'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=indexed)

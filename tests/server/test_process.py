"""``triptych serve`` as a process: it starts, stops cleanly, and what is wrong is one message."""

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from threading import Event, Thread

import httpx2
import pytest
from typer.testing import CliRunner

from triptych import Searcher
from triptych.cli import app
from triptych.server.run import _listening, serve_http
from triptych.server.settings import ServerSettings

PLACES = ("data/index", "models/embedder", "models/reranker", "metrics/verdict.json")


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
        answer = client.post("/search", json=body)
        assert answer.json() == json.loads(printed)
        assert "server" not in answer.headers  # which program in which version is nobody's business
        assert (client.post("/mcp", json={}).status_code == 404) == (find_spec("mcp") is None)
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
        assert (process.stdout.read(), process.stderr.read()) == ("", "")


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


@pytest.fixture
def running(searcher, monkeypatch):
    """Run ``serve_http`` in a thread; return its server and what it reported, for a searcher and settings."""
    import uvicorn

    started, threads = [], []
    run = uvicorn.Server.run

    def noted(self, sockets=None):
        started.append(self)
        run(self, sockets)

    def call(served=searcher, **settings):
        lines = []
        threads.append(Thread(target=serve_http, args=(served, ServerSettings(port=0, **settings), lines.append)))
        threads[-1].start()
        until(lambda: started and started[-1].started)
        return started[-1], re.search(r"http://\S+", lines[0])[0]

    monkeypatch.setattr(uvicorn.Server, "run", noted)
    yield call
    for server, thread in zip(started, threads, strict=True):
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def until(met):
    deadline = time.monotonic() + 20
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_request_that_runs_has_its_time_after_the_server_was_told_to_stop(running, searcher):
    class Slow:
        def __getattr__(self, name):
            return getattr(searcher, name)

        def __len__(self):
            return len(searcher)

        def warm(self):
            """Wait for nothing."""

        def search_all(self, questions, k, category):
            working.set()
            time.sleep(1.5)
            return searcher.search_all(questions, k, category)

    working = Event()
    server, url = running(Slow(), seconds=30)
    with ThreadPoolExecutor(1) as pool, httpx2.Client(base_url=url, timeout=60) as client:
        asked = pool.submit(client.post, "/search", json={"question": "mask"})
        assert working.wait(20)
        server.should_exit = True
        assert asked.result().status_code == 200


def test_more_connections_than_it_takes_are_503(running, monkeypatch):
    monkeypatch.setattr("triptych.server.run._MAX_CONNECTIONS", 3)
    _, url = running()
    with ExitStack() as stack, httpx2.Client(base_url=url, timeout=60) as client:
        address = (client.base_url.host, client.base_url.port)
        idle = [stack.enter_context(socket.create_connection(address)) for _ in range(4)]
        assert len(idle) == 4
        until(lambda: client.get("/health", headers={"Connection": "close"}).status_code == 503)


def test_models_are_loaded_before_it_says_that_it_serves(running, indexed):
    searcher = Searcher(*(indexed / one for one in PLACES))
    assert "_encoder" not in vars(searcher)
    running(searcher)
    assert "_encoder" in vars(searcher)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_an_address_of_ipv6_is_served_and_shown_in_brackets(running):
    _, url = running(host="::1")
    assert re.fullmatch(r"http://\[::1\]:\d+", url)
    assert httpx2.get(f"{url}/health").json() == {"status": "ok"}


def test_options_are_the_limits_of_the_server(indexed, monkeypatch):
    monkeypatch.chdir(indexed)
    monkeypatch.setenv("TRIPTYCH_SERVE_TOKEN", " sesame\n")
    served = []
    monkeypatch.setattr("triptych.server.run.serve_http", lambda searcher, settings, report: served.append(settings))
    monkeypatch.setattr("triptych.server.run.serve_stdio", lambda searcher, settings: served.append(settings))
    options = ["--host", "0.0.0.0", "--port", "81", "--queue", "7", "--timeout", "2.5", "--max-mib", "0.5"]
    for more in ([], ["--mcp"]):
        done = CliRunner().invoke(app, ["serve", *options, "--source-url", "https://x.example/{filename}", *more])
        assert done.exit_code == 0, done.output
    wanted = ServerSettings("0.0.0.0", 81, "sesame", 7, 2.5, 2**19, "https://x.example/{filename}")
    assert served == [wanted, wanted]


def test_an_answer_is_sent_at_once_and_does_not_wait_for_the_acknowledgment_of_its_head():
    async def sends_at_once():
        found = asyncio.get_running_loop().create_future()

        async def answer(reader, writer):
            found.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listener = _listening(ServerSettings(port=0))
        async with await asyncio.start_server(answer, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            writer.close()
            return await asyncio.wait_for(found, 30)

    assert asyncio.run(sends_at_once())

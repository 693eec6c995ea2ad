"""MCP by the SDK's own client, over standard input and output and over HTTP: the hits of the command line."""

import asyncio
import json
import os
import sys
import threading
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("mcp", reason="triptych[mcp] is not installed")
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from typer.testing import CliRunner

from triptych.cli import app
from triptych.server.mcp_tools import make_mcp

ASKED = {"question": "mask where a condition is met — naïve 表", "k": 4, "category": "ma"}


@pytest.fixture
def printed(indexed, monkeypatch):
    """What the command line prints."""
    monkeypatch.chdir(indexed)
    command = ["search", "--json", "--k", "4", "--category", "ma", ASKED["question"]]
    return json.loads(CliRunner().invoke(app, command).stdout)


async def talk(client, expected):
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert tools.keys() == {"search", "read"}
    assert tools["search"].annotations.read_only_hint
    assert tools["search"].input_schema["properties"]["k"]["maximum"] == 100
    assert "fft, ma" in json.dumps(tools["search"].input_schema)
    found = await client.call_tool("search", ASKED)
    assert not found.is_error
    assert found.structured_content == expected
    assert json.loads(found.content[0].text) == expected
    hit = expected["hits"][0]
    read = (await client.call_tool("read", {"chunk_id": hit["chunk_id"], "around": 2})).structured_content["chunks"]
    assert hit["content"] in [one["content"] for one in read]
    assert {one["filename"] for one in read} == {hit["filename"]}
    for name, arguments, said in (
        ("search", {"question": " "}, "the question is empty"),
        ("search", {"question": "mask", "category": "none"}, "known are fft, ma"),
        ("search", {"question": "mask", "k": 101}, "less than or equal to 100"),
        ("read", {"chunk_id": "nothing"}, "no chunk has the id 'nothing'"),
    ):
        failed = await client.call_tool(name, arguments)
        assert failed.is_error
        assert said in failed.content[0].text
        assert "Traceback" not in failed.content[0].text


def test_over_standard_input_and_output(indexed, printed):
    inherited = {name: os.environ[name] for name in ("PYTHONPATH", "OMP_NUM_THREADS") if name in os.environ}
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "triptych.cli", "serve", "--mcp"], cwd=indexed, env=inherited
    )

    async def run():
        async with Client(command) as client:
            await talk(client, printed)

    asyncio.run(asyncio.wait_for(run(), 120))


def test_over_http_beside_the_rest(printed, serve, searcher):
    http = serve(searcher, make_mcp)

    async def run():
        async with Client(f"{http.url}/mcp") as client:
            await talk(client, printed)

    asyncio.run(asyncio.wait_for(run(), 120))
    assert http.get("/health").status_code == 200


def test_over_http_the_token_is_needed(serve, searcher):
    http = serve(searcher, make_mcp, token="sesame")
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    assert http.post("/mcp", json=body).status_code == 401
    wanted = {"Authorization": "Bearer sesame", "Accept": "application/json, text/event-stream"}
    assert http.post("/mcp", json=body, headers=wanted).status_code != 401


def test_many_clients_at_once_get_the_answers_of_one(serve, searcher):
    http = serve(searcher, make_mcp)
    questions = ["mask", "fill_value", "discrete transform", "zebra"] * 4

    @asynccontextmanager
    async def opened():
        async with Client(f"{http.url}/mcp") as client:
            yield client

    async def ask(question):
        async with opened() as client:
            return (await client.call_tool("search", {"question": question})).structured_content["hits"]

    async def run():
        return await asyncio.gather(*map(ask, questions))

    for question, hits in zip(questions, asyncio.run(asyncio.wait_for(run(), 120)), strict=True):
        assert [one["chunk_id"] for one in hits] == [one.chunk.chunk_id for one in searcher.search(question)]


def test_an_error_of_the_server_tells_the_model_nothing(serve, searcher, monkeypatch):
    http = serve(searcher, make_mcp)

    def fail(*_):
        raise RuntimeError("a secret of the server")

    monkeypatch.setattr(searcher, "search_all", fail)

    async def run():
        async with Client(f"{http.url}/mcp") as client:
            return await client.call_tool("search", {"question": "mask"})

    failed = asyncio.run(asyncio.wait_for(run(), 60))
    assert failed.is_error
    assert "secret" not in failed.content[0].text


class Slow:
    """A searcher whose searches wait until they are let go."""

    def __init__(self, searcher):
        self._searcher, self.go = searcher, threading.Event()

    def __getattr__(self, name):
        return getattr(self._searcher, name)

    def search_all(self, questions, k, category):
        assert self.go.wait(20)
        return self._searcher.search_all(questions, k, category)


@pytest.mark.parametrize(
    ("limits", "said"),
    [({"waiting": 1}, "too many requests wait; try again"), ({"seconds": 0.4}, "took too long; ask for less")],
)
def test_too_many_and_too_late_are_messages_that_the_model_reads(serve, searcher, limits, said):
    slow = Slow(searcher)
    http = serve(slow, make_mcp, **limits)

    async def ask():
        async with Client(f"{http.url}/mcp") as client:
            return await client.call_tool("search", {"question": "mask"})

    async def run():
        asked = [asyncio.create_task(ask()) for _ in range(12)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)  # the first one that is refused
        slow.go.set()
        return await asyncio.gather(*asked)

    answers = asyncio.run(asyncio.wait_for(run(), 60))
    refused = [one.content[0].text for one in answers if one.is_error]
    assert refused
    assert all(said in one for one in refused)


def test_hits_and_chunks_have_the_address_of_their_page(serve, searcher):
    http = serve(searcher, make_mcp, source_url="https://docs.example.com/{filename}")

    async def run():
        async with Client(f"{http.url}/mcp") as client:
            hits = (await client.call_tool("search", {"question": "mask"})).structured_content["hits"]
            read = await client.call_tool("read", {"chunk_id": hits[0]["chunk_id"]})
            return hits, read.structured_content["chunks"]

    for records in asyncio.run(asyncio.wait_for(run(), 60)):
        assert all(one["url"] == f"https://docs.example.com/{one['filename']}" for one in records)


def test_other_machines_reach_it_by_any_name_where_the_address_is_open(serve, searcher):
    http = serve(searcher, make_mcp, host="0.0.0.0", token="sesame")
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    headers = {"Authorization": "Bearer sesame", "Accept": "application/json, text/event-stream"}
    by_address, by_name = (
        http.post("/mcp", json=body, headers=headers | more) for more in ({}, {"Host": "docs.example.com"})
    )
    assert (by_name.status_code, by_name.text) == (by_address.status_code, by_address.text)

"""A searcher over the indexed project, and real servers on free ports."""

import socket
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from threading import Thread

import pytest

from triptych import Searcher

if find_spec("fastapi_offline") is None:  # without triptych[serve]
    collect_ignore_glob = ["test_*.py"]
else:
    import httpx2
    import uvicorn

    from triptych.server.app import make_app
    from triptych.server.service import SearchService
    from triptych.server.settings import ServerSettings


def open_searcher(folder):
    return Searcher(
        folder / "data/index", folder / "models/embedder", folder / "models/reranker", folder / "metrics/verdict.json"
    )


@pytest.fixture(scope="session")
def searcher(indexed):
    """The searcher of the indexed project, which nothing changes."""
    return open_searcher(indexed)


@contextmanager
def _served(searcher, make_mcp=None, **settings):
    service = SearchService(searcher, ServerSettings(port=0, **settings))
    app = make_app(service, make_mcp and make_mcp(service))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        with httpx2.Client(base_url=url, timeout=30) as client:
            client.url = url
            yield client
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
        assert not thread.is_alive()


@pytest.fixture
def serve():
    """Serve a searcher until the test ends: ``serve(searcher, waiting=2)`` returns an HTTP client."""
    with ExitStack() as stack:

        def call(searcher, make_mcp=None, **settings):
            return stack.enter_context(_served(searcher, make_mcp, **settings))

        yield call


@pytest.fixture(scope="module")
def client(searcher):
    """An HTTP client of a server with the default limits."""
    with _served(searcher) as opened:
        yield opened

"""Run the server until it is stopped: over HTTP, or MCP over standard input and output."""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec

import anyio

from triptych.errors import UserError
from triptych.server.service import SearchService
from triptych.server.settings import ServerSettings
from triptych.serving.searcher import Searcher

_MAX_CONNECTIONS = 512  # further ones are answered 503 by uvicorn
_HTTP, _MCP = ("fastapi", "fastapi_offline", "uvicorn"), ("mcp",)


def serve_http(searcher: Searcher, settings: ServerSettings, report: Callable[[str], None]) -> None:
    """Serve HTTP until SIGINT or SIGTERM, then finish the requests that run; with MCP if its SDK is installed.

    ``report`` gets the address once the server can be asked. Raise `UserError` on settings that do not work here.
    """
    settings.check()
    _need(_HTTP, "serve")
    import uvicorn

    from triptych.server.app import make_app

    searcher.warm()
    service, mcp = SearchService(searcher, settings), None
    if find_spec("mcp") is not None:
        from triptych.server.mcp_tools import make_mcp

        mcp = make_mcp(service)
    config = uvicorn.Config(
        make_app(service, mcp),
        log_level="warning",
        access_log=False,  # questions are nobody's business
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_graceful_shutdown=max(1, round(settings.seconds)),
    )
    with _listening(settings) as listener:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"http://{host}:{listener.getsockname()[1]}"
        report(f"serve: {address} (search page, /docs{', /mcp' if mcp else ''}); Ctrl-C stops it")
        with suppress(KeyboardInterrupt):  # uvicorn repeats it after the shutdown
            uvicorn.Server(config).run(sockets=[listener])


def serve_stdio(searcher: Searcher, settings: ServerSettings) -> None:
    """Serve MCP over standard input and output until the client closes them."""
    _need(_MCP, "mcp")
    from triptych.server.mcp_tools import make_mcp

    service = SearchService(searcher, settings)
    server = make_mcp(service)

    async def run() -> None:
        async with service.running():
            await server.run_stdio_async()

    anyio.run(run)


def _need(modules: tuple[str, ...], extra: str) -> None:
    if missing := [name for name in modules if find_spec(name) is None]:
        raise UserError(f"{' and '.join(missing)} not installed: pip install 'triptych[{extra}]'")


def _listening(settings: ServerSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise UserError(f"cannot listen on {settings.host}:{settings.port} ({reason}); set --host or --port") from None
    # Without its protocol named asyncio does not send at once: an answer's body then waits 40 ms for the client's ACK.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=listener.detach())

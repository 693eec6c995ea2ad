"""Search as tools for coding agents, by the Model Context Protocol: ``pip install triptych[mcp]``."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, TextContent, ToolAnnotations
from pydantic import Field

from triptych import __version__
from triptych.errors import UserError
from triptych.server.batching import OverloadedError
from triptych.server.chunk_records import chunk_record, hit_record
from triptych.server.records import Around, Question, ReadAnswer, SearchAnswer
from triptych.server.service import SearchService

_READ_ONLY = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)


def make_mcp(service: SearchService) -> MCPServer[Any]:
    """Return an MCP server with the tools ``search`` and ``read``; the service must be running when they are called."""
    categories, depth = service.searcher.categories, service.searcher.depth
    server: MCPServer[Any] = MCPServer(
        "triptych",
        title="Triptych",
        version=__version__,
        instructions=(
            "Search of a documentation. Ask `search` in plain words or by the name of a function; `read` returns a"
            f" hit with what stands around it in its file. Categories: {', '.join(categories)}."
        ),
        log_level="WARNING",
    )

    @server.tool(annotations=_READ_ONLY)
    async def search(
        question: Question,
        k: Annotated[int, Field(ge=1, le=depth, description="number of hits")] = 10,
        category: Annotated[str | None, Field(description=f"one of {', '.join(categories)}; all if left out")] = None,
    ) -> Annotated[CallToolResult, SearchAnswer]:
        """Search the documentation; returns the best chunks of it, best first, each with its whole text."""
        async with _errors_as_messages():
            hits = await service.search(question, k, category)
        return _result({"question": question, "hits": [hit_record(hit, service.settings) for hit in hits]})

    @server.tool(annotations=_READ_ONLY)
    async def read(
        chunk_id: Annotated[str, Field(description="the chunk_id of a hit")], around: Around = 0
    ) -> Annotated[CallToolResult, ReadAnswer]:
        """Read a chunk of the documentation, and those around it in its file."""
        async with _errors_as_messages():
            chunks = await service.read(chunk_id, around)
        return _result({"chunks": [chunk_record(one, service.settings) for one in chunks]})

    return server


def _result(record: dict[str, Any]) -> CallToolResult:
    """Return a record as it is, for programs, and as JSON text, for models."""
    text = json.dumps(record, ensure_ascii=False)
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=record)


@asynccontextmanager
async def _errors_as_messages() -> AsyncIterator[None]:
    """Turn what a client can mend into an error that the model reads; anything else is logged, without its text."""
    try:
        yield
    except UserError as error:
        raise ToolError(str(error)) from None
    except OverloadedError:
        raise ToolError("too many requests wait; try again in a second") from None
    except TimeoutError:
        raise ToolError("the search took too long; ask for less at a time") from None

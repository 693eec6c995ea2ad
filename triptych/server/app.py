"""The HTTP server: search, embeddings, reranking, a search page, and MCP where its SDK is installed."""

import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.resources import files
from typing import Annotated, Any

import numpy as np
from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from triptych import __version__
from triptych.errors import UserError, out_of_memory_message
from triptych.retrieval.quantization import truncated
from triptych.server.batching import OverloadedError
from triptych.server.chunk_records import chunk_record, hit_record
from triptych.server.guards import OPEN_FOLDER, LimitBody, RequireToken, problem
from triptych.server.records import (
    Around,
    EmbeddingsAnswer,
    EmbeddingsBody,
    ErrorBody,
    Health,
    Info,
    ModelList,
    ReadAnswer,
    RerankAnswer,
    RerankBody,
    SearchAnswer,
    SearchBody,
)
from triptych.server.service import SearchService
from triptych.server.settings import ServerSettings
from triptych.serving.numpy_encoder import Role

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": text}
    for status, text in {
        400: "cannot be asked",
        401: "the token is missing or wrong",
        413: "the body is too large",
        422: "the body has another form",
        503: "too many wait; try again after the seconds of Retry-After",
        504: "took too long",
    }.items()
}
_LOCAL_HOSTS = ["127.0.0.1", "localhost", "[::1]", "::1"]
_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
_ROLES: dict[str, Role] = {"query": "query", "passage": "document", "document": "document"}


def make_app(service: SearchService, mcp: Any = None) -> FastAPI:
    """Return the application of a service that is not running yet; ``mcp`` is a server of `mcp_tools.make_mcp`."""
    settings = service.settings
    mcp_app = None if mcp is None else _mcp_app(mcp, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(service.running())
            if mcp_app is not None:
                await stack.enter_async_context(mcp.session_manager.run())
            yield

    app: FastAPI = FastAPIOffline(
        title="Triptych",
        version=__version__,
        description="Search of documentation as its verdict says, and the models that it published.",
        redoc_url=None,
        static_url=OPEN_FOLDER,
        lifespan=lifespan,
        responses=_ERRORS,
        dependencies=[Depends(HTTPBearer(auto_error=False))]
        if settings.token
        else [],  # for the page; see RequireToken
    )
    _add_search(app, service)
    _add_models(app, service)
    _add_page(app)
    _add_errors(app, settings)
    if mcp_app is not None:
        app.router.routes.extend(mcp_app.routes)
    app.add_middleware(LimitBody, max_bytes=settings.max_bytes, seconds=settings.seconds)
    if settings.token:
        app.add_middleware(RequireToken, token=settings.token)
    if settings.is_loopback:  # else a page of another site could reach it under a name of its own
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=_LOCAL_HOSTS, www_redirect=False)
    return app


def _add_search(app: FastAPI, service: SearchService) -> None:
    settings, searcher = service.settings, service.searcher

    @app.post("/search", response_model=SearchAnswer, tags=["search"])
    async def search(body: SearchBody) -> JSONResponse:
        """Search the documentation as the verdict says: hybrid, late interaction and a reranker where they help."""
        hits = await service.search(body.question, body.k, body.category)
        return JSONResponse({"question": body.question, "hits": [hit_record(hit, settings) for hit in hits]})

    @app.get("/chunks/{chunk_id:path}", response_model=ReadAnswer, tags=["search"])
    async def read(chunk_id: str, around: Annotated[Around, Query()] = 0) -> JSONResponse:
        """Read a chunk, and those around it in its file."""
        chunks = await service.read(chunk_id, around)
        return JSONResponse({"chunks": [chunk_record(one, settings) for one in chunks]})

    @app.get("/info", tags=["search"])
    async def info() -> Info:
        """Return what is served."""
        return Info(
            chunks=len(searcher),
            categories=searcher.categories,
            max_k=searcher.depth,
            reranker=searcher.no_reranker is None,
        )

    @app.get("/health", tags=["search"])
    async def health() -> Health:
        """Return that the server answers."""
        return Health()


def _add_models(app: FastAPI, service: SearchService) -> None:
    names = ["embedder", "embedder-query", "embedder-passage"]
    names += ["reranker"] if service.searcher.no_reranker is None else []

    @app.get("/v1/models", tags=["models"])
    async def models() -> ModelList:
        """List the names that ``model`` may have."""
        return ModelList.model_validate({"data": [{"id": name} for name in names]})

    @app.post("/v1/embeddings", response_model=EmbeddingsAnswer, tags=["models"])
    async def embeddings(body: EmbeddingsBody) -> JSONResponse:
        """Embed texts as OpenAI's API does, with the embedder's prompt for queries or for passages."""
        vectors, tokens = await service.embed(body.input, _role(body, service))
        if body.dimensions is not None and body.dimensions > vectors.shape[1]:
            raise UserError(f"dimensions: the embedder has {vectors.shape[1]}, fewer than {body.dimensions}")
        vectors = truncated(vectors, body.dimensions or service.searcher.dimensions)
        data = [
            {"object": "embedding", "index": index, "embedding": _encoded(vector, body.encoding_format)}
            for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return JSONResponse({"object": "list", "data": data, "model": body.model, "usage": usage})

    @app.post("/v1/rerank", response_model=RerankAnswer, response_model_exclude_none=True, tags=["models"])
    async def rerank(body: RerankBody) -> RerankAnswer:
        """Score passages for a question: with the promoted reranker, else by the embedder's cosine."""
        passages = [one if isinstance(one, str) else one.text for one in body.documents]
        if not body.query.strip():
            raise UserError("query is empty; ask something")
        name = body.model or ("embedder" if service.searcher.no_reranker is not None else "reranker")
        if name == "reranker":
            scores = await service.relevance(body.query, passages)
        elif name == "embedder":
            (query,), _ = await service.embed([body.query], "query")
            vectors, _ = await service.embed(passages, "document")
            scores = (vectors @ query).tolist()
        else:
            raise HTTPException(404, f"model {name!r} is unknown; known are reranker and embedder")
        order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))[: body.top_n]
        results = [
            {"index": index, "relevance_score": scores[index]}
            | ({"document": {"text": passages[index]}} if body.return_documents else {})
            for index in order
        ]
        return RerankAnswer.model_validate({"model": name, "results": results})


def _role(body: EmbeddingsBody, service: SearchService) -> Role:
    """Return the role of the texts; raise `UserError` where the prompts differ and nothing says which is meant."""
    named = {"embedder": None, "embedder-query": "query", "embedder-passage": "passage"}
    if body.model not in named:
        raise HTTPException(404, f"model {body.model!r} is unknown; known are {', '.join(named)}")
    by_name = named[body.model]
    if by_name and body.input_type and _ROLES[by_name] != _ROLES[body.input_type]:
        raise UserError(f"model {body.model!r} and input_type {body.input_type!r} contradict each other; leave one out")
    if given := body.input_type or by_name:
        return _ROLES[given]
    prompts = service.searcher.prompts
    if prompts["query"] != prompts["document"]:
        raise UserError(
            "this embedder has different prompts for queries and passages: set input_type to query or passage, or"
            " model to embedder-query or embedder-passage"
        )
    return "document"


def _encoded(vector: np.ndarray, form: str) -> list[float] | str:
    if form == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    values: list[float] = vector.tolist()
    return values


def _add_page(app: FastAPI) -> None:
    own, report = files("triptych.server") / "page", files("triptych.report") / "templates"
    headers = {
        "Content-Security-Policy": _PAGE_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }

    def serve(path: str, content: str, kind: str) -> None:
        async def file() -> Response:
            return Response(content, media_type=kind, headers=headers)

        app.add_api_route(path, file, include_in_schema=False)

    serve("/", (own / "search.html").read_text(encoding="utf-8"), "text/html")
    serve("/search.js", (own / "search.js").read_text(encoding="utf-8"), "text/javascript")
    serve("/search.css", (own / "search.css").read_text(encoding="utf-8"), "text/css")
    serve("/page.css", (report / "page.css").read_text(encoding="utf-8"), "text/css")


def _add_errors(app: FastAPI, settings: ServerSettings) -> None:
    @app.exception_handler(UserError)
    async def user_error(_: Request, error: UserError) -> JSONResponse:
        return problem(400, str(error), "invalid_request_error")

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]  # without its input, which may be anything
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        message = f"{where}: {first['msg']}" if where else str(first["msg"])
        return problem(422, message, "invalid_request_error")

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail), "invalid_request_error")

    @app.exception_handler(OverloadedError)
    async def overloaded(_: Request, error: OverloadedError) -> JSONResponse:
        message = f"{settings.waiting} requests wait already; try again in a second"
        return problem(503, message, "overloaded_error", **{"Retry-After": "1"})

    @app.exception_handler(TimeoutError)
    async def late(_: Request, error: TimeoutError) -> JSONResponse:
        return problem(504, f"took longer than {settings.seconds:g} s; ask for less at a time", "timeout_error")

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        if out_of_memory_message(error) is not None:
            return problem(503, "memory ran out; ask for less at a time", "overloaded_error", **{"Retry-After": "5"})
        return problem(500, "the server failed; its log has the reason", "server_error")


def _mcp_app(mcp: Any, settings: ServerSettings) -> Any:
    """Return the application of an MCP server, at ``/mcp``; each request stands for itself."""
    return mcp.streamable_http_app(
        streamable_http_path="/mcp",
        stateless_http=True,
        json_response=True,
        max_request_body_size=settings.max_bytes,
        host=settings.host,
    )

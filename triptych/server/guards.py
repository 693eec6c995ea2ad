"""What a request passes before any of its data is used: the token, and a body of limited size in limited time."""

import asyncio
from hmac import compare_digest
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Without a token: the search page, which has no data in it, the description of the API, and whether the server is up.
OPEN = ("/", "/search.js", "/search.css", "/page.css", "/health", "/docs", "/openapi.json")
OPEN_FOLDER = "/docs-assets"


def problem(status: int, message: str, kind: str, **headers: str) -> JSONResponse:
    """Return an error in OpenAI's form."""
    error: dict[str, Any] = {"message": message, "type": kind, "param": None, "code": None}
    return JSONResponse({"error": error}, status, headers)


class RequireToken:
    """Answers 401 to requests without the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on if its path is open or it has the token."""
        if scope["type"] != "http" or self._is_open(scope["path"]) or self._has_token(scope):
            await self._app(scope, receive, send)
            return
        message = "the token is missing or wrong; send the header `Authorization: Bearer <token>`"
        answer = problem(401, message, "authentication_error", **{"WWW-Authenticate": "Bearer"})
        await answer(scope, receive, send)

    @staticmethod
    def _is_open(path: str) -> bool:
        return path in OPEN or path.startswith(f"{OPEN_FOLDER}/")

    def _has_token(self, scope: Scope) -> bool:
        scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and compare_digest(token.strip().encode("utf-8", "replace"), self._token)


class LimitBody:
    """Reads a request's body before it is handled; answers 413 if it is too large, 408 if it comes too slowly."""

    def __init__(self, app: ASGIApp, max_bytes: int, seconds: float) -> None:
        self._app, self._max_bytes, self._seconds = app, max_bytes, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its body in memory."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        try:
            async with asyncio.timeout(self._seconds):
                body = None if int(declared) > self._max_bytes else await self._read(receive)
        except TimeoutError:
            message = f"the body did not arrive within {self._seconds:g} s"
            await problem(408, message, "timeout_error", Connection="close")(scope, receive, send)
            return
        if body is None:
            message = f"the body has more than {self._max_bytes:,} bytes; send less at a time"
            await problem(413, message, "invalid_request_error", Connection="close")(scope, receive, send)
            return
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes | None:
        """Return the whole body; None if it is too large."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":  # the client is gone
                return bytes(body)
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                return None
            if not message.get("more_body", False):
                return bytes(body)

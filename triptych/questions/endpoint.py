"""A client of OpenAI-compatible endpoints (``/chat/completions``): hosted ones, vLLM, llama.cpp, Ollama."""

import asyncio
import json
import os
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self

import httpx2

from triptych.errors import UserError
from triptych.params.questions import KEY_VARIABLES
from triptych.questions.answers import Answer

_TRIES = 6
_TRIES_TO_CONNECT = 3  # before the endpoint has ever answered
_LONGEST_WAIT = 60.0  # seconds between two tries, unless the endpoint asks for more
_MOST_ASKED_FOR = 600.0  # seconds that an endpoint may ask to wait
_MOST_BYTES = 1_000_000  # of an answer
_OVERLOADED = (408, 425, 429, 500, 502, 503, 504, 529)
_MISUSED = (400, 413, 422)  # what may be due to one request
_OUT_OF_CREDIT = ("insufficient_quota", "billing", "credit balance")
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class UnansweredError(Exception):
    """A request that had no answer; others may have one."""

    def __init__(self, reason: str, problem: str, may_cost: bool) -> None:
        super().__init__(problem)
        self.reason = reason  # timeout, broken, unavailable, rejected
        self.may_cost = may_cost  # whether the model may have answered it all the same


def api_key(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the API key from the environment; raise `UserError` if it cannot be sent."""
    for name in KEY_VARIABLES:
        key = environment.get(name, "").strip()
        if key:
            if not key.isascii() or not key.isprintable() or " " in key:
                raise UserError(f"{name}: contains characters that no API key has")
            return key
    return None


@dataclass
class _Pace:
    """When the next request may be sent: all wait when the endpoint asks one of them to."""

    not_before: float = 0.0  # time of the event loop

    async def wait(self) -> None:
        while (seconds := self.not_before - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(seconds)

    def hold(self, seconds: float) -> None:
        self.not_before = max(self.not_before, asyncio.get_running_loop().time() + seconds)


class Endpoint:
    """An endpoint and a model; an asynchronous context manager."""

    def __init__(
        self, base_url: str, model: str, key: str | None, timeout: float, concurrency: int, first_wait: float = 1.0
    ) -> None:
        """``timeout`` and ``first_wait``, between the first two tries of a request, are in seconds."""
        self._url, self._model, self._key, self._timeout = f"{base_url}/chat/completions", model, key, timeout
        self._first_wait, self._pace, self._has_answered = first_wait, _Pace(), False
        self._limit_name = "max_tokens"
        headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._client = httpx2.AsyncClient(
            headers=headers,
            timeout=httpx2.Timeout(timeout, connect=min(timeout, 10.0), pool=None),
            limits=httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def ask(self, messages: list[dict[str, str]], most_tokens: int) -> Answer:
        """Return the answer, of at most ``most_tokens`` tokens.

        An endpoint that is overloaded (429, 5xx) or that cuts the connection before it answers is asked again, after
        the time in ``Retry-After`` or after twice the time before. A request that timed out is not, since it may have
        cost as much as an answer. Raise `UnansweredError` if this request has no answer, `UserError` if none will have.
        """
        for attempt in range(_TRIES):
            await self._pace.wait()
            try:
                async with asyncio.timeout(self._timeout):
                    status, headers, body = await self._send(messages, most_tokens)
            except (TimeoutError, httpx2.ReadTimeout, httpx2.WriteTimeout) as error:
                raise UnansweredError("timeout", f"no answer within {self._timeout:g} s", may_cost=True) from error
            except httpx2.TransportError as error:
                problem = f"{type(error).__name__}: {self._clean(str(error))}"
                if isinstance(error, _NOT_SENT) and not self._has_answered and attempt + 1 >= _TRIES_TO_CONNECT:
                    raise UserError(
                        f"ask.base_url: cannot connect to {self._url} ({problem}); start the endpoint, or set"
                        " ask.base_url: null to take what the journal contains"
                    ) from error
                await self._back_off(attempt, None)
                continue
            if status == 200:
                self._has_answered = True
                return self._answer(body)
            problem = f"status {status}: {self._message(body)}"
            if status == 400 and "max_completion_tokens" in problem and self._limit_name == "max_tokens":
                self._limit_name = "max_completion_tokens"  # the newer name of the limit, where only that is accepted
                continue
            self._raise_if_final(status, problem, headers)
            await self._back_off(attempt, headers.get("Retry-After"))
        raise UnansweredError("unavailable", f"{problem}, {_TRIES} times", may_cost=False)

    async def _send(self, messages: list[dict[str, str]], most_tokens: int) -> tuple[int, Mapping[str, str], bytes]:
        payload = {"model": self._model, "messages": messages, self._limit_name: most_tokens}
        async with self._client.stream("POST", self._url, json=payload) as response:
            body = bytearray()
            try:
                async for part in response.aiter_raw():
                    body += part
                    if len(body) > _MOST_BYTES:
                        break
            except (httpx2.ReadError, httpx2.RemoteProtocolError) as error:
                if response.status_code == 200:
                    raise UnansweredError("broken", "the connection ended within the answer", may_cost=True) from error
            if response.status_code == 200 and len(body) > _MOST_BYTES:
                raise UnansweredError("broken", f"an answer of more than {_MOST_BYTES:,} bytes", may_cost=True)
            return response.status_code, response.headers, bytes(body)

    def _raise_if_final(self, status: int, problem: str, headers: Mapping[str, str]) -> None:
        """Raise unless it may help to send the request again."""
        if status in (401, 403):
            raise UserError(f"ask.base_url: {self._url}: {problem}; set the API key in {KEY_VARIABLES[0]}")
        if status == 402 or (status == 429 and any(one in problem for one in _OUT_OF_CREDIT)):
            raise UserError(f"ask.base_url: {self._url}: {problem}; what was answered before is in the journal")
        if 300 <= status < 400:
            target = self._clean(headers.get("Location", ""))
            raise UserError(f"ask.base_url: {self._url} redirects to {target}; give the URL that answers")
        if status in _MISUSED:
            raise UnansweredError("rejected", problem, may_cost=False)
        if status not in _OVERLOADED:
            raise UserError(f"ask.base_url: {self._url}: {problem}; check ask.base_url and ask.model")

    async def _back_off(self, attempt: int, retry_after: str | None) -> None:
        seconds = _seconds(retry_after)
        if seconds is None:
            seconds = min(_LONGEST_WAIT, self._first_wait * 2.0**attempt) * random.uniform(0.75, 1.25)
            await asyncio.sleep(seconds)
            return
        if seconds > _MOST_ASKED_FOR:
            raise UserError(
                f"ask.base_url: {self._url} asks to wait {seconds:,.0f} s; run the stage again later: what was answered"
                " is in the journal"
            )
        self._pace.hold(seconds)

    def _answer(self, body: bytes) -> Answer:
        """Return the answer in a response; raise `UnansweredError` where it is not one."""
        try:
            response = json.loads(body)
            choice = response["choices"][0]
            message = choice["message"]
            content, refusal = message.get("content"), message.get("refusal")
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            problem = f"not an answer of /chat/completions: {self._clean(body[:200].decode(errors='replace'))}"
            raise UnansweredError("broken", problem, may_cost=True) from error
        if isinstance(content, list):  # of parts
            content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
        finish = str(choice.get("finish_reason") or "")
        text = content if isinstance(content, str) else ""
        return Answer(text, finish, bool(refusal) or finish == "content_filter", _tokens(response.get("usage")))

    def _message(self, body: bytes) -> str:
        """Return what an error response reports."""
        text = body[:10_000].decode(errors="replace")
        try:
            error = json.loads(text)
            error = error.get("error", error)
            if isinstance(error, dict):
                text = " ".join(str(error[name]) for name in ("message", "code", "detail") if error.get(name)) or text
            else:
                text = str(error)
        except (ValueError, AttributeError, RecursionError):
            pass  # not JSON: as it is
        return self._clean(text)

    def _clean(self, text: str) -> str:
        """Return a text of the endpoint as it may be printed: short, on one line, without the key."""
        text = " ".join("".join(one if one.isprintable() else " " for one in text).split())
        if self._key:
            text = text.replace(self._key, "<key>")
        return re.sub(r"\b(sk|pk|gsk|hf|xai)[-_][\w*-]{6,}", "<key>", text)[:300]


def _seconds(retry_after: str | None) -> float | None:
    """Return the seconds in ``Retry-After``, a number or a date; None where it is neither."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(seconds, 0.0) if seconds == seconds else None  # not NaN


def _tokens(usage: Any) -> int | None:
    """Return the tokens of prompt and answer in ``usage``; None where they are missing or cannot be right."""
    if not isinstance(usage, dict):
        return None
    prompt, answer = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(prompt, int) or not isinstance(answer, int) or min(prompt, answer) < 0:
        return None
    return prompt + answer or None

"""An OpenAI-compatible endpoint in a thread that answers as a test tells it to."""

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MARKER = re.compile(r"^(==[0-9a-f]{16}==)\n(.*)\n\1$", re.MULTILINE | re.DOTALL)


@dataclass
class Reply:
    """What the endpoint sends; ``seconds`` before its status line, ``drip`` between the bytes of its body."""

    body: str | bytes = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    drip: float = 0.0
    cut: int | None = None  # bytes after which the connection is closed, though more were announced
    hang_up: bool = False  # close the connection without an answer


@dataclass
class Asked:
    """A request: when it came, its headers and its payload."""

    time: float
    headers: dict[str, str]
    payload: dict

    @property
    def text(self) -> str:
        """The text between the markers of the prompt."""
        return MARKER.search(self.payload["messages"][-1]["content"])[2]


def completion(content, finish="stop", usage=(100, 20), **message):
    """Return the body of a response as OpenAI's API writes it."""
    body = {"choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content}}]}
    body["choices"][0]["message"] |= message
    if usage is not None:
        body["usage"] = dict(zip(("prompt_tokens", "completion_tokens"), usage, strict=True))
    return json.dumps(body)


def questions(*texts, form="task"):
    """Return what a model that does as it is told answers."""
    return json.dumps({"questions": [{"form": form, "text": text} for text in texts]})


class Endpoint:
    """The requests that came, and how many were being answered at once."""

    def __init__(self, reply: Callable[[int, Asked], Reply]) -> None:
        self.reply, self.requests, self.at_once, self.most_at_once = reply, [], 0, 0
        self.lock = threading.Lock()
        self.url = ""

    def times_asked(self) -> Counter:
        """Return how often each text was asked about."""
        return Counter(one.text for one in self.requests)


@contextmanager
def endpoint(reply):
    """Serve ``reply(number, request)``, a `Reply` or the text of an answer, on a free port."""
    served = Endpoint(reply)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked = Asked(time.monotonic(), dict(self.headers), payload)
            with served.lock:
                served.requests.append(asked)
                number = len(served.requests)
                served.at_once += 1
                served.most_at_once = max(served.most_at_once, served.at_once)
            try:
                self.send(served.reply(number, asked))
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
            finally:
                with served.lock:
                    served.at_once -= 1

        def send(self, reply):
            if isinstance(reply, str):
                reply = Reply(completion(reply))
            time.sleep(reply.seconds)
            if reply.hang_up:
                self.close_connection = True
                return
            body = reply.body.encode() if isinstance(reply.body, str) else reply.body
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if reply.cut is not None:
                body, self.close_connection = body[: reply.cut], True
            if reply.drip:
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(reply.drip)
            else:
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()

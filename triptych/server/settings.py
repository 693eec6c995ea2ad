"""What a server is started with: address, token and limits."""

import ipaddress
from dataclasses import dataclass
from string import Formatter
from urllib.parse import quote

from triptych.corpus.records import Chunk
from triptych.errors import UserError

TOKEN = "TRIPTYCH_SERVE_TOKEN"  # in the environment, so that no process list shows it
MAX_QUESTION = 10_000  # characters
MAX_TEXT = 100_000  # characters of a text to embed or to rerank
MAX_TEXTS = 2048  # of a request, as in OpenAI's API
MAX_AROUND = 50  # chunks before and after the one that is read
_FIELDS = ("filename", "category", "chunk_id")  # of a chunk, in the address of its page


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The address, the token and the limits of a server."""

    host: str = "127.0.0.1"
    port: int = 8000  # 0 takes a free one
    token: str = ""
    waiting: int = 64  # requests of a kind that may wait for a thread; further ones are answered 503
    seconds: float = 30.0  # after which a request is answered 504
    max_bytes: int = 4 << 20  # of a request's body
    source_url: str = ""  # the address of a chunk's page, such as https://docs.example.com/{filename}

    def check(self) -> None:
        """Raise `UserError` if the address is open to others and no token is set, or on a limit below 1."""
        if not self.is_loopback and not self.token:
            raise UserError(
                f"--host {self.host} lets other machines in: set {TOKEN} in the environment, which clients then send as"
                " `Authorization: Bearer <token>`; or leave --host out"
            )
        if not (self.token.isascii() and self.token.isprintable()) or " " in self.token:
            raise UserError(f"{TOKEN} has a space, a control character or a letter outside ASCII; take another")
        if self.waiting < 1 or self.seconds <= 0 or self.max_bytes < 1:
            raise UserError("--queue, --timeout and --max-mib must be above 0")
        try:
            names = {name for _, name, _, _ in Formatter().parse(self.source_url) if name is not None}
        except ValueError as error:
            raise UserError(f"--source-url {self.source_url!r}: {error}") from None
        if unknown := sorted(names - set(_FIELDS)):
            raise UserError(
                f"--source-url has {{{unknown[0]}}}; known are {', '.join(f'{{{one}}}' for one in _FIELDS)}"
            )
        if self.source_url and not _is_web(self.source_url):
            raise UserError(f"--source-url {self.source_url!r} must begin with http:// or https://")

    @property
    def is_loopback(self) -> bool:
        """Whether the address is reached from this machine alone."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def page_of(self, chunk: Chunk) -> str | None:
        """Return the address of a chunk's page; None where there is none."""
        if self.source_url:
            return self.source_url.format(**{name: quote(getattr(chunk, name)) for name in _FIELDS})
        return next((one for one in (chunk.filename, chunk.source) if _is_web(one)), None)


def _is_web(address: str) -> bool:
    return address.startswith(("http://", "https://"))

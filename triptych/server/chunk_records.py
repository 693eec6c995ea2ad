"""Hits and chunks as every protocol returns them."""

from dataclasses import asdict
from typing import Any

from triptych.corpus.records import Chunk
from triptych.server.settings import ServerSettings
from triptych.serving.searcher import Hit

_FIELDS = ("chunk_id", "category", "title", "header_path", "filename", "content")


def hit_record(hit: Hit, settings: ServerSettings) -> dict[str, Any]:
    """Return a hit as `triptych search --json` prints it, with the address of its page if there is one."""
    return hit.record() | _address(hit.chunk, settings)


def chunk_record(chunk: Chunk, settings: ServerSettings) -> dict[str, Any]:
    """Return a chunk as a dict that JSON can represent."""
    return {name: value for name, value in asdict(chunk).items() if name in _FIELDS} | _address(chunk, settings)


def _address(chunk: Chunk, settings: ServerSettings) -> dict[str, str]:
    page = settings.page_of(chunk)
    return {} if page is None else {"url": page}

"""Which field of a record is its content, its id, its title …: as named in params, else by the names people use."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from triptych.params.sections import Fields

# Read without case and punctuation ("Header Path", "chunkId", "_id"); of several, the first that holds something.
KNOWN = {
    "chunk_id": ("chunk_id", "id", "uid", "uuid", "passage_id", "node_id"),
    "category": ("category", "domain", "collection"),
    "filename": ("filename", "file", "file_name", "file_path", "path", "source", "url"),
    "header_path": (
        "header_path",
        "headers",
        "headings",
        "section_path",
        "breadcrumbs",
        "breadcrumb",
        "heading",
        "section",
    ),
    "title": ("title", "name"),
    "content": ("content", "contents", "text", "body", "page_content", "passage", "chunk", "markdown"),
}
_INSIDE = "metadata"  # where exports of other systems keep all but the text


def flattened(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record's fields, and beside them those of an object under ``metadata`` that it has not itself."""
    inside = record.get(_INSIDE)
    if not isinstance(inside, dict):
        return record
    return inside | {key: value for key, value in record.items() if value is not None or key not in inside}


def lookup(record: Mapping[str, Any], ours: str, names: Fields) -> tuple[str, Any]:
    """Return the name and value of the field that serves as ``ours``; a missing one has our name and None."""
    candidates = _candidates(tuple(record), ours, getattr(names, ours))
    for name in candidates:
        value = record[name]
        if value is not None and value != "":
            return name, value
    return (candidates[0], record[candidates[0]]) if candidates else (getattr(names, ours) or ours, None)


def has(record: Any, ours: str, names: Fields) -> bool:
    """Tell whether a record has a field that serves as ``ours``, be it empty."""
    return isinstance(record, dict) and bool(_candidates(tuple(flattened(record)), ours, getattr(names, ours)))


@lru_cache(maxsize=4096)
def _candidates(keys: tuple[str, ...], ours: str, given: str | None) -> tuple[str, ...]:
    if given is not None:
        return (given,) if given in keys else ()
    by_letters: dict[str, str] = {}
    for key in keys:
        by_letters.setdefault(_letters(key), key)
    found = [name if name in keys else by_letters.get(_letters(name)) for name in KNOWN[ours]]
    return tuple(dict.fromkeys(name for name in found if name is not None))


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def relevant(keys: list[str], names: Fields) -> list[str]:
    """Return those of a table's columns that may be looked up."""
    serving = {name for ours in KNOWN for name in _candidates(tuple(keys), ours, getattr(names, ours))}
    return [key for key in keys if key in serving or key == _INSIDE]

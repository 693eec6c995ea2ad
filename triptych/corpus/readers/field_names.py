"""Find the content, id, title … of a record: in the field named in params, else under one of the usual names."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from triptych.params.sections import Fields

# Compared without case and punctuation ("Header Path", "chunkId", "_id"); the first non-empty field is taken.
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
_METADATA = "metadata"  # where other systems export all fields except the text


def flattened(record: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a record together with those of its ``metadata``; its own fields have priority.

    >>> flattened({"text": "Sorts.", "metadata": {"title": "sort"}})["title"]
    'sort'
    """
    metadata = record.get(_METADATA)
    if not isinstance(metadata, dict):
        return record
    return metadata | {key: value for key, value in record.items() if value is not None or key not in metadata}


def lookup(record: Mapping[str, Any], ours: str, names: Fields) -> tuple[str, Any]:
    """Return name and value of the field that is used as ``ours``; if it is missing, our name and None."""
    candidates = _candidates(tuple(record), ours, getattr(names, ours))
    for name in candidates:
        value = record[name]
        if value is not None and value != "":
            return name, value
    return (candidates[0], record[candidates[0]]) if candidates else (getattr(names, ours) or ours, None)


def has(record: Any, ours: str, names: Fields) -> bool:
    """Return whether a record has a field that can be used as ``ours``, even if it is empty."""
    return isinstance(record, dict) and bool(_candidates(tuple(flattened(record)), ours, getattr(names, ours)))


@lru_cache(maxsize=4096)
def _candidates(keys: tuple[str, ...], ours: str, given: str | None) -> tuple[str, ...]:
    if given is not None:
        return (given,) if given in keys else ()
    by_letters: dict[str, str] = {}
    for key in keys:
        by_letters.setdefault(_letters(key), key)
    matches = [name if name in keys else by_letters.get(_letters(name)) for name in KNOWN[ours]]
    return tuple(dict.fromkeys(name for name in matches if name is not None))


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def relevant(keys: list[str], names: Fields) -> list[str]:
    """Return the columns of a table that can be looked up."""
    candidates = {name for ours in KNOWN for name in _candidates(tuple(keys), ours, getattr(names, ours))}
    return [key for key in keys if key in candidates or key == _METADATA]

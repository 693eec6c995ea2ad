"""Find the content, id, title … of a record: in the field named in params, else under one of the usual names."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from triptych.corpus.readers.exported_records import NESTED, empty, flattened, full_file_name, numbered_headings
from triptych.params.sections import Fields

# Compared without case and punctuation ("Header Path", "chunkId", "_id"); the first non-empty field is taken.
KNOWN = {
    "chunk_id": ("chunk_id", "id", "uid", "uuid", "passage_id", "node_id", "element_id"),
    "category": ("category", "domain", "collection"),
    "filename": (
        "filename",
        "file",
        "file_name",
        "file_path",
        "path",
        "source",
        "url",
        "ref_doc_id",
        "source_id",
        "document_id",
    ),
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
    "title": ("title", "name", "question"),
    "content": ("content", "contents", "text", "body", "page_content", "passage", "chunk", "markdown", "answer"),
}


def lookup(record: Mapping[str, Any], ours: str, names: Fields) -> tuple[str, Any]:
    """Return name and value of the field that is used as ``ours``; if it is missing, our name and None.

    Without a name in the params, a header path may be in several fields, such as ``Header 1`` and ``Header 2``, and so
    may the folder and the name of a file.
    """
    given = getattr(names, ours)
    candidates = _candidates(tuple(record), ours, given)
    for name in candidates:
        value = record[name]
        if empty(value):
            continue
        if ours == "filename" and given is None and isinstance(value, str):
            value = full_file_name(value, record, [record[other] for other in candidates])
            name = next((other for other in candidates if record[other] == value), name)
        return name, value
    if ours == "header_path" and given is None and (headings := numbered_headings(record)):
        return headings
    return (candidates[0], record[candidates[0]]) if candidates else (given or ours, None)


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
    return [key for key in keys if key in candidates or key in NESTED or numbered_headings({key: "heading"})]

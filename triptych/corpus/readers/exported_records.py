"""Records that LangChain, LlamaIndex, Haystack and unstructured export, brought to one level of fields."""

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# Where other systems put all fields except the text; the first has priority.
METADATA = ("metadata", "meta")
_NODE = ("__data__", "_node_content")  # where LlamaIndex' stores put a node, as an object or as JSON
_SOURCE, _PARENT = ("1", "SOURCE"), ("4", "PARENT")  # LlamaIndex' names of the nodes that a node was cut from
_LEVEL = re.compile(r"(?:header|heading|h)[ _-]*([1-6])", re.IGNORECASE)  # "Header 1", "h2" of Markdown splitters
_INDEX_PAGES = ("index", "_index", "readme")  # names that say nothing without their folder
NESTED = (*METADATA, *_NODE, "text_resource", "relationships", "file_directory", "header", "parent_headers")


def flattened(record: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a record together with those of its ``metadata``; its own fields have priority.

    A node of LlamaIndex is taken out of what a store wraps it in.

    >>> flattened({"text": "Sorts.", "metadata": {"title": "sort"}})["title"]
    'sort'
    >>> flattened({"__data__": '{"id_": "n1", "text_resource": {"text": "Sorts."}}'})
    {'id_': 'n1', 'text': 'Sorts.'}
    """
    fields = _unwrapped(record)
    for key in METADATA:
        fields = _with_defaults(fields, _object(fields.get(key)))
    return fields


def ancestors(record: Any) -> Iterator[str]:
    """Yield the ids of the nodes that a node of LlamaIndex was cut from."""
    fields = _unwrapped(record) if isinstance(record, dict) else {}
    for names in (_SOURCE, _PARENT):
        if node_id := _related(fields, names).get("node_id"):
            yield str(node_id)


def node_id(record: Any) -> Any:
    """Return the id of a node of LlamaIndex, None for any other value."""
    return _unwrapped(record).get("id_") if isinstance(record, dict) else None


def numbered_headings(fields: Mapping[str, Any]) -> tuple[str, list[Any]] | None:
    """Return the headings of ``Header 1`` to ``Header 6``, or of Haystack's ``parent_headers`` and ``header``.

    They come with the name of the first of these fields; None without a heading.
    """
    levels = sorted(
        (int(match[1]), key) for key in fields if (match := _LEVEL.fullmatch(key)) and not empty(fields[key])
    )
    if levels:
        return levels[0][1], [fields[key] for _, key in levels]
    parents, header = fields.get("parent_headers") or [], fields.get("header")
    if isinstance(parents, list) and (parents or header):
        return "header" if header else "parent_headers", [*parents, *([header] if header else [])]
    return None


def full_file_name(name: str, fields: Mapping[str, Any], others: Iterable[Any]) -> str:
    """Return the file of a record with its folder, which several systems keep in another field than the name.

    ``others`` are the values of the other fields that may name the file. An index page without any folder is named by
    the id of the document that it was cut from.

    >>> full_file_name("index.md", {}, ["docs/pumps/index.md"])
    'docs/pumps/index.md'
    >>> full_file_name("index.md", {"file_directory": "docs/pumps"}, [])
    'docs/pumps/index.md'
    """
    if not name or re.search(r"[/\\]", name):
        return name
    for other in others:
        if isinstance(other, str) and re.split(r"[/\\]", other)[-1] == name != other:
            return other
    folder = fields.get("file_directory")
    if isinstance(folder, str) and folder.strip("./\\"):
        return f"{folder.rstrip('/')}/{name}"
    document = fields.get("source_id") or fields.get("ref_doc_id")
    if document and name.partition(".")[0].casefold() in _INDEX_PAGES:
        return f"{document}/{name}"
    return name


def _unwrapped(record: dict[str, Any]) -> dict[str, Any]:
    fields = record
    if "lc" in fields and isinstance(fields.get("kwargs"), dict):  # a document that LangChain's dumpd wrote
        fields = fields["kwargs"]
    for key in _NODE:
        if node := _object(fields.get(key)):
            # The text and the id in the node win over those that the store adds, if they are not empty.
            outer = {name: value for name, value in fields.items() if name not in (*_NODE, "__type__")}
            outer = {name: value for name, value in outer.items() if value != "None"}  # as stores write a missing id
            fields = _with_defaults(node, outer)
    if isinstance(resource := fields.get("text_resource"), dict):
        fields = {name: value for name, value in fields.items() if name != "text_resource"}
        fields = _with_defaults(fields, {"text": resource.get("text")})
    if source := _related(fields, _SOURCE):
        metadata = _object(fields.get("metadata"))
        known = {"ref_doc_id": source.get("node_id"), **_object(source.get("metadata"))}
        fields = fields | {"metadata": _with_defaults(metadata, known)}
    return fields


def _related(fields: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    relationships = _object(fields.get("relationships"))
    for key, related in relationships.items():
        if key.rpartition(".")[2] in names and isinstance(related, dict):
            return related
    return {}


def _with_defaults(fields: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Return ``fields`` with the values of ``defaults`` where they have none; the same object if nothing changes."""
    if not defaults:
        return fields
    return fields | {key: value for key, value in defaults.items() if empty(fields.get(key))}


def empty(value: Any) -> bool:
    """Return whether a field has no value: null, "" or NaN, which pandas writes for a missing one."""
    return value is None or value == "" or value != value


def _object(value: Any) -> dict[str, Any]:
    """Return an object, also one that a cell or a key-value store contains as JSON or as a Python literal; else {}."""
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        for parse in (json.loads, ast.literal_eval):
            try:
                value = parse(value)
                break
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
    return value if isinstance(value, dict) else {}

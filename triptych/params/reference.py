"""``docs/params.md``: every key of ``params.yaml`` with default, bounds and description, from the sections' fields.

``python -m triptych.params.reference`` (`make params-doc`) writes it.
"""

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from triptych.params.sections import Params
from triptych.params.types import Section
from triptych.params.unknown_keys import ANY, section_in

PATH = Path("docs/params.md")
_INTRODUCTION = """# Params

<!-- Written by `make params-doc` from triptych/params; edit the descriptions there. -->

All keys of `params.yaml`, a table for each section. The file shows those that people change most; any other may be
added to its section, and a key that is left out has its default. For one run, `dvc exp run --set-param
train.batch_size=32` changes a key that the file shows, and `--set-param +train.seed=7` (with `+`) adds one. A `*` in a
key is a name of your choice, or an item of a list.
"""
_HEAD = "| key | default | allowed | what it does |\n| --- | --- | --- | --- |"
_PLAIN = re.compile(r"[\w@]+")  # text that YAML reads without quotes
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_TYPES = {"integer": "integer", "number": "number", "string": "text", "boolean": "`true`, `false`", "null": "`null`"}


def reference() -> str:
    """Return the text of ``docs/params.md``."""
    parts = [_INTRODUCTION]
    for name, field in Params.model_fields.items():
        section = section_in(field.annotation)
        if section is not None:
            parts.append("\n".join([f"## {name}\n\n{_about(section)}\n\n{_HEAD}", *_rows(section, "")]) + "\n")
    return "\n".join(parts)


def _about(section: type[Section]) -> str:
    """Return the first paragraph of a section's docstring."""
    return " ".join(inspect.cleandoc(section.__doc__ or "").replace("``", "`").split("\n\n")[0].split())


def _rows(section: type[Section], parent: str) -> Iterator[str]:
    """Yield the rows of a table, those of a section within the section below its own row."""
    properties = section.model_json_schema()["properties"]
    for name, field in section.model_fields.items():
        inner = section_in(field.annotation)
        is_list_or_dict = inner is not field.annotation
        if inner is None:
            yield _row(f"{parent}{name}", _default(field), _allowed(properties[name]), field.description or "")
        elif is_list_or_dict:
            yield _row(f"{parent}{name}", _default(field), "keys below", field.description or "")
            yield from _rows(inner, f"{parent}{name}.{ANY}.")
        else:
            yield _row(f"{parent}{name}", "", "keys below", _about(inner))
            yield from _rows(inner, f"{parent}{name}.")


def _row(key: str, default: str, allowed: str, description: str) -> str:
    return f"| `{key}` | {default} | {allowed} | {description} |".replace("  ", " ")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, dict):
        return ", ".join(f"`{name}`" for name in value)
    plain = isinstance(value, str) and _PLAIN.fullmatch(value)
    return f"`{value if plain else json.dumps(value, ensure_ascii=False)}`"


def _allowed(schema: dict[str, Any]) -> str:
    """Describe what a part of a JSON schema accepts."""
    if "anyOf" in schema:
        return ", or ".join(_allowed(one) for one in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema["type"] == "array":
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        number = f"{least} items" if least == most else "at least one item" if least else ""
        return f"list of {_allowed(schema['items'])}" + (f"; {number}" if number else "")
    if schema["type"] == "object":
        return f"a mapping of names to {_allowed(schema['additionalProperties'])}"
    if "minimum" in schema and "maximum" in schema:
        return f"{_TYPES[schema['type']]} from {schema['minimum']:g} to {schema['maximum']:g}"
    bounds = [f"{sign} {schema[name]:g}" for name, sign in _BOUNDS.items() if name in schema]
    return " ".join([_TYPES[schema["type"]], ", ".join(bounds)]).strip()


if __name__ == "__main__":
    PATH.write_text(reference(), encoding="utf-8", newline="\n")

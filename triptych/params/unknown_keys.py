"""The keys of ``params.yaml``: all that exist, those given twice, and the nearest one to an unknown one."""

from collections.abc import Iterator
from difflib import SequenceMatcher
from functools import cache
from typing import Any, get_args

import yaml

from triptych.params.sections import Params
from triptych.params.types import Section

Key = tuple[str, ...]
ANY = "*"  # stands for an item of a list, or for a name that the user chooses
_LIKE_A_SIBLING = 0.6
_LIKE_A_KEY_ELSEWHERE = 0.8  # a guess across sections must be surer


@cache
def known_keys() -> tuple[Key, ...]:
    """Return every key, section and item key, in the order of the sections."""
    return tuple(_keys_of(Params, ()))


def section_in(annotation: Any) -> type[Section] | None:
    """Return the section that an annotation is, or whose list or dict it is; None for a value."""
    inner = (get_args(annotation) or (annotation,))[-1]
    return inner if isinstance(inner, type) and issubclass(inner, Section) else None


def _keys_of(section: type[Section], parent: Key) -> Iterator[Key]:
    for name, field in section.model_fields.items():
        yield (*parent, name)
        inner = section_in(field.annotation)
        if inner is not None:
            yield from _keys_of(inner, (*parent, name) if inner is field.annotation else (*parent, name, ANY))


def nearest_key(unknown: tuple[Any, ...]) -> str | None:
    """Return the known key most like an unknown one; None if none is like it.

    A key of the same section is named alone, one of another section with its sections (``tokenize.max_length``). Of
    keys that are equally alike, one of the same section comes first, then one with more sections in common.
    """
    *sections, name = (str(part) for part in unknown)
    parent = _normalized(tuple(sections))
    best: Key | None = None
    best_rank = 0.0, False, 0
    for key in known_keys():
        sibling = key[:-1] == parent
        likeness = SequenceMatcher(None, name, key[-1]).ratio()
        rank = likeness, sibling, len(set(parent) & set(key[:-1]))
        if likeness >= (_LIKE_A_SIBLING if sibling else _LIKE_A_KEY_ELSEWHERE) and rank > best_rank:
            best, best_rank = key, rank
    if best is None:
        return None
    return best[-1] if best_rank[1] else ".".join(best)


def _normalized(sections: Key) -> Key:
    """Put ``*`` for the items of lists and the names that the user chose."""
    known = set(known_keys())
    found: Key = ()
    for part in sections:
        found = (*found, part) if (*found, part) in known else (*found, ANY)
    return found


def repeated_keys(text: str) -> list[str]:
    """Return a line for each key that a YAML text gives twice in the same mapping; YAML would keep the last."""
    root = yaml.compose(text, yaml.SafeLoader)
    return [] if root is None else list(_repeated(root, ()))


def _repeated(node: yaml.Node, parent: Key) -> Iterator[str]:
    if isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            yield from _repeated(item, (*parent, str(position)))
    elif isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for name, value in node.value:
            key, line = str(name.value), name.start_mark.line + 1
            if key in first:
                lines = f"line {line}" if first[key] == line else f"lines {first[key]} and {line}"
                yield f"{'.'.join((*parent, key))}: given twice, in {lines}; remove one"
            first.setdefault(key, line)
            yield from _repeated(value, (*parent, key))

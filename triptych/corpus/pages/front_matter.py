"""Front matter of Markdown pages: YAML or TOML, its title, and the addresses that it gives to its page."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import yaml

from triptych.corpus.cleaning import one_line

_YAML = re.compile(r"---[ \t]*\n(.*?\n??)---[ \t]*(?:\n|\Z)", re.DOTALL)
_TOML = re.compile(r"\+\+\+[ \t]*\n(.*?\n??)\+\+\+[ \t]*(?:\n|\Z)", re.DOTALL)
_YAML_LINE = re.compile(r"^(\w+):[ \t]+(.*\S)", re.MULTILINE)
_TOML_LINE = re.compile(r"^(\w+)[ \t]*=[ \t]*(.*\S)", re.MULTILINE)
# Comments in Markdown, with which Writerside writes the title of a page.
_COMMENTS = re.compile(r"(?:\[//\]:[ \t]*#[ \t]*\(.*\)[ \t]*\n+)+")
_COMMENT_VALUE = re.compile(r"\((\w+):[ \t]*(.*\S)[ \t]*\)[ \t]*$", re.MULTILINE)
_TITLES = ("title", "sidebar_label", "sidebarTitle", "linkTitle", "linktitle", "nav_title")
_REDIRECTS = ("redirect_url", "redirect_to", "redirect")
_ADDRESSES = ("slug", "permalink", "url", "id", "aliases", "alias", "redirect_from")


def split_front_matter(text: str, changes: Counter[str]) -> tuple[str, dict[str, Any], int]:
    """Return the text below the front matter, the values of the front matter, and its number of lines.

    Two rulers around prose look the same: it is front matter only if YAML parses a mapping. Lines that are not YAML,
    such as ``title: Numbers: an overview``, are read as ``key: value`` each, and counted. TOML stands between lines of
    ``+++`` and is read likewise; that of Writerside in comments.
    """
    if comments := _COMMENTS.match(text):
        return text[comments.end() :], dict(_COMMENT_VALUE.findall(comments[0])), comments[0].count("\n")
    is_toml = text.startswith("+++")
    match = (_TOML if is_toml else _YAML).match(text)
    if not match:
        return text, {}, 0
    try:
        values = tomllib.loads(match[1]) if is_toml else yaml.safe_load(match[1] or "{}")
    except (yaml.YAMLError, ValueError, RecursionError):
        line = _TOML_LINE if is_toml else _YAML_LINE
        values = {key: value.strip("'\"") for key, value in line.findall(match[1])}
        changes[f"front_matter_not_{'toml' if is_toml else 'yaml'}"] += 1
    if not isinstance(values, dict):
        return text, {}, 0
    return text[match.end() :], values, text.count("\n", 0, match.end())


def title_of(values: dict[str, Any], changes: Counter[str]) -> str:
    """Return the title in front matter, else its label in the menu, else ""; a title that is not text is counted."""
    titles = [one_line(values.get(key)) for key in _TITLES]
    changes["front_matter_ignored"] += titles[0] is None
    return next((title for title in titles if title), "")


def addresses_of(values: dict[str, Any]) -> list[str]:
    """Return the addresses that front matter gives to its page, as written: of the page itself first, then old ones.

    >>> addresses_of({"aliases": ["/old/"], "slug": "new", "title": "New"})
    ['new', '/old/']
    """
    return [address for key in _ADDRESSES for address in _texts(values.get(key)) if ":" not in address]


def redirect_of(values: dict[str, Any]) -> str:
    """Return the address to which a page without text leads, "" for none.

    >>> redirect_of({"redirect_url": "../new.html"}), redirect_of({"template": "redirect.html", "location": "start/"})
    ('../new.html', 'start/')
    """
    template = values.get("template", values.get("layout"))
    # A list may contain itself many times over by YAML's aliases: as text it would fill memory.
    redirects = isinstance(template, str) and "redirect" in template
    keys = [*_REDIRECTS, *(["location"] if redirects else [])]
    return next((text for key in keys for text in _texts(values.get(key))), "")


def _texts(value: Any) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str) and (text := one_line(one)):
            yield text

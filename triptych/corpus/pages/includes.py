"""Includes and snippets in Markdown: replaced with the text of the file if it is in the folder, else removed."""

import html
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from triptych.corpus.files import MARKDOWN, BadFileError, has_suffix, links_outside, read_text
from triptych.corpus.pages.front_matter import split_front_matter

Line = tuple[str, int]  # a line and its number in the page, 1-based; included lines have that of the include

_QUOTED = r"""["']?([^"'\s{}|]+?)["']?"""
# Each takes a whole line; a preceding `;` or `\` shows the syntax instead.
_INCLUDES = tuple(
    re.compile(rf"^(\s*)(?:>\s*)?{pattern}\s*$")
    for pattern in (
        rf"-{{1,2}}8<-{{1,2}}\s+{_QUOTED}",  # MkDocs snippets
        r"\{%-?\s*include\s+(?:notitle\s+)?\[[^\]]*\]\(([^)\s]+)\)\s*-?%\}",  # Diplodoc
        rf"\{{%-?\s*include(?:-markdown|_relative)?\s+{_QUOTED}(?:\s[^%]*)?-?%\}}",  # Jekyll, MkDocs plugins
        rf"\{{!>?\s*{_QUOTED}(?:\s[^!]*)?!\}}",  # mdx_include
        rf"\{{\*\s*{_QUOTED}(?:\s[^*]*)?\*\}}",  # FastAPI's documentation
        rf"\{{\{{\s*#(?:rustdoc_)?include\s+{_QUOTED}(?:\s[^}}]*)?\}}\}}",  # mdBook
        r"(?:`{3,}|:{3,})\{include\}\s+(\S+)",  # MyST; its options and its end follow
        rf"\{{\{{[<%]\s*(?:include|readfile|include-md)\s+(?:file=)?{_QUOTED}\s*/?[%>]\}}\}}",  # Hugo
        rf"@include\s+{_QUOTED}",  # of remark
        rf"<<<\s+{_QUOTED}(?:\s*\{{[^}}]*\}})?",  # VitePress code
        rf"<!--\s*@include:\s*{_QUOTED}\s*-->",  # VitePress
        r"\[[^\]]*\]\(([^)\s]+)\s+['\"][^'\"]*:include[^'\"]*['\"]\)",  # Docsify
        r"\[!INCLUDE\s*\[[^\]]*\]\(([^)\s]+)\)\]",  # DocFX
        r"\[!code(?:-[\w-]*)?\s*\[[^\]]*\]\(([^)\s]+)\)\]",  # DocFX code
        r"\.\. (?:literalinclude|include)::\s*(\S+)",
    )
)
_IMPORT = re.compile(r"""^import\s+(\w+)\s+from\s+['"]([^'"]+\.mdx?)['"]""", re.MULTILINE)
_COMPONENT = re.compile(r"^\s*<([A-Z]\w*)(?:\s[^<>]*)?/>\s*$")
_MAY_INCLUDE = re.compile(
    r"8<-|include|readfile|<<<|\{!|\{\*|\[!code|^import .*\.mdx?['\"]", re.IGNORECASE | re.MULTILINE
)
_VARIABLES = ("v.list", "variables.json", "_variables.yml", "_variables.yaml", "presets.yaml")
_VARIABLE = re.compile(r"<var\s+name=\"([^\"]+)\"\s+value=\"([^\"]*)\"")
_SHOWN = re.compile(r"%([\w.-]+)%|\{\{(?:\{|[<%]\s*var\s)?\s*\.?([\w.-]+)\s*[>%}]?\}\}")
_DIRECTIVE = re.compile(r"\s*(`{3,}|:{3,})\{include\}\s+\S")
_LINES = re.compile(r":(\d+)(?::(\d*))?(?=[\s}\"']|$)|#L(\d+)-L?(\d+)")
_NAMED = re.compile(r"(?:\.\w+[:#]|[?]name=)([A-Za-z_][\w-]*)")
_COMMENT = r"(?://|/\*|--|;|<!--|#)"
_REGION_MARK = re.compile(
    rf"^\s*(?:{_COMMENT}\s*(?:ANCHOR(?:_END)?:|#?(?:end)?region\b|</?\w+>\s*$|--8<--)|#(?:end)?region\b)"
)
_DEEPEST = 5
_LONGEST = 200_000  # characters of an included file
_MOST_INCLUDED = 2_000_000  # characters that a page may include: one that includes itself twice a line has no end
_PLACES = ("", "_includes", "includes", "snippets", "_snippets", "partials", "_partials")


def site_variables(folder: Path) -> dict[str, str]:
    """Return the values of the variables that pages show by name, from the files of Writerside, Quarto and others."""
    found: dict[str, str] = {}
    for name in _VARIABLES:
        try:
            text = read_text(folder / name) if (folder / name).is_file() else ""
            values = dict(_VARIABLE.findall(text)) if name == "v.list" else yaml.safe_load(text)
        except (BadFileError, yaml.YAMLError, RecursionError):
            continue
        if isinstance(values, dict):
            values = values.get("default", values)  # of Diplodoc, beside other presets
            found |= dict(_flattened(values)) if isinstance(values, dict) else {}
    return found


def _flattened(values: Mapping[Any, Any], prefix: str = "", depth: int = 4) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, dict) and depth:
            yield from _flattened(value, f"{prefix}{key}.", depth - 1)
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            yield f"{prefix}{key}", html.unescape(str(value))


def with_values(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with the values of its variables; unknown ones stay.

    >>> with_values("Sew %version% with {{ .tool }}, {{< var kind >}}, %x%", {"version": "2", "tool": "A", "kind": "B"})
    'Sew 2 with A, B, %x%'
    """
    return _SHOWN.sub(lambda match: variables.get(match[1] or match[2], match[0]), text) if variables else text


class Includes:
    """Expands the includes of the pages of a folder; files outside it are never read."""

    def __init__(self, folder: Path, encoding: str | None) -> None:
        self._folder, self._encoding = folder, encoding
        self._files: dict[str, list[str]] | None = None
        self._left = 0  # characters that may still be included in a page

    def included(self, files: Mapping[str, Path]) -> dict[str, str]:
        """Return the Markdown files that others include, each with the first page that does."""
        found: dict[str, str] = {}
        for name, path in files.items():
            text = None if path.is_symlink() else self._text(path)
            if text is None or not _MAY_INCLUDE.search(text):
                continue
            lines = text.split("\n")
            partials = dict(_IMPORT.findall(text))
            for line in lines:
                file, _ = _included(line, partials)
                target = self._find(name, file) if file else None
                inner = _name(target, self._folder) if target else name
                if inner != name and inner in files:
                    found.setdefault(inner, name)
        return {inner: page for inner, page in found.items() if found.get(page) != inner}

    def expanded(self, name: str, text: str, counts: Counter[str]) -> list[Line]:
        """Return the lines of a page with its includes expanded; ``counts`` gets what was expanded and removed."""
        if not _MAY_INCLUDE.search(text):
            return [(line, number) for number, line in enumerate(text.split("\n"), 1)]
        self._left = _MOST_INCLUDED
        return list(self._lines(name, text.split("\n"), None, _DEEPEST, counts))

    def _lines(
        self, name: str, lines: list[str], number: int | None, depth: int, counts: Counter[str]
    ) -> Iterator[Line]:
        partials = dict(_IMPORT.findall("\n".join(lines)))
        fenced, ends = False, ""
        for at, line in enumerate(lines, 1):
            origin = number or at
            if ends:  # in an include of MyST
                ends = "" if line.strip() == ends else ends
                yield "", origin
                continue
            directive = _DIRECTIVE.match(line)
            is_shown = bool(directive) and fenced
            if directive and not is_shown and any(one.strip() == directive[1] for one in lines[at:]):
                ends = directive[1]
            fenced ^= (is_shown or not directive) and line.lstrip().startswith(("```", "~~~"))
            file, indent = _included(line, partials)
            if file is None or is_shown:
                yield line, origin
                continue
            path = self._find(name, file) if depth else None
            body = None if path is None else self._text(path)
            if body is not None and path is not None and not has_suffix(path, MARKDOWN):
                body = _region(body, line)
            is_layout = path is not None and has_suffix(path, (".html", ".htm")) and not fenced  # a part of a theme
            if path is None or body is None or is_layout or len(body) > self._left:
                counts["includes_removed"] += 1
                yield "", origin
                continue
            counts["includes_expanded"] += 1
            self._left -= len(body) + 1
            inner = body.rstrip("\n").split("\n")
            if has_suffix(path, MARKDOWN):
                nested = self._lines(_name(path, self._folder), inner, origin, depth - 1, counts)
                yield from ((indent + one, origin) for one, _ in nested)
            else:
                mark = "" if fenced else "```"
                code = [mark + path.suffix[1:], *inner, mark] if mark else inner
                yield from ((indent + one, origin) for one in code)

    def _find(self, name: str, file: str) -> Path | None:
        file = re.sub(r"#.*$|(?<!^[A-Za-z]):.*$", "", file)
        file = re.sub(r"^(?:@site|@|~)?/+", "", file)
        places = [posixpath.dirname(name), *_PLACES]
        for place in places:
            if found := self._inside(posixpath.normpath(posixpath.join(place, file))):
                return found
        # From the root of the site, where the folder is only a part of it, or the other way round.
        plain = re.sub(r"^(?:\.\./|\./|[@~](?=\w))+", "", file)
        folder, _, rest = plain.partition("/")
        if rest and ".." not in rest and (found := self._inside(rest)):
            return found
        ending = [one for one in self._by_name().get(posixpath.basename(plain), ()) if f"/{one}".endswith(f"/{plain}")]
        return self._inside(ending[0]) if folder != plain and len(ending) == 1 else None

    def _inside(self, name: str) -> Path | None:
        path = self._folder / name
        return path if path.is_file() and not links_outside(path, self._folder) else None

    def _by_name(self) -> dict[str, list[str]]:
        """Return the files of the folder by their names without the folders."""
        if self._files is None:
            self._files = {}
            for path in sorted(self._folder.rglob("*")):
                if path.is_file():
                    self._files.setdefault(path.name, []).append(path.relative_to(self._folder).as_posix())
        return self._files

    def _text(self, path: Path) -> str | None:
        try:
            text = read_text(path, self._encoding, page=True)
        except BadFileError:
            return None
        text = text.replace("\r\n", "\n")
        return split_front_matter(text, Counter())[0] if len(text) <= _LONGEST else None


def _region(text: str, line: str) -> str:
    r"""Return the part of a file of code that an include names, or the numbers of its lines; without the marks.

    >>> _region("a\n// ANCHOR: one\nb\n// ANCHOR_END: one\n", "{{#include x.rs:one}}")
    'b'
    >>> _region("a\nb\nc", "{{#include x.rs:2:3}}")
    'b\nc'
    """
    lines = text.split("\n")
    if numbers := _LINES.search(line):
        first, last = int(numbers[1] or numbers[3]), numbers[2] if numbers[1] else numbers[4]
        lines = lines[max(0, first - 1) : first if last is None else int(last or len(lines))]
    elif name := _NAMED.search(line):
        one = re.escape(name[1])
        starts = re.compile(rf"(?:ANCHOR:\s*|#?region\s+|<|\[start:\s*){one}\b(?!\s*\()")
        ends = re.compile(rf"(?:ANCHOR_END:\s*|#?endregion\b(?:\s+{one})?|</|\[end:\s*{one}\])")
        start = next((number for number, code in enumerate(lines) if starts.search(code)), None)
        if start is not None:
            rest = lines[start + 1 :]
            lines = rest[: next((number for number, code in enumerate(rest) if ends.search(code)), len(rest))]
    return "\n".join(code for code in lines if not _REGION_MARK.search(code))


def _name(path: Path, folder: Path) -> str:
    return path.resolve().relative_to(folder.resolve()).as_posix()


def _included(line: str, partials: dict[str, str]) -> tuple[str | None, str]:
    """Return the file that a line includes and the indent of the line; None for any other line."""
    if not any(mark in line for mark in ("8<", "{", "<", "[!", ".. ", ":include", "@include")):
        return None, ""
    if partials and (match := _COMPONENT.match(line)) and match[1] in partials:
        return partials[match[1]], ""
    for pattern in _INCLUDES:
        if match := pattern.match(line):
            return match[2], match[1]
    return None, ""

"""What people wrote about the pages of the second corpus somewhere else, as queries that these pages answer.

- python: the entries of the index, the synopses of the module index, and the first sentences of docstrings (of the
  running Python; the documentation says the same in other words)
- git: the summaries of the commands, which the corpus is made without, and the help that ``git <command> -h`` prints
  for each option

A query that a chunk quotes is left out, and so is one that fits several chunks.
"""

import importlib
import inspect
import keyword
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lxml import etree

from triptych.corpus.pages.link_targets import LinkTargets
from triptych.corpus.pages.linked_pages import Page, folded
from triptych.corpus.texts import normalized, sentence_spans

Asked = tuple[str, str, str | None]  # kind, text, the chunk that answers

_WORD = re.compile(r"[A-Z]?[a-z]+(?:[-'][a-z]+)*|[A-Z]{2,5}")  # of prose; TypeError and os.path are names
# What the index puts above or below names, or what is no word of the query's.
_NOT_PROSE = {"module", "keyword", "built-in", "RFC", "Enhancement", "environment", "command-line", "examples"}
_OPTION = re.compile(r"^ {4}(-\S.*?)(?: {2,}(\S.*))?$")
_LONG_NAME = re.compile(r"--(?:\[no-\]|no-)?([a-z][\w-]+)")
_SIGNATURE = re.compile(r"^\w[\w.]*\(.*\)(\s*->.*)?$|^\w[\w.]*\(.*\)\s*->")
_LONGEST_SENTENCE = 30  # words
_NEARLY = 0.75  # a query with so many of a sentence's words, and few others, quotes it


def target(destination: str, targets: LinkTargets) -> str | None:
    """Return the chunk at an address from the root; None unless its anchor exists."""
    chunk_id, reason = targets.resolve("", destination)
    return None if reason else chunk_id


def index_entries(index: Path, pages: dict[str, Page]) -> Iterator[Asked]:
    """Yield the index's entries that are prose; a nested entry is joined with the one above it."""
    targets = LinkTargets(pages)
    text = normalized(" ".join(one.content for page in pages.values() for one in page.sections))
    found = defaultdict[frozenset[str], dict[str, set[str | None]]](dict)  # by words: wordings with their chunks
    for item in parsed(index).iter("li"):
        links = [one for one in item if one.tag == "a"]
        above = item.getparent().getparent()
        if not links:
            continue
        parts = [_heading(above), words_of(links[0])] if above.tag == "li" else [words_of(links[0])]
        words = " ".join(parts).split()
        if len(words) < 2 or _NOT_PROSE & {*words} or not all(map(_WORD.fullmatch, words)):
            continue
        if len(parts) == 2 and len(words) > 2 and any(map(keyword.iskeyword, parts)):  # "as" above "import statement"
            continue
        # The same two words stand under each other in both orders; take the one that people write.
        orders = sorted([" ".join(parts), " ".join(parts[::-1])])
        entry = max(orders, key=lambda one: text.count(normalized(one)))
        chunks = {target(link.get("href"), targets) for link in links} - {None}
        found[frozenset(normalized(entry).split())].setdefault(entry, set()).update(chunks)
    for wordings in found.values():
        for chunk in set().union(*wordings.values()):
            yield "index", min(wordings), chunk


def synopses(index: Path, pages: dict[str, Page]) -> Iterator[Asked]:
    """Yield what the module index says about each module."""
    targets = LinkTargets(pages)
    for row in parsed(index).iter("tr"):
        link, synopsis = row.find(".//a"), row.find(".//em")
        if link is not None and synopsis is not None and link.get("href"):
            yield "synopsis", words_of(synopsis).rstrip("."), target(link.get("href"), targets)


def docstrings(pages: dict[str, Page]) -> Iterator[Asked]:
    """Yield the first sentence of the docstring of everything that the library's pages describe."""
    targets = LinkTargets(pages)
    for name, page in pages.items():
        for anchor in page.anchors if name.startswith("library/") else ():
            if "__" not in anchor:  # what operators call is described with its class
                yield "docstring", first_sentence(_object(anchor)), target(f"{name}#{anchor}", targets)


def described(summaries: dict[str, str], pages: dict[str, Page]) -> Iterator[Asked]:
    """Yield the summary of each command, which its description answers."""
    targets = LinkTargets(pages)
    for page, summary in summaries.items():
        yield "summary", summary, target(f"{page}#_description", targets)


def option_help(pages: dict[str, Page]) -> Iterator[Asked]:
    """Yield what ``git <command> -h`` says about each option, with the command before it."""
    for name, page in pages.items():
        if not name.startswith("git-"):
            continue
        command = name.removesuffix(".html").removeprefix("git-")
        by_option = defaultdict(set)
        for one in page.sections:
            for option in _LONG_NAME.findall(one.title):
                by_option[option].add(one.chunk_id)
        for names, text in options(_help(command)):
            chunks = set().union(*(by_option[one] for one in _LONG_NAME.findall(names)))
            own = {one for one in chunks if one.startswith(f"{name}#")}  # not merged into another command's
            if len(chunks) == len(own) == 1 and len(text.split()) > 2:
                yield "option", f"git {command}: {text}", own.pop()


def weeded(asked: list[Asked], pages: dict[str, dict[str, Page]]) -> tuple[list[tuple[str, str, str]], Counter[str]]:
    """Return the queries that are fair, and the number of the others by reason."""
    sections = [one for each in pages.values() for page in each.values() for one in page.sections if not one.merged]
    chunks = {one.chunk_id: one for one in sections if one.content and not one.flaw}
    everything = [normalized(" ".join([*one.header_path, one.content])) for one in chunks.values()]
    answers = defaultdict(set)
    for _, text, chunk in asked:
        answers[normalized(text)].add(chunk)
    kept: list[tuple[str, str, str]] = []
    dropped: Counter[str] = Counter()
    seen: set[str] = set()
    for kind, text, chunk in asked:
        key = normalized(text)
        said = key.split(": ", 1)[-1] if kind == "option" else key
        if not key or chunk not in chunks:
            dropped["no answer" if key else "no text"] += 1
        elif len(answers[key]) > 1:
            dropped["several answers"] += 1
        elif key in seen:
            dropped["said twice"] += 1
        elif set(said.split()) <= set(normalized(chunks[chunk].title).split()):
            dropped["repeats the title"] += 1
        elif kind != "index" and any(said in one for one in everything):  # the index's words must be those of the text
            dropped["quoted"] += 1
        elif _overlap(said, chunks[chunk].content) > _NEARLY:
            dropped["nearly quoted"] += 1
        else:
            kept.append((kind, text, chunk))
        seen.add(key)
    return kept, dropped


def parsed(path: Path) -> Any:
    """Parse a page."""
    return etree.parse(str(path), etree.HTMLParser(encoding="utf-8"))


def words_of(element: Any) -> str:
    """Return the words of an element on one line."""
    return folded("".join(element.itertext()))


def first_sentence(thing: Any) -> str:
    """Return the first sentence of a docstring; that of its type says nothing about a constant."""
    text = inspect.getdoc(thing) or ""
    for paragraph in re.split(r"\n\s*\n", text if text != inspect.getdoc(type(thing)) else ""):
        lines = [line for line in paragraph.splitlines() if not _SIGNATURE.match(line.strip())]
        prose = folded(" ".join(lines))
        if prose:
            start, end = sentence_spans(prose)[0]
            words = prose[start:end].rstrip(".").split()
            return " ".join(words) if 4 <= len(words) <= _LONGEST_SENTENCE and not {">>>", "->"} & {*words} else ""
    return ""


def options(text: str) -> Iterator[tuple[str, str]]:
    """Yield each option in a command's help with what is said about it, which may go on in further lines."""
    found: list[list[str]] = []
    for line in text.splitlines():
        if match := _OPTION.match(line):
            found.append([match[1], match[2] or ""])
        elif found and line.startswith(" " * 20):
            found[-1][1] += f" {line.strip()}"
    return ((names, said.strip()) for names, said in found)


def _heading(item: Any) -> str:
    """Return the words of an entry without those nested in it."""
    link = next((one for one in item if one.tag == "a"), None)
    return folded(item.text or "") or (words_of(link) if link is not None else "")


def _object(anchor: str) -> Any:
    """Return what Python has under a dotted name, or None."""
    parts = anchor.split(".")
    for cut in range(len(parts) - 1, 0, -1) if parts[0] in sys.stdlib_module_names else ():
        try:
            found: Any = importlib.import_module(".".join(parts[:cut]))
            for name in parts[cut:]:
                found = inspect.getattr_static(found, name) if inspect.isclass(found) else getattr(found, name)
        except (ImportError, AttributeError):
            continue
        return found
    return None


def _help(command: str) -> str:
    try:
        done = subprocess.run(
            ["git", command, "-h"], capture_output=True, text=True, timeout=5, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:  # a script that knows no -h
        return ""
    return done.stdout or done.stderr


def _overlap(query: str, text: str) -> float:
    """Return the largest share of words that a query has in common with a sentence."""
    words = set(re.findall(r"\w+", query))
    sentences = [set(re.findall(r"\w+", text[start:end].casefold())) for start, end in sentence_spans(text)]
    return max((len(words & one) / len(words | one) for one in sentences), default=0.0)

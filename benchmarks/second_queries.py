"""Queries for the second corpus: what people wrote about its pages in other places.

- python: the entries of the index, the synopses of the module index, and the first sentences of docstrings (of the
  running Python; the documentation describes the same in other words)
- git: the summaries of the commands, which are removed from the corpus, and the help that ``git <command> -h`` prints
  for each option

Queries that a chunk quotes, and queries with several answers, are left out.
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

from triptych.corpus.pages.judgments import folded
from triptych.corpus.pages.link_targets import LinkTargets
from triptych.corpus.pages.linked_pages import Page
from triptych.corpus.texts import normalized, sentence_spans

CandidateQuery = tuple[str, str, str | None]  # kind, text, id of the relevant chunk

_WORD = re.compile(r"[A-Z]?[a-z]+(?:[-'][a-z]+)*|[A-Z]{2,5}")  # in prose; TypeError and os.path are names
# Headings of the index above or below names, and words that do not belong to a query.
_NOT_PROSE = {"module", "keyword", "built-in", "RFC", "Enhancement", "environment", "command-line", "examples"}
_OPTION = re.compile(r"^ {4}(-\S.*?)(?: {2,}(\S.*))?$")
_LONG_NAME = re.compile(r"--(?:\[no-\]|no-)?([a-z][\w-]+)")
_SIGNATURE = re.compile(r"^\w[\w.]*\(.*\)(\s*->.*)?$|^\w[\w.]*\(.*\)\s*->")
_LONGEST_SENTENCE = 30  # words
_NEARLY = 0.75  # word overlap (Jaccard) with a sentence above which a query is a quote of it


def target(destination: str, targets: LinkTargets) -> str | None:
    """Return the chunk at an address from the root; None unless its anchor exists."""
    chunk_id, reason = targets.resolve("", destination)
    return None if reason else chunk_id


def index_entries(index: Path, pages: dict[str, Page]) -> Iterator[CandidateQuery]:
    """Yield the entries of the index that are prose; a nested entry is joined with its parent."""
    targets = LinkTargets(pages)
    text = normalized(" ".join(one.content for page in pages.values() for one in page.sections))
    entries = defaultdict[frozenset[str], dict[str, set[str | None]]](dict)  # words → wording → chunks
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
        # The index nests the same two words in both orders; take the order that the documentation uses more often.
        orders = sorted([" ".join(parts), " ".join(parts[::-1])])
        entry = max(orders, key=lambda one: text.count(normalized(one)))
        chunks = {target(link.get("href"), targets) for link in links} - {None}
        entries[frozenset(normalized(entry).split())].setdefault(entry, set()).update(chunks)
    for wordings in entries.values():
        for chunk in set().union(*wordings.values()):
            yield "index", min(wordings), chunk


def synopses(index: Path, pages: dict[str, Page]) -> Iterator[CandidateQuery]:
    """Yield the synopsis of each module in the module index."""
    targets = LinkTargets(pages)
    for row in parsed(index).iter("tr"):
        link, synopsis = row.find(".//a"), row.find(".//em")
        if link is not None and synopsis is not None and link.get("href"):
            yield "synopsis", words_of(synopsis).rstrip("."), target(link.get("href"), targets)


def docstrings(pages: dict[str, Page]) -> Iterator[CandidateQuery]:
    """Yield the first sentence of the docstring of each object that the library's pages document."""
    targets = LinkTargets(pages)
    for name, page in pages.items():
        for anchor in page.anchors if name.startswith("library/") else ():
            if "__" not in anchor:  # special methods are documented with their class
                yield "docstring", first_sentence(_object(anchor)), target(f"{name}#{anchor}", targets)


def command_summaries(summaries: dict[str, str], pages: dict[str, Page]) -> Iterator[CandidateQuery]:
    """Yield the summary of each command; its description is the answer."""
    targets = LinkTargets(pages)
    for page, summary in summaries.items():
        yield "summary", summary, target(f"{page}#_description", targets)


def option_help(pages: dict[str, Page]) -> Iterator[CandidateQuery]:
    """Yield the help of ``git <command> -h`` for each option, with the command before it."""
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
            own = {one for one in chunks if one.startswith(f"{name}#")}  # not those merged into another command's
            if len(chunks) == len(own) == 1 and len(text.split()) > 2:
                yield "option", f"git {command}: {text}", own.pop()


def filter_queries(
    candidates: list[CandidateQuery], pages: dict[str, dict[str, Page]]
) -> tuple[list[tuple[str, str, str]], Counter[str]]:
    """Return the queries to keep, and the number of dropped ones by reason."""
    sections = [one for each in pages.values() for page in each.values() for one in page.sections if not one.merged]
    chunks = {one.chunk_id: one for one in sections if one.content and not one.flaw}
    chunk_texts = [normalized(" ".join([*one.header_path, one.content])) for one in chunks.values()]
    answers = defaultdict(set)
    for _, text, chunk in candidates:
        answers[normalized(text)].add(chunk)
    kept: list[tuple[str, str, str]] = []
    dropped: Counter[str] = Counter()
    seen: set[str] = set()
    for kind, text, chunk in candidates:
        key = normalized(text)
        wording = key.split(": ", 1)[-1] if kind == "option" else key
        if not key or chunk not in chunks:
            dropped["no answer" if key else "no text"] += 1
        elif len(answers[key]) > 1:
            dropped["several answers"] += 1
        elif key in seen:
            dropped["duplicate"] += 1
        elif set(wording.split()) <= set(normalized(chunks[chunk].title).split()):
            dropped["repeats the title"] += 1
        elif kind != "index" and any(
            wording in one for one in chunk_texts
        ):  # index entries use the words of the text anyway
            dropped["quoted"] += 1
        elif _overlap(wording, chunks[chunk].content) > _NEARLY:
            dropped["nearly quoted"] += 1
        else:
            kept.append((kind, text, chunk))
        seen.add(key)
    return kept, dropped


def parsed(path: Path) -> Any:
    """Parse an HTML page."""
    return etree.parse(str(path), etree.HTMLParser(encoding="utf-8"))


def words_of(element: Any) -> str:
    """Return the text of an element on one line."""
    return folded("".join(element.itertext()))


def first_sentence(item: Any) -> str:
    """Return the first sentence of an object's docstring, or an empty string.

    A docstring inherited from the type does not count: it does not describe a constant.
    """
    text = inspect.getdoc(item) or ""
    for paragraph in re.split(r"\n\s*\n", text if text != inspect.getdoc(type(item)) else ""):
        lines = [line for line in paragraph.splitlines() if not _SIGNATURE.match(line.strip())]
        prose = folded(" ".join(lines))
        if prose:
            start, end = sentence_spans(prose)[0]
            words = prose[start:end].rstrip(".").split()
            return " ".join(words) if 4 <= len(words) <= _LONGEST_SENTENCE and not {">>>", "->"} & {*words} else ""
    return ""


def options(text: str) -> Iterator[tuple[str, str]]:
    """Yield the names of each option in a command's help with its description, which may take several lines."""
    entries: list[list[str]] = []
    for line in text.splitlines():
        if match := _OPTION.match(line):
            entries.append([match[1], match[2] or ""])
        elif entries and line.startswith(" " * 20):
            entries[-1][1] += f" {line.strip()}"
    return ((names, description.strip()) for names, description in entries)


def _heading(item: Any) -> str:
    """Return the text of an index entry without its nested entries."""
    link = next((one for one in item if one.tag == "a"), None)
    return folded(item.text or "") or (words_of(link) if link is not None else "")


def _object(anchor: str) -> Any:
    """Import the object with a dotted name of the standard library; None if there is none."""
    parts = anchor.split(".")
    for cut in range(len(parts) - 1, 0, -1) if parts[0] in sys.stdlib_module_names else ():
        try:
            item: Any = importlib.import_module(".".join(parts[:cut]))
            for name in parts[cut:]:
                item = inspect.getattr_static(item, name) if inspect.isclass(item) else getattr(item, name)
        except (ImportError, AttributeError):
            continue
        return item
    return None


def _help(command: str) -> str:
    try:
        done = subprocess.run(
            ["git", command, "-h"], capture_output=True, text=True, timeout=5, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:  # a script without -h
        return ""
    return done.stdout or done.stderr


def _overlap(query: str, text: str) -> float:
    """Return the largest word overlap (Jaccard similarity) of a query with a sentence of a text."""
    words = set(re.findall(r"\w+", query))
    sentences = [set(re.findall(r"\w+", text[start:end].casefold())) for start, end in sentence_spans(text)]
    return max((len(words & one) / len(words | one) for one in sentences), default=0.0)

"""A second corpus with questions that people wrote: Debian's documentation of Python and of Git.

``python -m benchmarks.second_corpus [build/second_corpus]`` fetches two packages (Debian or Ubuntu is needed) and
makes ``<folder>/project``, in which the stages run as ``dvc.yaml`` says, with two categories. What people wrote
about a page somewhere else is a query, the page the answer:

- python: the index's entries, the module index's synopses, and the first sentences of docstrings (of the running
  Python; the documentation says the same in other words)
- git: the summaries of the commands, which are taken out of the pages, and the help that ``git <command> -h``
  prints for each option

A query that a chunk quotes is left out, and so is one that fits several chunks.
"""

import argparse
import importlib
import inspect
import keyword
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from lxml import etree

from triptych.artifacts import write_jsonl, write_text
from triptych.corpus.html import html_pages
from triptych.corpus.pages import Page, folded, target
from triptych.corpus.records import write_qrels
from triptych.corpus.texts import normalized, sentence_spans

# Of the library enough chapters for a corpus on which two cores train in minutes; its page lists the modules of each.
_PYTHON_FOLDERS = ("reference", "tutorial")
_CHAPTERS = ("text", "datatypes", "functional", "filesys", "fileformats", "crypto")
# Git's page lists the commands in groups. git-config repeats what the pages of the commands say about configuration.
_GROUPS = ("Main porcelain commands", "Ancillary Commands")
_GUIDES = ("gittutorial", "gittutorial-2", "giteveryday", "gitworkflows", "gitglossary", "gitfaq", "githooks")
_WITHOUT = {"git-config.html"}

_WORD = re.compile(r"[A-Z]?[a-z]+(?:[-'][a-z]+)*|[A-Z]{2,5}")  # of prose; TypeError and os.path are names
# What the index's authors put above or below names, or what is no word of the query's.
_NOT_PROSE = {"module", "keyword", "built-in", "RFC", "Enhancement", "environment", "command-line", "examples"}
_WORDS = re.compile(r"\w+")
_NEARLY = 0.75  # a query with so many of a sentence's words, and few others, quotes it
_OPTION = re.compile(r"^ {4}(-\S.*?)(?: {2,}(\S.*))?$")
_LONG_NAME = re.compile(r"--(?:\[no-\]|no-)?([a-z][\w-]+)")
_SIGNATURE = re.compile(r"^\w[\w.]*\(.*\)(\s*->.*)?$|^\w[\w.]*\(.*\)\s*->")

Texts = dict[str, str]  # chunk id -> passage
Found = Iterator[tuple[str, str, str | None]]  # kind, query, chunk id


def main() -> None:
    """Fetch the documentation and write the project."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("build/second_corpus"))
    folder: Path = parser.parse_args().folder
    docs = fetch(folder) / "usr/share/doc"
    python = next(docs.glob("python3.*/html"))
    git = docs / "git-doc"
    project = folder / "project"
    raw = project / "data" / "raw"
    shutil.rmtree(project, ignore_errors=True)
    summaries = copy_git(git, raw / "git")
    copy_python(python, raw / "python")
    pages = {name: html_pages(raw / name) for name in ("python", "git")}
    found = {
        "python": [
            *index_entries(python, pages["python"]),
            *synopses(python, pages["python"]),
            *docstrings(pages["python"]),
        ],
        "git": [*described(summaries, pages["git"]), *option_help(pages["git"])],
    }
    write_project(project, Path("params.yaml"))
    write_queries(project / "data" / "raw" / "queries", pages, found)


def fetch(folder: Path) -> Path:
    """Download and unpack the two packages, unless they are there."""
    unpacked = folder / "unpacked"
    if not unpacked.exists():
        packages = folder / "packages"
        packages.mkdir(parents=True, exist_ok=True)
        listing = _output("apt-cache", "depends", "python3-doc")
        dependency = re.search(r"Depends: (python3\.\d+-doc)", listing)
        if not dependency:
            sys.exit("apt knows no python3-doc; run apt-get update, on Debian or Ubuntu")
        subprocess.run(["apt-get", "download", dependency[1], "git-doc"], cwd=packages, check=True)
        for package in sorted(packages.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", package, folder / "partial"], check=True)
        (folder / "partial").rename(unpacked)
    return unpacked


def copy_python(source: Path, to: Path) -> None:
    """Copy the pages chosen: whole folders, and chapters of the library."""
    chosen = [path for name in _PYTHON_FOLDERS for path in (source / name).rglob("*.html")]
    for chapter in _CHAPTERS:
        links = _parsed(source / "library" / f"{chapter}.html").xpath("//div[contains(@class, 'toctree-wrapper')]//a")
        chosen += [source / "library" / link.get("href").split("#")[0] for link in links]
    for path in {source / "glossary.html", *chosen}:
        copy = to / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def copy_git(source: Path, to: Path) -> dict[str, str]:
    """Copy the pages of the commands chosen without their summaries, and return these by page."""
    to.mkdir(parents=True)
    summaries = {}
    listing = _parsed(source / "git.html")
    for group in listing.xpath("//h3"):
        if not _words(group).startswith(_GROUPS):
            continue
        for term in group.getparent().iter("dt"):
            page = term.find("a").get("href")
            summary = _words(term.getnext()).rstrip(".")
            if page not in _WITHOUT and (source / page).exists():
                summaries[page] = summary
                text = (source / page).read_text(encoding="utf-8")
                without = re.sub(r'<h2>NAME</h2>\s*<div class="sectionbody">.*?</div>', "", text, flags=re.DOTALL)
                write_text(to / page, without)
    for guide in _GUIDES:
        shutil.copyfile(source / f"{guide}.html", to / f"{guide}.html")
    return summaries


def index_entries(source: Path, pages: dict[str, Page]) -> Found:
    """Yield the index's entries that are prose; a nested entry is joined with the one above it."""
    text = normalized(" ".join(one.content for page in pages.values() for one in page.sections))
    seen: set[frozenset[str]] = set()
    for item in _parsed(source / "genindex-all.html").iter("li"):
        links = [one for one in item if one.tag == "a"]
        above = item.getparent().getparent()
        if not links:
            continue
        parts = [_heading(above), _words(links[0])] if above.tag == "li" else [_words(links[0])]
        words = " ".join(parts).split()
        if len(words) < 2 or _NOT_PROSE & {*words} or not all(map(_WORD.fullmatch, words)):
            continue
        if len(parts) == 2 and len(words) > 2 and any(map(keyword.iskeyword, parts)):  # "as" above "import statement"
            continue
        # The same two words stand under each other in both orders; take the one that people write.
        orders = (" ".join(parts), " ".join(parts[::-1]))
        entry = max(sorted(orders), key=lambda one: text.count(normalized(one)))
        key = frozenset(normalized(entry).split())
        chunks = {target("", link.get("href"), pages) for link in links} - {None}
        if key not in seen and len(chunks) == 1:
            seen.add(key)
            yield "index", entry, chunks.pop()


def synopses(source: Path, pages: dict[str, Page]) -> Found:
    """Yield what the module index says about each module."""
    for row in _parsed(source / "py-modindex.html").iter("tr"):
        link, synopsis = row.find(".//a"), row.find(".//em")
        if link is not None and synopsis is not None and link.get("href"):
            yield "synopsis", _words(synopsis).rstrip("."), target("", link.get("href"), pages)


def docstrings(pages: dict[str, Page]) -> Found:
    """Yield the first sentence of the docstring of everything that the library's pages describe."""
    for name, page in pages.items():
        if name.startswith("library/"):
            for anchor in page.anchors:
                if "__" in anchor:  # what operators call, which is described with its class
                    continue
                yield "docstring", _first_sentence(_object(anchor)), target("", f"{name}#{anchor}", pages)


def described(summaries: dict[str, str], pages: dict[str, Page]) -> Found:
    """Yield the summary of each command, which its description answers."""
    for page, summary in summaries.items():
        yield "summary", summary, target("", f"{page}#_description", pages)


def option_help(pages: dict[str, Page]) -> Found:
    """Yield what ``git <command> -h`` says about each option, with the command before it."""
    for name, page in pages.items():
        command = name.removesuffix(".html").removeprefix("git-")
        by_option = defaultdict(set)
        for one in page.sections:
            for option in _LONG_NAME.findall(one.title):
                by_option[option].add(one.chunk_id)
        for options, text in _options(_help(command)) if name.startswith("git-") else ():
            chunks = set().union(*(by_option[one] for one in _LONG_NAME.findall(options)))
            own = {one for one in chunks if one.startswith(f"{name}#")}  # not merged into another command's
            if len(chunks) == len(own) == 1 and len(text.split()) > 2:
                yield "option", f"git {command}: {text}", own.pop()


def write_queries(folder: Path, pages: dict[str, dict[str, Page]], found: dict[str, list[Any]]) -> None:
    """Write the queries that are fair as a BEIR folder, and say how many there are."""
    sections = [one for each in pages.values() for page in each.values() for one in page.sections if not one.merged]
    texts = {one.chunk_id: normalized(" ".join([*one.header_path, one.content])) for one in sections}
    titles = {one.chunk_id: normalized(one.title) for one in sections}
    contents = {one.chunk_id: one.content for one in sections}
    everything = list(texts.values())
    rows, qrels = [], dict[str, dict[str, int]]()
    for category, queries in found.items():
        answers = defaultdict(set)
        for _, text, chunk in queries:
            answers[normalized(text)].add(chunk)
        count: Counter[str] = Counter()
        for kind, text, chunk in queries:
            key = normalized(text)
            if chunk not in texts or not key or key in qrels:
                count["no answer"] += 1
                continue
            said = key.split(": ", 1)[-1] if kind == "option" else key
            if len(answers[key]) > 1:
                count["several answers"] += 1
            elif set(said.split()) <= set(titles[chunk].split()):
                count["repeats the title"] += 1
            elif kind != "index" and any(said in one for one in everything):
                count["quoted"] += 1
            elif _overlap(said, contents[chunk]) > _NEARLY:
                count["nearly quoted"] += 1
            else:
                count[f"kept: {kind}"] += 1
                number = f"{category}-{kind}-{count[f'kept: {kind}']}"
                rows.append({"_id": number, "text": text})
                qrels[number] = {chunk: 1}
        print(f"{category}: " + ", ".join(f"{number} {reason}" for reason, number in sorted(count.items())))
    write_jsonl(folder / "queries.jsonl", rows)
    write_qrels(folder / "qrels" / "all.tsv", qrels)


def write_project(project: Path, params: Path) -> None:
    """Write the project's params: the default ones, with other sources and queries."""
    values = yaml.safe_load(params.read_text(encoding="utf-8"))
    values["ingest"]["sources"] = [
        {"path": f"data/raw/{name}", "format": "html", "category": name} for name in ("python", "git")
    ]
    values["split"]["queries"] = "data/raw/queries"
    values["split"]["group_titles"] = False  # every page has its SYNOPSIS and its OPTIONS
    write_text(project / "params.yaml", yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL).stdout


def _parsed(path: Path) -> Any:
    return etree.parse(str(path), etree.HTMLParser(encoding="utf-8"))


def _words(element: Any) -> str:
    return folded("".join(element.itertext()))


def _heading(item: Any) -> str:
    """Return the words of an entry without those nested in it."""
    link = next((one for one in item if one.tag == "a"), None)
    return folded(item.text or "") or (_words(link) if link is not None else "")


def _object(anchor: str) -> Any:
    """Return what Python has under a dotted name, or None."""
    parts = anchor.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        if parts[0] in sys.stdlib_module_names:
            try:
                found = importlib.import_module(".".join(parts[:cut]))
                for name in parts[cut:]:
                    found = inspect.getattr_static(found, name) if inspect.isclass(found) else getattr(found, name)
            except (ImportError, AttributeError):
                continue
            return found
    return None


def _first_sentence(thing: Any) -> str:
    """Return the first sentence of a docstring; that of its type says nothing about a constant."""
    text = inspect.getdoc(thing) or ""
    for paragraph in re.split(r"\n\s*\n", text if text != inspect.getdoc(type(thing)) else ""):
        lines = [line for line in paragraph.splitlines() if not _SIGNATURE.match(line.strip())]
        text = folded(" ".join(lines))
        if text:
            start, end = sentence_spans(text)[0]
            words = text[start:end].rstrip(".").split()
            return " ".join(words) if 4 <= len(words) <= 30 and ">>>" not in words else ""
    return ""


@cache
def _help(command: str) -> str:
    try:
        done = subprocess.run(
            ["git", command, "-h"], capture_output=True, text=True, timeout=5, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout or done.stderr


def _options(text: str) -> Iterator[tuple[str, str]]:
    """Yield each option with what is said about it, which may go on in further lines."""
    found: list[list[str]] = []
    for line in text.splitlines():
        if match := _OPTION.match(line):
            found.append([match[1], match[2] or ""])
        elif found and line.startswith(" " * 20):
            found[-1][1] += f" {line.strip()}"
    return ((options, said.strip()) for options, said in found)


def _overlap(query: str, text: str) -> float:
    """Return the largest share of words that a query has in common with a sentence."""
    words = set(_WORDS.findall(query))
    sentences = [set(_WORDS.findall(text[start:end].casefold())) for start, end in sentence_spans(text)]
    return max((len(words & one) / len(words | one) for one in sentences), default=0.0)


if __name__ == "__main__":
    main()

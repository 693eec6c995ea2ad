"""A second corpus with questions that people wrote: Debian's documentation of Python and of Git.

``python -m benchmarks.second_corpus [build/second_corpus]`` fetches two packages (Debian or Ubuntu is needed) and
makes ``<folder>/project``, in which the stages run as ``dvc.yaml`` says, with two categories. What people wrote about
a page somewhere else is a query, the page the answer; see `benchmarks.second_queries`.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from benchmarks.second_queries import (
    described,
    docstrings,
    index_entries,
    option_help,
    parsed,
    synopses,
    weeded,
    words_of,
)
from triptych.artifacts import write_jsonl, write_text
from triptych.corpus.pages.html import html_pages
from triptych.corpus.records import write_qrels

# Of the library enough chapters for a corpus on which two cores train in minutes; its page lists the modules of each.
_PYTHON_FOLDERS = ("reference", "tutorial")
_CHAPTERS = ("text", "datatypes", "functional", "filesys", "fileformats", "crypto")
# Git's page lists the commands in groups. git-config repeats what the pages of the commands say about configuration.
_GROUPS = ("Main porcelain commands", "Ancillary Commands")
_GUIDES = ("gittutorial", "gittutorial-2", "giteveryday", "gitworkflows", "gitglossary", "gitfaq", "githooks")
_WITHOUT = {"git-config.html"}
_NAME = re.compile(r'<h2>NAME</h2>\s*<div class="sectionbody">.*?</div>', re.DOTALL)


def main() -> None:
    """Fetch the documentation and write the project."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("build/second_corpus"))
    folder: Path = parser.parse_args().folder
    docs = fetch(folder) / "usr/share/doc"
    python, git = next(docs.glob("python3.*/html")), docs / "git-doc"
    project = folder / "project"
    raw = project / "data" / "raw"
    shutil.rmtree(project, ignore_errors=True)
    summaries = copy_git(git, raw / "git")
    copy_python(python, raw / "python")
    pages = {name: html_pages(raw / name) for name in ("python", "git")}
    found = {
        "python": [
            *index_entries(python / "genindex-all.html", pages["python"]),
            *synopses(python / "py-modindex.html", pages["python"]),
            *docstrings(pages["python"]),
        ],
        "git": [*described(summaries, pages["git"]), *option_help(pages["git"])],
    }
    rows, qrels = [], dict[str, dict[str, int]]()
    for category, queries in found.items():
        kept, dropped = weeded(queries, pages)
        number: Counter[str] = Counter()
        for kind, text, chunk in kept:
            number[kind] += 1
            rows.append({"_id": f"{category}-{kind}-{number[kind]}", "text": text})
            qrels[rows[-1]["_id"]] = {chunk: 1}
        print(f"{category}: kept {dict(number)}, dropped {dict(sorted(dropped.items()))}")
    write_jsonl(raw / "queries" / "queries.jsonl", rows)
    write_qrels(raw / "queries" / "qrels" / "all.tsv", qrels)
    write_text(project / "params.yaml", params(Path("params.yaml")))


def fetch(folder: Path) -> Path:
    """Download and unpack the two packages, unless they are there."""
    unpacked = folder / "unpacked"
    if not unpacked.exists():
        packages, partial = folder / "packages", folder / "partial"
        packages.mkdir(parents=True, exist_ok=True)
        command = ["apt-cache", "depends", "python3-doc"]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        dependency = re.search(r"Depends: (python3\.\d+-doc)", listing)
        if not dependency:
            sys.exit("apt knows no python3-doc; run apt-get update, on Debian or Ubuntu")
        subprocess.run(["apt-get", "download", dependency[1], "git-doc"], cwd=packages, check=True)
        for package in sorted(packages.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", package, partial], check=True)
        partial.rename(unpacked)
    return unpacked


def copy_python(source: Path, to: Path) -> None:
    """Copy the pages chosen: whole folders, and chapters of the library."""
    chosen = {path for name in _PYTHON_FOLDERS for path in (source / name).rglob("*.html")}
    for chapter in _CHAPTERS:
        links = parsed(source / "library" / f"{chapter}.html").xpath("//div[contains(@class, 'toctree-wrapper')]//a")
        chosen |= {source / "library" / link.get("href").split("#")[0] for link in links}
    for path in {source / "glossary.html"} | chosen:
        copy = to / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def copy_git(source: Path, to: Path) -> dict[str, str]:
    """Copy the guides, and the pages of the commands chosen without their summaries; return these by page."""
    to.mkdir(parents=True)
    summaries = {}
    groups = [one for one in parsed(source / "git.html").iter("h3") if words_of(one).startswith(_GROUPS)]
    for term in (term for group in groups for term in group.getparent().iter("dt")):
        page = term.find("a").get("href")
        if page not in _WITHOUT and (source / page).exists():
            summaries[page] = words_of(term.getnext()).rstrip(".")
            write_text(to / page, _NAME.sub("", (source / page).read_text(encoding="utf-8")))
    for guide in _GUIDES:
        shutil.copyfile(source / f"{guide}.html", to / f"{guide}.html")
    return summaries


def params(default: Path) -> str:
    """Return the project's params: the default ones with other sources and queries."""
    values: dict[str, Any] = yaml.safe_load(default.read_text(encoding="utf-8"))
    values["ingest"]["sources"] = [
        {"path": f"data/raw/{name}", "format": "html", "category": name} for name in ("python", "git")
    ]
    values["split"]["queries"] = "data/raw/queries"
    values["split"]["group_titles"] = False  # every page has its SYNOPSIS and its OPTIONS
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


if __name__ == "__main__":
    main()

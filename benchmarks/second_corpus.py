"""A second corpus with queries that people wrote: Debian's documentation of Python and of Git.

``python -m benchmarks.second_corpus [build/second_corpus]`` downloads two packages (on Debian or Ubuntu) and
writes ``<folder>/project``, where the stages run as in ``dvc.yaml``, with two categories. The queries are what people
wrote about a page in another place, and the page is the answer; see `benchmarks.second_queries`.
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
    command_summaries,
    docstrings,
    filter_queries,
    index_entries,
    option_help,
    parsed,
    synopses,
    words_of,
)
from triptych.artifacts import write_jsonl, write_text
from triptych.corpus.pages.html import html_pages
from triptych.corpus.records import write_qrels

# Chapters of the library; few enough to train on two cores in minutes. The page of a chapter lists its modules.
_PYTHON_FOLDERS = ("reference", "tutorial")
_CHAPTERS = ("text", "datatypes", "functional", "filesys", "fileformats", "crypto")
# Groups of commands on Git's main page. git-config repeats the configuration sections of the commands' pages.
_GROUPS = ("Main porcelain commands", "Ancillary Commands")
_GUIDES = ("gittutorial", "gittutorial-2", "giteveryday", "gitworkflows", "gitglossary", "gitfaq", "githooks")
_EXCLUDED = {"git-config.html"}
_NAME = re.compile(r'<h2>NAME</h2>\s*<div class="sectionbody">.*?</div>', re.DOTALL)


def main() -> None:
    """Download the documentation and write the project."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path("build/second_corpus"), help="for packages and project"
    )
    folder: Path = parser.parse_args().folder
    docs = fetch(folder) / "usr/share/doc"
    python, git = next(docs.glob("python3.*/html")), docs / "git-doc"
    project = folder / "project"
    raw = project / "data" / "raw"
    shutil.rmtree(project, ignore_errors=True)
    summaries = copy_git(git, raw / "git")
    copy_python(python, raw / "python")
    pages = {name: html_pages(raw / name) for name in ("python", "git")}
    queries_of = {
        "python": [
            *index_entries(python / "genindex-all.html", pages["python"]),
            *synopses(python / "py-modindex.html", pages["python"]),
            *docstrings(pages["python"]),
        ],
        "git": [*command_summaries(summaries, pages["git"]), *option_help(pages["git"])],
    }
    rows, qrels = [], dict[str, dict[str, int]]()
    for category, queries in queries_of.items():
        kept, dropped = filter_queries(queries, pages)
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
    """Download and unpack the two packages if they are missing; return the folder of their files."""
    unpacked = folder / "unpacked"
    if not unpacked.exists():
        packages, partial = folder / "packages", folder / "partial"
        packages.mkdir(parents=True, exist_ok=True)
        command = ["apt-cache", "depends", "python3-doc"]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        dependency = re.search(r"Depends: (python3\.\d+-doc)", listing)
        if not dependency:
            sys.exit("apt does not know python3-doc; on Debian or Ubuntu, run apt-get update")
        subprocess.run(["apt-get", "download", dependency[1], "git-doc"], cwd=packages, check=True)
        for package in sorted(packages.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", package, partial], check=True)
        partial.rename(unpacked)
    return unpacked


def copy_python(source: Path, out: Path) -> None:
    """Copy the selected pages: whole folders, and chapters of the library."""
    selected = {path for name in _PYTHON_FOLDERS for path in (source / name).rglob("*.html")}
    for chapter in _CHAPTERS:
        links = parsed(source / "library" / f"{chapter}.html").xpath("//div[contains(@class, 'toctree-wrapper')]//a")
        selected |= {source / "library" / link.get("href").split("#")[0] for link in links}
    for path in {source / "glossary.html"} | selected:
        copy = out / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def copy_git(source: Path, out: Path) -> dict[str, str]:
    """Copy the guides, and the pages of the selected commands without their summaries; return page → summary."""
    out.mkdir(parents=True)
    summaries = {}
    groups = [one for one in parsed(source / "git.html").iter("h3") if words_of(one).startswith(_GROUPS)]
    for term in (term for group in groups for term in group.getparent().iter("dt")):
        page = term.find("a").get("href")
        if page not in _EXCLUDED and (source / page).exists():
            summaries[page] = words_of(term.getnext()).rstrip(".")
            write_text(out / page, _NAME.sub("", (source / page).read_text(encoding="utf-8")))
    for guide in _GUIDES:
        shutil.copyfile(source / f"{guide}.html", out / f"{guide}.html")
    return summaries


def params(default: Path) -> str:
    """Return the project's params: the default params with other sources and queries."""
    values: dict[str, Any] = yaml.safe_load(default.read_text(encoding="utf-8"))
    values["ingest"]["sources"] = [
        {"path": f"data/raw/{name}", "format": "html", "category": name} for name in ("python", "git")
    ]
    values["split"]["queries"] = "data/raw/queries"
    values["split"]["group_titles"] = False  # every page has its SYNOPSIS and its OPTIONS
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


if __name__ == "__main__":
    main()

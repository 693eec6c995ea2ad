"""The documents agree with the repository: links, paths, commands, and the numbers of the README."""

import json
import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from triptych.cli import app
from triptych.corpus.records import ALL
from triptych.evaluation.comparison import read_intervals
from triptych.report.query_groups import Against, QueryGroup, against_free, query_groups
from triptych.report.system_names import in_order, system_name

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "data/raw/README.md",
    ROOT / "metrics/mine/README.md",
]
NAMES = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]
FREE = json.loads((ROOT / "metrics/verdict.json").read_text(encoding="utf-8"))["free"]["system"]
SHORT = {
    "bm25": "BM25",
    "base_unasked": "base",
    "base_hybrid_unasked": "base + BM25",
    "base_hybrid": "base + BM25, with questions",
    "tuned_hybrid": "tuned + BM25, with questions",
}


@cache
def tokens_of(document: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(document.read_text(encoding="utf-8"))


def links_of(document: Path) -> list[str]:
    inline = [child for token in tokens_of(document) for child in token.children or ()]
    targets = [token.attrGet("href") or token.attrGet("src") for token in inline]
    return [str(target) for target in targets if target and not str(target).startswith(("https://", "http://"))]


def anchors_of(document: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a document."""
    anchors = set[str]()
    tokens = tokens_of(document)
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            text = "".join(child.content for child in inline.children or ())
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            copies = [slug, *(f"{slug}-{number}" for number in range(1, 20))]
            anchors.add(next(one for one in copies if one not in anchors))
    return anchors


def target_of(document: Path, link: str) -> Path:
    path = link.partition("#")[0]
    return (document.parent / path).resolve() if path else document


def code_of(document: Path) -> str:
    """Return the code blocks and code spans of a document."""
    inline = [child for token in tokens_of(document) for child in token.children or ()]
    code = [token for token in [*tokens_of(document), *inline] if token.type in ("fence", "code_inline")]
    return "\n".join(token.content for token in code)


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_to_a_file_and_an_anchor_that_exist(name):
    document, broken = ROOT / name, []
    for link in links_of(document):
        target, anchor = target_of(document, link), link.partition("#")[2]
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)
    assert not broken


def test_every_document_is_linked_from_the_readme_or_from_one_that_is():
    reached, open_ones = set[Path](), [ROOT / "README.md"]
    while open_ones:
        document = open_ones.pop()
        if document not in reached and document.suffix == ".md" and document.exists():
            reached.add(document)
            open_ones += [target_of(document, link) for link in links_of(document)]
    assert {path for path in DOCUMENTS if (ROOT / "docs") in path.parents} <= reached


def test_the_readme_is_short():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    assert not [line for line in lines if len(line) > 118]


def test_the_picture_is_a_small_png():
    picture = (ROOT / "docs/report.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 300_000


@cache
def groups() -> list[QueryGroup]:
    found = json.loads((ROOT / "metrics/evaluate.json").read_text(encoding="utf-8"))
    return query_groups(found["measures"], found["by_kind"], found["taught"])


@cache
def differences() -> Against:
    found = read_intervals(ROOT / "metrics/evaluate/intervals.csv")
    return against_free([one for one in found if one.baseline == FREE], "mrr@10")


def as_table(rows: list[list[str]]) -> str:
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def test_the_table_of_the_readme_has_the_metrics_of_the_last_run():
    def cell(group: QueryGroup, system: str) -> str:
        value = f"{group.systems[system]['mrr@10']:.3f}"
        if system == FREE:
            return value
        found = differences()[group.category, group.kind, system].interval
        return f"{value}, {found.difference:+.3f} [{found.low:.3f}, {found.high:.3f}]"

    kinds = [group for group in groups() if group.kind != ALL]
    rows = [[name, *(cell(group, system) for group in kinds)] for system, name in SHORT.items()]
    table = as_table([["system", *(f"{group.label} ({group.queries}), {group.note}" for group in kinds)], *rows])
    assert table in (ROOT / "README.md").read_text(encoding="utf-8"), f"paste this table:\n{table}"


def test_the_table_of_the_guide_has_the_metrics_of_the_last_run():
    shown = ("recall@1", "recall@10", "mrr@10", "ndcg@10")
    rows = [["queries", "system", *shown, f"mrr@10 against {system_name(FREE)}", "Holm's p"]]
    for group in groups():
        for number, (system, values) in enumerate(in_order(group.systems)):
            heading = "" if number else f"{group.label} ({group.queries})"
            row = [heading, system_name(system), *(f"{values[name]:.3f}" for name in shown), "", ""]
            if system != FREE:
                one = differences()[group.category, group.kind, system]
                found, p = one.interval, one.p_holm
                row[-2:] = [f"{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}]", f"{p:.4f}"]
            rows.append(row)
    table = as_table(rows)
    assert table in (ROOT / "docs/guide.md").read_text(encoding="utf-8"), f"paste this table:\n{table}"


def test_every_path_in_the_table_of_contributing_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!to change|---|\*\*)(.+?) \| (.+?) \|", text, re.MULTILINE)
    assert len(rows) >= 40
    for task, files in rows:
        paths = re.findall(r"`([\w./]*(?:/|\.py|\.html|\.js))`", files)
        assert paths, f"no path for {task!r}"
        assert not [path for path in paths if not (ROOT / path).exists()], task


@pytest.mark.parametrize("name", sorted({*NAMES} - {"CHANGELOG.md"}))
def test_every_module_that_a_document_names_exists(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    modules = re.findall(r"(?<![\w/])(?:triptych|stages|tests|benchmarks)/[\w/]+\.py", text)
    assert not [module for module in modules if not (ROOT / module).exists()]


def test_the_architecture_names_every_room():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rooms = {path.parent.relative_to(ROOT / "triptych") for path in (ROOT / "triptych").rglob("*/__init__.py")}
    assert not [room for room in rooms if f"\n  {room.as_posix()}/ " not in text]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_in_code_exists(name):
    code = code_of(ROOT / name)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"(?:^|\s)make ([a-z][a-z-]+)", code)) <= set(targets)
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert set(re.findall(r"(?m)^(?:\S*/)?triptych ([a-z]+)", code)) <= commands
    modules = re.findall(r"python -m ((?:stages|benchmarks)\.\w+)", code)
    assert not [module for module in modules if not (ROOT / f"{module.replace('.', '/')}.py").exists()]

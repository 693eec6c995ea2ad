"""The code that each stage imports, written into ``dvc.yaml``: ``python -m stages.code_deps`` (``make deps``).

Of each stage's ``deps`` the ``.py`` files are rewritten from the import graph; data paths stay as they are. The stage
thus re-runs when a module that it uses changes, and only then. Package files (``__init__.py``) hold no code of a stage
and are left out. The templates of ``triptych new`` (``triptych/project/templates``) are written from the same files.
"""

import shlex
import shutil
from pathlib import Path

import yaml

from triptych.project.import_graph import ImportGraph
from triptych.project.new_project import PARAMS, PIPELINE, PLOTS, TEMPLATE

ROOT = Path(__file__).parents[1]
TEMPLATES = ROOT / "triptych/project/templates"
_GRAPH = ImportGraph({"stages": ROOT / "stages", "triptych": ROOT / "triptych"})
_CODE = "data/code"  # where a project keeps the digests of its stages' code
_OF_REPOSITORY = ("triptych/", "examples")  # deps that only the repository has
_FIRST = f"""# The pipeline, and the only place where paths are written. Stage = section of params.yaml.
stages:
  code:
    desc: Digests of the installed code by stage; runs each time, so that an upgrade runs again what it changes.
    cmd: python -m triptych.project.code_digests --code {_CODE}
    always_changed: true
    outs:
      - {_CODE}

"""


def code_of(command: str) -> list[str]:
    """Return the first-party modules that ``python -m <module> ...`` imports, directly or not, as paths, sorted.

    >>> "triptych/errors.py" in code_of("python -m stages.ingest --chunks data/chunks")
    True
    """
    words = shlex.split(command)
    files = _GRAPH.modules_of(words[words.index("-m") + 1]).values()
    return sorted(path.relative_to(ROOT).as_posix() for path in files)


def with_code_deps(pipeline: str, commands: dict[str, str]) -> str:
    """Return the text of ``dvc.yaml`` with the code deps of each stage in ``commands`` (stage name -> command)."""
    lines, stage, skipping = list[str](), "", False
    for line in pipeline.splitlines():
        indent, text = len(line) - len(line.lstrip()), line.strip()
        if indent == 2 and text.endswith(":"):
            stage = text[:-1]
        is_code = text.startswith("- ") and text.endswith(".py")
        if text == "deps:" and stage in commands:
            lines += [line, *(f"{' ' * (indent + 2)}- {file}" for file in code_of(commands[stage]))]
            skipping = True
            continue
        if skipping and is_code:
            continue
        skipping = skipping and text.startswith("- ")
        lines.append(line)
    return "\n".join(lines) + "\n"


def project_pipeline(pipeline: str) -> str:
    """Return the ``dvc.yaml`` of a project beside the installed package: digests in place of code deps and the lock."""
    lines, stage = list[str](), ""
    for line in pipeline.partition("stages:\n")[2].splitlines():
        indent, text = len(line) - len(line.lstrip()), line.strip()
        if indent == 2 and text.endswith(":"):
            stage = text[:-1]
        dep = text.removeprefix("- ") if text.startswith("- ") else ""
        if dep.endswith(".py") or dep.startswith(_OF_REPOSITORY):
            continue
        line = line.replace("python -m stages.", "python -m triptych.stages.")
        line = line.replace("--examples examples", "--examples data/journals")
        lines.append(line.replace("- requirements.lock", f"- {_CODE}/libraries.txt"))
        if text == "deps:":
            lines.append(f"{' ' * (indent + 2)}- {_CODE}/{stage}.txt")
    return _FIRST + "\n".join(lines) + "\n"


def _commands(pipeline: str) -> dict[str, str]:
    """Return stage name -> command, as far as the module's name; templates are left as they are."""
    stages = yaml.safe_load(pipeline)["stages"]
    return {name: stage.get("do", stage)["cmd"] for name, stage in stages.items()}


def main() -> None:
    """Rewrite the code deps in ``dvc.yaml``, and what ``triptych new`` copies of the repository."""
    path = ROOT / PIPELINE
    before = path.read_text(encoding="utf-8")
    pipeline = with_code_deps(before, _commands(before))
    path.write_text(pipeline, encoding="utf-8", newline="\n")
    (TEMPLATES / TEMPLATE).write_text(project_pipeline(pipeline), encoding="utf-8", newline="\n")
    shutil.copyfile(ROOT / PARAMS, TEMPLATES / PARAMS)
    shutil.copytree(ROOT / ".dvc/plots", TEMPLATES / PLOTS, dirs_exist_ok=True)


if __name__ == "__main__":
    main()

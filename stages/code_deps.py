"""The code that each stage imports, written into ``dvc.yaml``: ``python -m stages.code_deps`` (``make deps``).

Of each stage's ``deps`` the ``.py`` files are rewritten from the import graph; data paths stay as they are. The stage
thus re-runs when a module that it uses changes, and only then. Package files (``__init__.py``) hold no code of a stage
and are left out.
"""

import ast
import shlex
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
_FIRST_PARTY = ("stages", "triptych")


def code_of(command: str) -> list[str]:
    """Return the first-party modules that ``python -m <module> ...`` imports, directly or not, as paths, sorted.

    >>> "triptych/errors.py" in code_of("python -m stages.ingest --chunks data/chunks")
    True
    """
    words = shlex.split(command)
    seen: set[Path] = set()
    _follow(_file_of(words[words.index("-m") + 1]), seen)
    return sorted(path.relative_to(ROOT).as_posix() for path in seen if path.name != "__init__.py")


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


def _file_of(module: str) -> Path:
    file = _module_file(module)
    if file is None:
        raise FileNotFoundError(f"no module {module} in {ROOT}")
    return file


@cache
def _module_file(name: str) -> Path | None:
    path = ROOT.joinpath(*name.split("."))
    return next((found for found in (path.with_suffix(".py"), path / "__init__.py") if found.exists()), None)


@cache
def _imports(path: Path) -> tuple[Path, ...]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = list[str]()
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        files = (_module_file(name) for name in names if name.split(".")[0] in _FIRST_PARTY)
        found += [file for file in files if file is not None]
    return tuple(found)


def _follow(path: Path, seen: set[Path]) -> None:
    if path not in seen:
        seen.add(path)
        if path.name != "__init__.py":
            for found in _imports(path):
                _follow(found, seen)


def _commands(pipeline: str) -> dict[str, str]:
    """Return stage name -> command, as far as the module's name; templates are left as they are."""
    stages = yaml.safe_load(pipeline)["stages"]
    return {name: stage.get("do", stage)["cmd"] for name, stage in stages.items()}


def main() -> None:
    """Rewrite the code deps in ``dvc.yaml``."""
    path = ROOT / "dvc.yaml"
    before = path.read_text(encoding="utf-8")
    path.write_text(with_code_deps(before, _commands(before)), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()

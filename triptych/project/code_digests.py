"""Digests of the installed code, a file for each stage of ``dvc.yaml``, so that an upgrade runs again what it changes.

``python -m triptych.project.code_digests --code data/code``

The first stage of a project, which runs each time: a stage depends on its own file here, as in the repository it does
on the modules that it imports. ``libraries.txt`` has the versions of the libraries that results depend on.
"""

import argparse
import shlex
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path

import yaml

from triptych.artifacts import intact, write_text
from triptych.errors import ArtifactError
from triptych.project.import_graph import ImportGraph
from triptych.report.provenance import versions

STAGES = "triptych.stages"
LIBRARIES = "libraries.txt"
_DATA = ("templates", "vendor")  # folders beside modules whose files they read


def main(argv: list[str] | None = None) -> None:
    """Write the digests of all stages of the project in the working directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--code", type=Path, required=True)
    folder: Path = parser.parse_args(argv).code
    pipeline = Path("dvc.yaml")
    if not pipeline.exists():
        raise ArtifactError(pipeline, "is missing")
    with intact(pipeline):
        stages = yaml.safe_load(pipeline.read_text(encoding="utf-8"))["stages"]
        commands = {name: stage.get("do", stage)["cmd"] for name, stage in stages.items()}
    modules = {name: _module(command) for name, command in commands.items()}
    graph = ImportGraph(_packages())
    for name, module in modules.items():
        if module.startswith(f"{STAGES}."):
            write_text(folder / f"{name}.txt", f"{_digest(graph.modules_of(module))}\n")
    libraries = [f"{name} {version}\n" for name, version in versions().items() if name != "triptych"]
    write_text(folder / LIBRARIES, "".join(libraries))


def _packages() -> dict[str, Path]:
    """Return the folders of the program: the stages may have one of their own (an editable install)."""
    folders = {}
    for name in ("triptych", STAGES):
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise ArtifactError(Path(name.replace(".", "/")), "is not installed; pip install triptych[pipeline]")
        folders[name] = Path(spec.origin).parent
    return folders


def _module(command: str) -> str:
    words = shlex.split(command)
    return words[words.index("-m") + 1] if "-m" in words else ""


def _digest(modules: dict[str, Path]) -> str:
    """Return a digest of modules and of the data beside them; line ends are those of the source everywhere."""
    files = {name: path for name, path in modules.items()}
    for folder in sorted({path.parent for path in modules.values()}):
        for data in (folder / name for name in _DATA):
            files |= {one.relative_to(folder).as_posix(): one for one in data.rglob("*") if one.is_file()}
    state = blake2b(digest_size=16)
    for name, path in sorted(files.items()):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        state.update(f"{name} {len(content)}\n".encode() + content)
    return state.hexdigest()


if __name__ == "__main__":
    main()

"""Which stage of ``dvc.yaml`` writes a file: so that a message about a missing one can name the command.

``dvc.yaml`` and ``params.yaml`` are read as they are in the current folder; no stage is known by name here.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from triptych.errors import ArtifactError, UserError

_REFERENCE = re.compile(r"\$\{([\w.@-]+)\}")
_WRITTEN = ("outs", "metrics", "plots")


def with_remedy(error: UserError, project: Path = Path()) -> str:
    """Return the error's message; for an `ArtifactError` with the command that makes or fetches the artifact.

    ``project`` is the folder with ``dvc.yaml``; without one, or for a path that no stage writes, nothing is added.
    """
    stage = maker_of(error.path, project) if isinstance(error, ArtifactError) else None
    return f"{error}; `dvc repro {stage}` makes it, `dvc pull {stage}` fetches it" if stage else str(error)


def maker_of(path: Path, project: Path = Path()) -> str | None:
    """Return the stage, as DVC addresses it (``train@round0``), whose outs hold ``path``; None where there is none."""
    wanted = path.resolve()
    for stage, out in _outs(project):
        made = (project / out).resolve()
        if wanted == made or made in wanted.parents:
            return stage
    return None


def _outs(project: Path) -> Iterator[tuple[str, str]]:
    """Yield each stage with each path that it writes."""
    try:
        stages = yaml.safe_load((project / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
        params = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
        for name, stage in stages.items():
            if "foreach" in stage:
                items = _at(params, _REFERENCE.fullmatch(stage["foreach"])[1])  # type: ignore[index]
                for key, item in items.items():
                    yield from _outs_of(f"{name}@{key}", stage["do"], params | {"key": key, "item": item})
            else:
                yield from _outs_of(name, stage, params)
    except (OSError, yaml.YAMLError, LookupError, TypeError, AttributeError):
        return  # no project, or one that is being edited: the message then names no command


def _outs_of(name: str, stage: dict[str, Any], values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for kind in _WRITTEN:
        for out in stage.get(kind, ()):
            path = next(iter(out)) if isinstance(out, dict) else out
            yield name, _REFERENCE.sub(lambda found: str(_at(values, found[1])), path)


def _at(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values

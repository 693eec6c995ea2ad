"""Look up in ``dvc.yaml`` which stage writes a file, so that an error message can name the command that creates it.

No stage name appears in this module.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from triptych.errors import ArtifactError, UserError

_REFERENCE = re.compile(r"\$\{([\w.@-]+)\}")
_OUTPUT_KEYS = ("outs", "metrics", "plots")


def with_remedy(error: UserError, project: Path = Path()) -> str:
    """Return the message of an error; for an `ArtifactError`, with the commands that create or fetch the artifact.

    ``project`` is the folder with ``dvc.yaml``. Without that file, or if no stage writes the path, nothing is added.
    """
    stage = stage_of(error.path, project) if isinstance(error, ArtifactError) else None
    return f"{error}; `dvc repro {stage}` makes it, `dvc pull {stage}` fetches it" if stage else str(error)


def stage_of(path: Path, project: Path = Path()) -> str | None:
    """Return the stage that writes ``path``, as DVC addresses it (``train@round0``), or None."""
    resolved = path.resolve()
    for stage, out in _outs(project):
        out_path = (project / out).resolve()
        if resolved == out_path or out_path in resolved.parents:
            return stage
    return None


def _outs(project: Path) -> Iterator[tuple[str, str]]:
    """Yield (stage, path) for every path that a stage writes."""
    try:
        stages = yaml.safe_load((project / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
        params = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
        for name, stage in stages.items():
            if "foreach" in stage:
                items = _lookup(params, _REFERENCE.fullmatch(stage["foreach"])[1])  # type: ignore[index]
                for key, item in items.items():
                    yield from _outs_of(f"{name}@{key}", stage["do"], params | {"key": key, "item": item})
            else:
                yield from _outs_of(name, stage, params)
    except (OSError, yaml.YAMLError, LookupError, TypeError, AttributeError):
        return  # not a project, or one whose files are being edited: then the message names no command


def _outs_of(name: str, stage: dict[str, Any], values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for kind in _OUTPUT_KEYS:
        for out in stage.get(kind, ()):
            path = next(iter(out)) if isinstance(out, dict) else out
            yield name, _REFERENCE.sub(lambda match: str(_lookup(values, match[1])), path)


def _lookup(values: Any, key: str) -> Any:
    """Return the value under a dotted key."""
    for part in key.split("."):
        values = values[part]
    return values

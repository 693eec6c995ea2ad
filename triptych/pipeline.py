"""Look up in ``dvc.yaml`` which stage writes a file, so that an error message can name the command that creates it.

No stage name appears in this module.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from triptych.errors import ArtifactError, UserError, disk_message, out_of_memory_message

_REFERENCE = re.compile(r"\$\{([\w.@-]+)\}")
_OUTPUT_KEYS = ("outs", "metrics", "plots")


def with_remedy(error: UserError, project: Path = Path()) -> str:
    """Return the message of an error; for an `ArtifactError`, with the commands that create or fetch the artifact.

    ``project`` is the folder with ``dvc.yaml``. Without that file, or if no stage writes the path, nothing is added.
    """
    stage = stage_of(error.path, project) if isinstance(error, ArtifactError) else None
    return f"{error}; `dvc repro {stage}` makes it, `dvc pull {stage}` fetches it" if stage else str(error)


def message_of(error: Exception, project: Path = Path()) -> str | None:
    """Return what to print instead of a traceback: of a `UserError`, and where memory or a disk ran out; else None."""
    if isinstance(error, UserError):
        return with_remedy(error, project)
    return out_of_memory_message(error) or disk_message(error)


def stage_of(path: Path, project: Path = Path()) -> str | None:
    """Return the stage that writes ``path``, as DVC addresses it (``train@round0``), or None."""
    resolved = path.resolve()
    for stage, out in _outs(project):
        out_path = (project / out).resolve()
        if resolved == out_path or out_path in resolved.parents:
            return stage
    return None


def stage_entry(stage: str, project: Path = Path()) -> dict[str, list[str]]:
    """Return the ``deps`` and ``params`` of a stage as ``dvc.yaml`` names them, with values in place of references.

    Empty without such a stage.
    """
    for name, entry, values in _stages(project):
        if name == stage:
            kinds = (
                (kind, [one for one in entry.get(kind, ()) if isinstance(one, str)]) for kind in ("deps", "params")
            )
            return {kind: [_filled(one, values) for one in paths] for kind, paths in kinds}
    return {}


def _outs(project: Path) -> Iterator[tuple[str, str]]:
    """Yield (stage, path) for every path that a stage writes."""
    for name, entry, values in _stages(project):
        yield from _outs_of(name, entry, values)


def _stages(project: Path) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield each stage as DVC addresses it, its entry, and the values of its references."""
    try:
        stages = yaml.safe_load((project / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
        params = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
        for name, stage in stages.items():
            if "foreach" in stage:
                items = _lookup(params, _REFERENCE.fullmatch(stage["foreach"])[1])  # type: ignore[index]
                for key, item in items.items():
                    yield f"{name}@{key}", stage["do"], params | {"key": key, "item": item}
            else:
                yield name, stage, params
    except (OSError, yaml.YAMLError, LookupError, TypeError, AttributeError):
        return  # not a project, or one whose files are being edited: then the message names no command


def _outs_of(name: str, stage: dict[str, Any], values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for kind in _OUTPUT_KEYS:
        for out in stage.get(kind, ()):
            path = next(iter(out)) if isinstance(out, dict) else out
            yield name, _filled(path, values)


def _filled(text: str, values: dict[str, Any]) -> str:
    return _REFERENCE.sub(lambda match: str(_lookup(values, match[1])), text)


def _lookup(values: Any, key: str) -> Any:
    """Return the value under a dotted key."""
    for part in key.split("."):
        values = values[part]
    return values

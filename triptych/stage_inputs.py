"""What a stage reads under DVC: whether its bytes are those that were recorded, and whether it changes meanwhile.

DVC hashes a file again only if its size or time has changed, and records the inputs of a stage after the stage has run.
So it neither sees what a disk did to a file, nor that a file was edited while the stage read it: it would record the
result of the old text under the hash of the new one, and never make it again.
"""

import json
from collections.abc import Collection, Iterator
from configparser import ConfigParser
from configparser import Error as ConfigError
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from triptych.artifacts import dvc_hash
from triptych.errors import UserError
from triptych.pipeline import stage_entry

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # dvc.lock has thousands of lines


@contextmanager
def unchanged_inputs(stage: str, appended: Collection[str] = (), project: Path = Path()) -> Iterator[None]:
    """Raise `UserError` if an input of a stage is damaged, or is edited while the block runs.

    ``stage`` is named as DVC addresses it. ``appended`` are inputs to which the stage itself appends.
    """
    entry = stage_entry(stage, project)
    inputs = [path for path in entry.get("deps", ()) if path not in appended]
    _require_recorded(stage, inputs, project)
    before = _states(inputs, entry, project)
    yield
    after = _states(inputs, entry, project)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise UserError(
            f"{changed[0]}{more} changed while stage {stage} ran, so its result is of neither version and is not"
            " recorded; `dvc repro` runs it again"
        )


def _states(inputs: list[str], entry: dict[str, Any], project: Path) -> dict[str, object]:
    """Return size, time and inode of each file, and the value of each param, by name."""
    states: dict[str, object] = {}
    for name in inputs:
        root = project / name
        for path in [root, *root.rglob("*")] if root.is_dir() else [root]:
            try:
                status = path.stat()
            except OSError:
                continue
            if not path.is_dir():
                states[path.as_posix()] = status.st_size, status.st_mtime_ns, status.st_ino
    try:
        params = yaml.load((project / "params.yaml").read_text(encoding="utf-8"), _Loader)
    except (OSError, yaml.YAMLError):
        params = None  # it is being written: that is a change
    for key in entry.get("params", ()):
        value = params
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        states[f"params.yaml: {key}"] = json.dumps(value, sort_keys=True, default=str)
    return states


def _require_recorded(stage: str, inputs: list[str], project: Path) -> None:
    """Raise `UserError` if an output of another stage that this one reads is not what ``dvc.lock`` records."""
    try:
        lock = yaml.load((project / "dvc.lock").read_text(encoding="utf-8"), _Loader)
        outs = [(name, out) for name, one in lock["stages"].items() if name != stage for out in one.get("outs", ())]
    except (OSError, yaml.YAMLError, LookupError, TypeError, AttributeError):
        return  # nothing is recorded yet
    roots = [(project / one).absolute() for one in inputs]
    for writer, out in outs:
        path = project / out["path"]
        place = path.absolute()
        read = any(place.is_relative_to(root) or root.is_relative_to(place) for root in roots)
        if read and path.exists() and "md5" in out and (actual := dvc_hash(path)) != out["md5"]:
            raise UserError(
                f"{_damaged(path, out['md5'], project)}, though DVC takes it for what stage {writer} wrote: its hash is"
                f" {actual}, dvc.lock has {out['md5']}. If you changed it, `dvc commit {writer}` keeps it; else delete"
                f" {' and '.join(_copies(path, out['md5'], project))}, then run `dvc repro`"
            )


def _damaged(path: Path, recorded: str, project: Path) -> str:
    """Return a clause that names the damaged file, of a folder too if DVC still has its list."""
    names = [path / name for name, md5 in _listed(recorded, project).items() if _hash(path / name) != md5]
    return f"{(names or [path])[0].as_posix()} is damaged"


def _copies(path: Path, recorded: str, project: Path) -> list[str]:
    """Return the output and the files in DVC's cache from which DVC would bring the damage back."""
    cache = _cache(project)
    listed = _listed(recorded, project) if recorded.endswith(".dir") else {"": recorded}
    hashes = [recorded, *listed.values()] if recorded.endswith(".dir") else [recorded]
    objects = {one: cache / one[:2] / one[2:] for one in hashes}
    bad = [place.as_posix() for md5, place in objects.items() if place.exists() and _hash(place) != md5[:32]]
    return [path.as_posix(), *dict.fromkeys(bad)]


def _listed(recorded: str, project: Path) -> dict[str, str]:
    """Return the md5 of each file of a folder by its path in it, from DVC's cache; empty if it is not there."""
    try:
        text = (_cache(project) / recorded[:2] / recorded[2:]).read_text(encoding="utf-8")
        return {one["relpath"]: one["md5"] for one in json.loads(text)} if recorded.endswith(".dir") else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _hash(path: Path) -> str:
    return dvc_hash(path) if path.is_file() else ""


def _cache(project: Path) -> Path:
    """Return the folder of DVC's cached objects: that of the project, or the shared one that its config names."""
    config = ConfigParser(interpolation=None)
    with suppress(ConfigError):
        config.read([project / ".dvc/config", project / ".dvc/config.local"], encoding="utf-8")
    return project / ".dvc" / config.get("cache", "dir", fallback="cache") / "files" / "md5"

"""``params.yaml`` read and checked: every problem at once, each with its key, its value and the remedy."""

import logging
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from triptych.errors import UserError
from triptych.params.sections import Evaluate, Params, Rounds
from triptych.params.unknown_keys import nearest_key, repeated_keys

log = logging.getLogger(__name__)

RENAMED = {"train.stretch": "train.resample_every"}  # keys of earlier versions, which are still read


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check ``params.yaml``; raise one `UserError` that lists every problem with its key.

    A key that is left out has its default. A key of an earlier version is read under its new name, with a warning.
    """
    if not path.exists():
        raise UserError(f"{path} is missing; run from the root of the project")
    text = path.read_text(encoding="utf-8")
    try:
        raw = yaml.safe_load(text)
        problems = repeated_keys(text)
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise UserError(f"{path} must contain sections ({', '.join(Params.model_fields)}), it contains {raw!r:.40}")
    problems += _rename_keys(raw, path)
    round_problems = _round_problems(raw)
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        problems += [line for one in error.errors() for line in _problems(one)]
    problems += round_problems
    if problems:
        raise UserError("\n".join([f"{path}:", *(f"  {line}" for line in problems)]))
    return params


def _rename_keys(raw: dict[str, Any], path: Path) -> list[str]:
    """Rename in place the keys of earlier versions, with a warning each; return those given under both names."""
    problems = []
    for old, new in RENAMED.items():
        (old_section, old_name), (new_section, new_name) = old.rsplit(".", 1), new.rsplit(".", 1)
        before, after = _section_at(raw, old_section), _section_at(raw, new_section)
        if before is None or after is None or old_name not in before:
            continue
        if new_name in after:
            problems.append(f"{old}: is now named {new}, which is given too; remove {old}")
            del before[old_name]
        else:
            after[new_name] = before.pop(old_name)
            log.warning("%s: %s is now named %s; please rename it", path, old, new)
    return problems


def _section_at(raw: dict[str, Any], key: str) -> dict[str, Any] | None:
    """Return a section of the file; None where there is none."""
    section: Any = raw
    for name in key.split("."):
        section = section.get(name) if isinstance(section, dict) else None
    return section if isinstance(section, dict) else None


def _round_problems(raw: dict[str, Any]) -> list[str]:
    """Check what no section can check alone: that the rounds of train, mine and evaluate fit together."""
    train, mine = _previous_rounds(raw, "train"), _previous_rounds(raw, "mine")
    if train is None or mine is None:
        return []
    retriever = mine.pop("reranker", None)
    problems, known = [], ["base"]
    for name, previous in train.items():
        if previous != known[-1]:
            problems.append(f"rounds.train.{name}.previous: expected {known[-1]!r}, got {previous!r}")
        known.append(name)
    expected = {name: previous for name, previous in train.items() if previous != "base"}
    if mine != expected:
        problems.append(
            f"rounds.mine: must have reranker and the rounds of rounds.train but the first"
            f" ({', '.join(expected) or 'none'}), each with the same previous"
        )
    judged = (_section_at(raw, "evaluate") or {}).get("round", Evaluate.model_fields["round"].default)
    if isinstance(judged, str) and judged not in train:
        problems.append(f"evaluate.round: {judged!r} is not one of rounds.train ({', '.join(known[1:])})")
    if retriever != judged:
        problems.append(f"rounds.mine.reranker.previous: expected evaluate.round, {judged!r}, got {retriever!r}")
    return problems


def _previous_rounds(raw: dict[str, Any], stage: str) -> dict[str, str] | None:
    """Return each round of ``rounds.<stage>`` with the one it continues; None where the section reports a problem."""
    rounds = (_section_at(raw, "rounds") or {}).get(stage)
    if rounds is None:
        return {name: one.previous for name, one in getattr(Rounds(), stage).items()}
    try:
        return {str(name): str(entry["previous"]) for name, entry in rounds.items()}
    except (KeyError, TypeError, AttributeError):
        return None


# How pydantic names the member of a union in the location; no key begins like this.
_UNION_MEMBERS = ("literal[", "constrained-", "list[", "function-")


def _problems(error: Any) -> list[str]:
    """Turn one of pydantic's errors into lines that name the key, the value and the remedy."""
    key = ".".join(str(part) for part in error["loc"] if not str(part).startswith(_UNION_MEMBERS))
    kind, value = error["type"], error.get("input")
    if kind == "extra_forbidden":
        nearest = nearest_key(error["loc"])
        return [f"{key}: unknown key" + (f", did you mean {nearest!r}?" if nearest else "")]
    if kind == "missing":
        return [f"{key}: missing"]
    if kind == "model_type":
        return [f"{key}: must contain keys, got {value!r}"]
    if kind == "value_error":
        lines = str(error["ctx"]["error"]).splitlines()
        return [f"{key}: {line}" if key else line for line in lines]
    hint = ""
    if isinstance(value, str) and kind.startswith(("float", "int")):
        hint = " (write numbers without quotes and exponents with a point: 2.0e-4)"
    return [f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}, got {value!r}{hint}"]

"""``params.yaml`` read and checked: every problem at once, each with its key, its value and the remedy."""

import difflib
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from triptych.errors import UserError
from triptych.params.sections import Params


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check ``params.yaml``; raise one `UserError` that lists every problem with its key."""
    if not path.exists():
        raise UserError(f"{path} is missing; run from the root of the project")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise UserError(f"{path} must hold sections ({', '.join(Params.model_fields)}), it holds {raw!r:.40}")
    problems = _round_problems(raw)
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        problems = [line for one in error.errors() for line in _problems(one)] + problems
    if problems:
        raise UserError("\n".join([f"{path}:", *(f"  {line}" for line in problems)]))
    return params


def _round_problems(raw: Any) -> list[str]:
    """Check what no section can check alone: that the rounds of train, mine and evaluate fit together."""

    def rounds(stage: str) -> dict[str, str] | None:
        try:
            return {str(name): str(entry["previous"]) for name, entry in raw["rounds"][stage].items()}
        except (KeyError, TypeError, AttributeError):
            return None  # its own section reports what is wrong with it

    train, mine = rounds("train"), rounds("mine")
    if train is None or mine is None:
        return []
    retriever = mine.pop("reranker", None)
    problems, known = [], ["base"]
    for name, previous in train.items():
        if previous != known[-1]:
            problems.append(f"rounds.train.{name}.previous: expected {known[-1]!r}, got {previous!r}")
        known.append(name)
    wanted = {name: previous for name, previous in train.items() if previous != "base"}
    if mine != wanted:
        problems.append(
            f"rounds.mine: must repeat rounds.train without the first ({', '.join(wanted) or 'none'}), beside reranker"
        )
    judged = raw.get("evaluate", {}).get("round") if isinstance(raw.get("evaluate"), dict) else None
    if isinstance(judged, str) and judged not in train:
        problems.append(f"evaluate.round: {judged!r} is not one of rounds.train ({', '.join(known[1:])})")
    if retriever != judged:
        problems.append(f"rounds.mine.reranker.previous: expected evaluate.round, {judged!r}, got {retriever!r}")
    return problems


# pydantic names the member of a union in the location; no key of ours begins so.
_UNION_MEMBERS = ("literal[", "constrained-", "list[", "function-")


def _problems(error: Any) -> list[str]:
    """Turn one of pydantic's errors into lines that name the key, the value and the remedy."""
    key = ".".join(str(part) for part in error["loc"] if not str(part).startswith(_UNION_MEMBERS))
    kind, value = error["type"], error.get("input")
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(error["loc"][-1]), _siblings(error["loc"][:-1]), n=1)
        return [f"{key}: unknown key" + (f", did you mean {near[0]!r}?" if near else "")]
    if kind == "missing":
        return [f"{key}: missing"]
    if kind == "value_error":
        lines = str(error["ctx"]["error"]).splitlines()
        return [f"{key}: {line}" if key else line for line in lines]
    hint = ""
    if isinstance(value, str) and kind.startswith(("float", "int")):
        hint = " (write numbers without quotes and exponents with a point: 2.0e-4)"
    return [f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}, got {value!r}{hint}"]


def _siblings(location: tuple[Any, ...]) -> list[str]:
    """Return the keys that exist where an unknown one was found."""
    section: Any = Params
    for part in location:
        if isinstance(part, int):  # an item of a list
            section = get_args(section)[0]
        elif (field := getattr(section, "model_fields", {}).get(part)) is not None:
            section = field.annotation
    return list(getattr(section, "model_fields", {}))

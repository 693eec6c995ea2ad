"""What was decided, in words: for the embedder, and for whatever else was judged beside it."""

from dataclasses import dataclass
from typing import Any

from triptych.evaluation.comparison import ALL, Measures
from triptych.report.systems import system_name

_NAMES = {"late_interaction": "late interaction"}  # of parts of the verdict; others are called as they are


@dataclass(frozen=True, slots=True)
class Decision:
    """One thing that was judged, and the figures of all queries together."""

    name: str  # what was judged
    system: str  # as the systems of evaluate are called
    verdict: str  # promoted, kept, unproven
    advice: str  # what to do
    reasons: list[str]
    before: float | None  # the measure of the base model ...
    after: float | None  # ... and of the system; None where it was not measured
    difference: float
    low: float
    high: float


def decisions(verdict: dict[str, Any], measures: Measures) -> list[Decision]:
    """Return the decision on the embedder, then one for each part of the verdict that names a system of its own."""
    tuned = verdict["published"] == "tuned"
    advice = "Use the tuned embedder" if tuned else "Keep your base model"
    made = [_decision("The tuned embedder", "tuned", advice, verdict, verdict["measure"], measures[ALL])]
    for name, part in _parts(verdict).items():
        advice = f"{'Use' if _used(part) else 'Do without'} {_NAMES.get(name, f'the {name}')}"
        title = system_name(part["system"])
        made.append(_decision(title, part["system"], advice, part, verdict["measure"], measures[ALL]))
    return made


def deployed(verdict: dict[str, Any]) -> str:
    """Return the system that the verdict says to use; where that is the base model alone, what tuning gave."""
    used = [part["system"] for part in _parts(verdict).values() if _used(part)]
    return used[-1] if used else "tuned"


def headline(verdict: dict[str, Any]) -> str:
    """Return the verdict in one sentence, with its number and interval where there is proof of one."""
    advice = "Use the tuned embedder" if verdict["published"] == "tuned" else "Keep your base model"
    proof = "unproven, for " if verdict["verdict"] == "unproven" else ""
    return f"{advice}: {proof}{verdict['reason']}."


def _parts(verdict: dict[str, Any]) -> dict[str, dict[str, Any]]:
    needed = {"verdict", "system", "reasons", "difference", "low", "high"}
    return {name: part for name, part in verdict.items() if isinstance(part, dict) and needed <= part.keys()}


def _used(part: dict[str, Any]) -> bool:
    return bool(part.get("used", part["verdict"] == "promoted"))


def _decision(
    name: str, system: str, advice: str, part: dict[str, Any], measure: str, measured: dict[str, dict[str, float]]
) -> Decision:
    before, after = (measured[one][measure] if one in measured else None for one in ("base", system))
    figures = (part["difference"], part["low"], part["high"])
    return Decision(name, system, part["verdict"], advice, part["reasons"], before, after, *figures)

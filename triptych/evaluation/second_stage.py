"""The verdict on what orders hits anew: it must be better than base, and than the same search without it."""

from collections.abc import Sequence
from typing import Any

from triptych.evaluation.comparison import ALL, NamedInterval
from triptych.evaluation.verdict import Verdict


def no_place(*first_stage: tuple[bool, str]) -> str | None:
    """Return why there is nothing to order anew, whatever the figures say.

    ``first_stage`` tells of each part of what finds the hits whether it is there, and what it is.
    """
    return next((f"it orders what {what}" for there, what in first_stage if not there), None)


def told_of_reranker(
    verdict: Verdict, told: dict[str, Any], gain: Verdict, added: Sequence[NamedInterval], why_not: str | None
) -> dict[str, Any]:
    """Return what ``metrics/verdict.json`` says of late interaction or of a reranker.

    ``verdict`` and ``told`` are about search with it against the base model, ``gain`` and the intervals ``added``
    about the same search with and without it. Both verdicts must promote, and ``why_not`` must be None.
    """
    (overall,) = (one.interval for one in added if one.category == ALL)
    reasons = [f"beside the same search without it, {reason}" for reason in gain.reasons] + verdict.reasons
    decision, reason = verdict.decision, verdict.reason if verdict.decision != "promoted" else reasons[0]
    if gain.decision != "promoted":
        decision, reason = gain.decision, f"beside the same search without it, {gain.reason}"
    if why_not:
        decision, reason, reasons = "kept", why_not, [why_not, *reasons]
    return told | {
        "verdict": decision,
        "reason": reason,
        "reasons": reasons,
        "added": {"difference": overall.difference, "low": overall.low, "high": overall.high},
    }


def refused(why: str) -> dict[str, Any]:
    """Return what ``metrics/verdict.json`` says of a reranker that was not tried."""
    return {"verdict": "kept", "reason": why, "reasons": [why]}

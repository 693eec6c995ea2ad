"""The verdict: whether a system replaces its baseline, and the figures that decide it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from triptych.evaluation.comparison import ALL, NamedInterval
from triptych.evaluation.significance import ROUNDING, Interval, queries_needed
from triptych.params.sections import Promote

_NO_PROOF = "nobody asked the queries, they are made of the documentation's own words"
_DOUBT = ", but with Holm's correction for the systems compared p is {:.3f}"
_POWER = 0.8  # with which the queries that are asked for would show what they are asked for


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision, the one sentence that gives its reason, and all sentences with the figures it rests on."""

    decision: Literal["promoted", "kept", "unproven"]
    reason: str
    reasons: list[str]


def judge(found: Sequence[NamedInterval], params: Promote, confidence: float) -> Verdict:
    """Promote a system that is surely better overall and surely not worse than tolerated in any category.

    ``found`` are the intervals of one system in one measure, that of `ALL` among them. Two things must hold: the
    interval of all queries lies above zero, also after Holm's correction for the systems that were compared; and no
    category's interval reaches below ``-category_tolerance``. Since every category must pass, no correction is due
    among them (intersection-union test: Berger 1982). Pseudo-queries prove nothing, whatever the figures say.

    The first reason is about all queries; then comes one for each category that may fall too far, or one for the
    weakest where none does; then how many queries would settle what is open.
    """
    (overall,) = (one for one in found if one.category == ALL)
    categories = sorted((one for one in found if one.category != ALL), key=lambda one: one.category)
    open_ones = [one for one in categories if one.interval.low < -(params.category_tolerance + ROUNDING)]
    rises = overall.interval.low > ROUNDING
    holds = overall.p_holm < 1.0 - confidence
    reasons = [_overall_reason(overall, holds)]
    reasons += [_open_reason(one, params.category_tolerance) for one in open_ones]
    if categories and not open_ones:
        reasons.append(_weakest_reason(categories, params.category_tolerance))
    if "pseudo" in overall.kinds.split("+"):
        reason = _NO_PROOF
        if overall.interval.clusters > 1:
            number = max(queries_needed(overall.interval, params.worthwhile, confidence, _POWER), 1)
            reason += f"; about {number} test questions of your users would settle it"
        reason += ": `triptych label` collects them, split.queries takes them"
        return Verdict("unproven", reason, [reason, *reasons])
    if rises and holds and not open_ones:
        return Verdict("promoted", reasons[0], reasons)
    needed = [] if rises and holds else [_needed(overall, params.worthwhile, params, confidence)]
    needed += [_needed(one, params.worthwhile + params.category_tolerance, params, confidence) for one in open_ones]
    reason = reasons[1] if rises and holds else reasons[0]
    return Verdict("kept", reason, [*reasons, *filter(None, needed)])


def told_of(verdict: Verdict, found: Sequence[NamedInterval]) -> dict[str, Any]:
    """Return what ``metrics/verdict.json`` says of a system: the verdict, and the figures of all queries together."""
    (overall,) = (one for one in found if one.category == ALL)
    return {
        "verdict": verdict.decision,
        "reason": verdict.reason,
        "reasons": verdict.reasons,
        "kinds": overall.kinds,
        "difference": overall.interval.difference,
        "low": overall.interval.low,
        "high": overall.interval.high,
        "p_holm": overall.p_holm,
    }


def _needed(one: NamedInterval, distance: float, params: Promote, confidence: float) -> str:
    """Say how many queries would show a rise worth having, where these neither are enough nor exclude one."""
    if one.interval.clusters < 2 or one.interval.high < params.worthwhile:
        return ""
    number = queries_needed(one.interval, distance, confidence, _POWER)
    if number <= one.interval.queries:
        return ""
    name = "" if one.category == ALL else f" of {one.category}"
    return f"about {number} test queries{name} would settle whether it rises by {params.worthwhile:.3f} or more"


def _overall_reason(one: NamedInterval, holds: bool) -> str:
    sentence = f"{one.measure} {_told(one.interval)}"
    if one.interval.low > ROUNDING:
        return sentence if holds else sentence + _DOUBT.format(one.p_holm)
    return sentence + (", and the interval includes zero" if one.interval.high >= -ROUNDING else "")


def _open_reason(one: NamedInterval, tolerance: float) -> str:
    if one.interval.clusters < 2:
        return f"{one.category} cannot be judged: its {_queries(one.interval)} are about one document"
    low, places = one.interval.low, _places(-one.interval.low, tolerance)
    return (
        f"{one.category} may fall by {-low:.{places}f}, more than the tolerated {tolerance:.{places}f}:"
        f" it {_told(one.interval)}"
    )


def _weakest_reason(categories: list[NamedInterval], tolerance: float) -> str:
    weakest = min(categories, key=lambda one: (one.interval.low, one.category))
    sentence = f"no category falls by more than the tolerated {tolerance:.3f}"
    return f"{sentence}; the weakest, {weakest.category}, {_told(weakest.interval)}"


def _told(interval: Interval) -> str:
    places = _places(interval.low, 0.0)
    if abs(interval.difference) <= ROUNDING:
        change = "stays the same"
    else:
        change = f"{'rises' if interval.difference > 0.0 else 'falls'} by {abs(interval.difference):.{places}f}"
    return f"{change} [{interval.low:.{places}f}, {interval.high:.{places}f}] over {_queries(interval)}"


def _queries(interval: Interval) -> str:
    return f"{interval.queries} {'query' if interval.queries == 1 else 'queries'}"


def _places(first: float, second: float) -> int:
    """Return the decimal places at which two figures read differently: three, else six as in ``metrics/``."""
    same = abs(first - second) <= ROUNDING
    return 3 if same or f"{abs(first):.3f}" != f"{abs(second):.3f}" else 6

"""The verdict: whether a system replaces its baseline, and the figures that decide it."""

from dataclasses import dataclass
from typing import Literal

from triptych.evaluation.significance import Interval

# Sums of measures carry rounding errors of about 1e-16; neither a gain nor a fall is made of them.
_ROUNDING = 1e-9
_NO_PROOF = "nobody asked the queries, they are made of the documentation's own words; bring questions (split.queries)"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision and, in sentences with figures, what it rests on."""

    decision: Literal["promoted", "kept", "unproven"]
    reasons: list[str]


def judge(
    overall: Interval, by_category: dict[str, Interval], tolerance: float, measure: str, kinds: str = ""
) -> Verdict:
    """Promote a system whose interval lies above zero and of which no category falls beyond ``tolerance``.

    Each `Interval` is system minus baseline of ``measure``. The first reason is about all queries; then
    comes one for each category that falls too far, by name, or one for the weakest category where none
    does. ``kinds`` are those of the queries: pseudo-queries prove nothing, whatever the figures say.
    Raise ValueError on a negative tolerance.
    """
    if tolerance < 0.0:
        raise ValueError(f"tolerance must not be negative, got {tolerance}")
    rises = overall.low > _ROUNDING
    fallen = {
        category: -interval.difference
        for category, interval in sorted(by_category.items())
        if interval.difference < -(tolerance + _ROUNDING)
    }
    reasons = [_overall_reason(overall, measure)]
    reasons += [_fall_reason(category, fall, tolerance) for category, fall in fallen.items()]
    if by_category and not fallen:
        reasons.append(_weakest_reason(by_category, tolerance))
    if "pseudo" in kinds.split("+"):
        return Verdict("unproven", [_NO_PROOF, *reasons])
    return Verdict("promoted" if rises and not fallen else "kept", reasons)


def _overall_reason(interval: Interval, measure: str) -> str:
    places = _places(interval.low, 0.0)
    bounds = f"[{interval.low:.{places}f}, {interval.high:.{places}f}]"
    sentence = f"{measure} {_change(interval.difference, places)} {bounds} over {_queries(interval)}"
    if interval.low > _ROUNDING:
        return sentence
    return sentence + (", and the interval includes zero" if interval.high >= -_ROUNDING else "")


def _fall_reason(category: str, fall: float, tolerance: float) -> str:
    places = _places(fall, tolerance)
    return f"{category} falls by {fall:.{places}f}, more than the tolerated {tolerance:.{places}f}"


def _weakest_reason(by_category: dict[str, Interval], tolerance: float) -> str:
    category = min(by_category, key=lambda name: (by_category[name].difference, name))
    interval = by_category[category]
    change = _change(interval.difference, _places(interval.difference, 0.0))
    sentence = f"no category falls by more than the tolerated {tolerance:.3f}"
    return f"{sentence}; the weakest, {category}, {change} over {_queries(interval)}"


def _change(difference: float, places: int) -> str:
    if abs(difference) <= _ROUNDING:
        return "stays the same"
    return f"{'rises' if difference > 0.0 else 'falls'} by {abs(difference):.{places}f}"


def _queries(interval: Interval) -> str:
    return f"{interval.queries} {'query' if interval.queries == 1 else 'queries'}"


def _places(first: float, second: float) -> int:
    """Return the decimal places at which two figures read differently: three, else six as in ``metrics/``."""
    same = abs(first - second) <= _ROUNDING
    return 3 if same or f"{abs(first):.3f}" != f"{abs(second):.3f}" else 6

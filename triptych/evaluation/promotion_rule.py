"""The rule that decides: a system replaces its baseline only if it is surely better and no category surely worse.

The baseline is the best search that needs no training. A gain counts on kinds of query that training did not learn;
only where the test set has too few of these, all test queries decide, and the verdict is marked.
"""

from collections.abc import Sequence

from triptych.corpus.records import ALL, FEWEST_DOCUMENTS, MADE_KINDS, SMALL_CATEGORIES
from triptych.evaluation.comparison import UNTAUGHT, NamedInterval
from triptych.evaluation.significance import ROUNDING, Interval, queries_needed
from triptych.evaluation.verdict import Difference, Verdict
from triptych.params.sections import Promote

_NO_PROOF = "nobody asked the queries, they are made of the documentation's own words"
_TOO_FEW = "{} in test can prove nothing"
_NOT_SIGNIFICANT = ", but with Holm's correction for the systems compared p is {:.3f}"
_POWER = 0.8  # of the test for which the number of queries is computed


def decide_system(intervals: Sequence[NamedInterval], params: Promote, confidence: float) -> Verdict:
    """Promote a system that is surely better overall and surely not worse than tolerated in any category.

    ``intervals`` are those of one system in one metric, that of `ALL` among them. Three conditions must hold: the
    interval of the queries that decide lies above zero, also after Holm's correction for the systems that were
    compared; no category's interval reaches below ``-category_tolerance``; and the interval of no kind of query, and of
    no category's kinds that were not taught, lies wholly below zero. Since every category must pass, no correction is
    due among them (intersection-union test: Berger 1982). Queries that nobody asked, and fewer than ``min_queries``,
    prove nothing, whatever the metrics are. About small categories that are judged together no claim is made.

    The queries of kinds that were not taught decide, where they are enough to be judged alone; else all do.

    The first reason is about the queries that decide; then comes one for each category that may fall too far and each
    kind that surely falls, or one for the weakest where none does; then how many queries would settle what is open.
    """
    decisive = decisive_interval(intervals, params)
    of_all_kinds = [one for one in intervals if one.kind == ALL]
    overall = next(one for one in of_all_kinds if one.category == ALL)
    small = [one for one in of_all_kinds if one.category == SMALL_CATEGORIES]
    others = (one for one in of_all_kinds if one.category not in (ALL, SMALL_CATEGORIES))
    categories = sorted(others, key=lambda one: one.category)
    open_categories = [one for one in categories if one.interval.low < -(params.category_tolerance + ROUNDING)]
    kinds = [one for one in intervals if one.kind not in (ALL, UNTAUGHT, *MADE_KINDS) and enough_alone(one, params)]
    parts = [one for one in intervals if one.kind == UNTAUGHT and one.category != ALL and enough_alone(one, params)]
    falling = [one for one in (*kinds, *parts) if one.interval.high < -ROUNDING and one.interval != decisive.interval]
    significant = decisive.p_holm < 1.0 - confidence
    better = significant and decisive.interval.low > ROUNDING
    reasons = [_decisive_reason(decisive, significant)]
    reasons += [_open_reason(one, params.category_tolerance) for one in open_categories]
    reasons += [_falling_reason(one) for one in falling]
    single = len(categories) == 1 and categories[0].interval == overall.interval  # all queries, under another name
    if categories and not open_categories and not single:
        reasons.append(_weakest_reason(categories, params.category_tolerance))
    if len(kinds) > 1 and not falling:
        weakest = min(kinds, key=lambda one: (one.interval.low, one.kind))
        reasons.append(f"no kind of question surely falls; the weakest, {weakest.kind}, {change_of(weakest.interval)}")
    reasons += [f"no claim is made about {SMALL_CATEGORIES}: {one.measure} {change_of(one.interval)}" for one in small]
    few = decisive.interval.queries < params.min_queries and decisive.interval.high >= -ROUNDING
    pseudo = not {*MADE_KINDS}.isdisjoint(decisive.kinds.split("+"))
    if few or pseudo:
        reason = _NO_PROOF if pseudo else _TOO_FEW.format(_queries(decisive.interval))
        number = params.min_queries
        if decisive.interval.clusters > 1:
            number = max(queries_needed(decisive.interval, params.worthwhile, confidence, _POWER), number)
        enough = f"about {number}" if number > params.min_queries else f"at least {number}"
        reason += f"; {enough} test questions of your users would settle it"
        reason += f": `triptych label` collects {'them' if pseudo else 'more'}, split.queries takes them"
        return Verdict(decision="unproven", reason=reason, reasons=[reason, *reasons])
    if better and not open_categories and not falling:
        return Verdict(decision="promoted", reason=reasons[0], reasons=reasons)
    needed = [] if better else [_needed(decisive, params.worthwhile, params, confidence)]
    needed += [
        _needed(one, params.worthwhile + params.category_tolerance, params, confidence) for one in open_categories
    ]
    reason = reasons[1] if better else reasons[0]
    return Verdict(decision="kept", reason=reason, reasons=[*reasons, *filter(None, needed)])


def decisive_interval(intervals: Sequence[NamedInterval], params: Promote) -> NamedInterval:
    """Return the interval that decides: that of the kinds that were not taught, or of all where these are too few."""
    overall = {one.kind: one for one in intervals if one.category == ALL}
    untaught = overall.get(UNTAUGHT)
    return untaught if untaught is not None and enough_alone(untaught, params) else overall[ALL]


def difference_of(interval: Interval) -> Difference:
    """Return an interval as the verdict records it."""
    return Difference(interval.difference, interval.low, interval.high)


def enough_alone(one: NamedInterval, params: Promote) -> bool:
    """Return whether a kind has enough queries, about enough documents, to be judged alone."""
    enough = one.interval.queries >= params.min_queries
    return enough and one.interval.clusters >= min(FEWEST_DOCUMENTS, params.min_queries)


def _needed(one: NamedInterval, distance: float, params: Promote, confidence: float) -> str:
    """Return how many queries would show a worthwhile rise; empty where there are enough or it is excluded."""
    if one.interval.clusters < 2 or one.interval.high < params.worthwhile:
        return ""
    number = queries_needed(one.interval, distance, confidence, _POWER)
    if number <= one.interval.queries:
        return ""
    name = "" if one.category == ALL else f" of {one.category}"
    return f"about {number} test queries{name} would settle whether it rises by {params.worthwhile:.3f} or more"


def _decisive_reason(one: NamedInterval, significant: bool) -> str:
    sentence = f"{one.measure} {change_of(one.interval)}{of_untaught(one)}"
    if one.interval.low > ROUNDING:
        return sentence if significant else sentence + _NOT_SIGNIFICANT.format(one.p_holm)
    return sentence + (", and the interval includes zero" if one.interval.high >= -ROUNDING else "")


def of_untaught(one: NamedInterval) -> str:
    """Name the kinds that were not taught, where these decide; else empty."""
    if one.kind != UNTAUGHT:
        return ""
    kinds = one.kinds.split("+")
    return f" of {'kinds that were' if len(kinds) > 1 else 'a kind that was'} not taught ({', '.join(kinds)})"


def _open_reason(one: NamedInterval, tolerance: float) -> str:
    if one.interval.clusters < 2:
        verb = "is" if one.interval.queries == 1 else "are"
        return f"{one.category} cannot be judged: its {_queries(one.interval)} {verb} about one document"
    decimals = max(_decimals(-one.interval.low, tolerance), _decimals(one.interval.low, 0.0))
    sentence = f"{one.category}: {one.measure} {change_of(one.interval, decimals)}"
    if one.interval.high < -(tolerance + ROUNDING):
        return f"{sentence}, more than the tolerated {tolerance:.{decimals}f}"
    return f"{sentence}, which does not exclude a fall of more than the tolerated {tolerance:.{decimals}f}"


def _falling_reason(one: NamedInterval) -> str:
    name = f"kind {one.kind}" if one.category == ALL else f"{one.category}, {one.kinds.replace('+', ', ')}"
    return f"{name}: {one.measure} {change_of(one.interval)}, which is a sure fall"


def _weakest_reason(categories: list[NamedInterval], tolerance: float) -> str:
    weakest = min(categories, key=lambda one: (one.interval.low, one.category))
    sentence = f"no category falls by more than the tolerated {tolerance:.3f}"
    return f"{sentence}; the weakest, {weakest.category}, {change_of(weakest.interval)}"


def change_of(interval: Interval, decimals: int | None = None) -> str:
    """Say by how much a metric rises or falls, with its interval, over how many queries."""
    decimals = decimals or _decimals(interval.low, 0.0)
    if abs(interval.difference) <= ROUNDING:
        change = "stays the same"
    else:
        change = f"{'rises' if interval.difference > 0.0 else 'falls'} by {abs(interval.difference):.{decimals}f}"
    return f"{change} [{interval.low:.{decimals}f}, {interval.high:.{decimals}f}] over {_queries(interval)}"


def _queries(interval: Interval) -> str:
    return f"{interval.queries} {'query' if interval.queries == 1 else 'queries'}"


def _decimals(first: float, second: float) -> int:
    """Return the decimals at which two numbers read differently: three, else six as in ``metrics/``."""
    same = abs(first - second) <= ROUNDING
    return 3 if same or f"{abs(first):.3f}" != f"{abs(second):.3f}" else 6

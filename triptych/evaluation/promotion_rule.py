"""The rule that decides: a system replaces its baseline only if it is surely better and no category surely worse.

The baseline is the best search that needs no training. A gain counts on kinds of query that training did not learn;
only where the test set has too few of these, all test queries decide, and the verdict is marked.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from triptych.corpus.records import ALL, FEWEST_DOCUMENTS, MADE_KINDS, SMALL_CATEGORIES
from triptych.evaluation.against_previous import LAST_EXAM, NEW_QUESTIONS, PREVIOUS_HYBRID, of_exam
from triptych.evaluation.chosen_on_dev import ChosenOnDev, RerankingChoice
from triptych.evaluation.comparison import UNTAUGHT, NamedInterval
from triptych.evaluation.significance import ROUNDING, Interval, queries_needed
from triptych.evaluation.verdict import (
    AgainstFree,
    Basis,
    Difference,
    FreeBaseline,
    PreviousVerdict,
    RerankingVerdict,
    SystemVerdict,
    Verdict,
    Verdicts,
)
from triptych.params.sections import Promote

_NO_PROOF = "nobody asked the queries, they are made of the documentation's own words"
_TOO_FEW = "{} in test can prove nothing"
_NOT_SIGNIFICANT = ", but with Holm's correction for the systems compared p is {:.3f}"
_UNCHANGED = "no training improved on the base model on dev, so there is no other embedder to judge"
_FREE = {
    "bm25": "BM25 alone",
    "base_cut": "the base model's vectors of the passages' beginnings",
    "base_unasked": "the base model's vectors without written questions",
    "base_hybrid_unasked": "both without written questions",
    "base": "the base model's vectors alone",
    "base_hybrid": "both",
    "base_late": "both, reranked by late interaction",
}
_POWER = 0.8  # of the test for which the number of queries is computed


def decide(
    intervals: Sequence[NamedInterval],
    added: Sequence[NamedInterval],
    chosen: ChosenOnDev,
    params: Promote,
    confidence: float,
    no_reranker: str = "train_reranker.steps is 0",
    taught: Collection[str] = (),
) -> Verdicts:
    """Decide on the tuned embedder, then on what reranks its hits, or those of the base model where that is kept.

    ``intervals`` compare each system with the best that needs no training, ``chosen.free``; ``added`` compare steps of
    a search with the same search without them. The search with the tuned embedder must beat that without training, or
    the latter is published. Late interaction is used where it pays by itself, or where the reranker after it does.
    ``no_reranker`` is the reason where none was trained; ``taught`` are the kinds of query that training learned.
    """
    results = _Results(intervals, added, chosen, params, confidence)
    late_is_free = chosen.free.system == "base_late"
    embedder = results.embedder("tuned_late" if late_is_free and chosen.rerankings["tuned_late"].weight else None)
    embedder, previous = results.against_previous(embedder)
    published = "tuned" if embedder.used else "previous" if previous and previous.published else "base"
    fusion = chosen.fusions[f"{published}_hybrid"]
    late_system = f"{published}_late"
    if published == "previous":
        late = _not_compared(late_system, "it was not measured with the embedder that was published before", None)
    elif late_system in (chosen.free.system, embedder.system):
        late = results.part_of_baseline(late_system)
    else:
        late = results.second_stage(late_system, f"{published}_hybrid", None)
    # The reranker comes after late interaction. Where that alone does not pay, both are judged together.
    without = "tuned_late" if embedder.used and late.used else "tuned_hybrid"
    reranker = _not_compared("reranked", f"none was trained: {no_reranker}", None)
    if "reranked" in chosen.rerankings:
        no_tuned = None if embedder.used else "it orders what the tuned embedder finds, which is not published"
        reranker = results.second_stage("reranked", without, no_tuned)
    if reranker.used and not late.used and chosen.rerankings[late.system].weight:
        reason = "the reranker orders what it has ordered, and together they are judged better"
        late = replace(late, decision="promoted", used=True, reason=reason, reasons=[reason, *late.reasons])
    free = results.free()
    basis: Basis = "taught" if taught and results.decisive(embedder.system).kind != UNTAUGHT else "untaught"
    return Verdicts(
        measure=params.measure,
        strength=chosen.strength,
        free=free,
        windows=chosen.windows,
        questions=chosen.questions,
        embedder=embedder,
        fusion=fusion,
        late_interaction=late,
        reranker=reranker,
        taught=sorted(taught),
        basis=basis,
        sides=chosen.sides,
        previous=previous,
    )


@dataclass(frozen=True, slots=True)
class _Results:
    """The results of a run, and the verdicts that follow from them."""

    intervals: Sequence[NamedInterval]
    added: Sequence[NamedInterval]
    chosen: ChosenOnDev
    params: Promote
    confidence: float

    def free(self) -> FreeBaseline:
        free = self.chosen.free
        fusion = self.chosen.fusions["base_hybrid"]
        values = ", ".join(f"{_FREE[name]} {value:.3f}" for name, value in free.dev.items())
        on_dev = f"; {self.params.measure} on {free.dev_queries} dev queries: {values}" if values else ""
        vectors = "vectors of windows" if self.chosen.windows else "vectors"
        questions = ", both over passages and written questions" if self.chosen.questions else ""
        reason = f"the base model's {vectors} with BM25, {fusion}{questions}{on_dev}"
        hybrid = self._added("base_hybrid", "base")
        difference = _difference(_decisive(hybrid, self.params).interval) if hybrid else None
        return FreeBaseline(system=free.system, reason=reason, added=difference)

    def embedder(self, with_late: str | None) -> SystemVerdict:
        """Judge the search with the tuned embedder: its hybrid, or ``with_late`` where late interaction is free."""
        system = with_late or "tuned_hybrid"
        verdict, against_free = self._against_free(system)
        decision, reasons = verdict.decision, verdict.reasons
        changed = self.chosen.strength > 0  # else it is the base model: there is nothing to promote
        if not changed:
            verdict = (
                _kept(_UNCHANGED) if decision != "unproven" else replace(verdict, reasons=[verdict.reason, _UNCHANGED])
            )
            decision, reasons = verdict.decision, verdict.reasons
        elif added := self._added("tuned", "base"):
            alone = _decisive(added, self.params)
            change = f"{alone.measure} {_change(alone.interval)}{_of_untaught(alone)}"
            reasons = [*reasons, f"by its vectors alone, against those of the base model, {change}"]
        used = decision == "promoted" or (changed and decision == "unproven" and self.params.unproven == "tuned")
        return SystemVerdict(
            system=system,
            decision=decision,
            reason=verdict.reason,
            reasons=reasons,
            used=used,
            against_free=against_free,
        )

    def against_previous(self, embedder: SystemVerdict) -> tuple[SystemVerdict, PreviousVerdict | None]:
        """Judge what the last publication had won; None where none was before.

        The new embedder is not published where it surely falls on the last exam, over all, in a category or for a kind
        of question. Where it is not, the embedder of the last publication is, if it is surely better than what is free
        on the documentation of today, by the same rule.
        """
        params = self.params
        exams = {exam: of_exam(self.added, exam, params.measure) for exam in (LAST_EXAM, NEW_QUESTIONS)}
        if not any(exams.values()):
            return embedder, None
        falling = [one for one in exams[LAST_EXAM] if _alone(one, params) and one.interval.high < -ROUNDING]
        reasons = [_exam_reason(one) for of in exams.values() for one in of if one.kind in exams]
        if falling:
            reason = f"what was won is not kept: {_exam_reason(falling[0])}, which is a sure fall"
            reasons += [f"{_exam_reason(one)}, which is a sure fall" for one in falling if one.kind not in exams]
            if embedder.used:
                embedder = replace(
                    embedder, decision="kept", used=False, reason=reason, reasons=[reason, *embedder.reasons]
                )
        published = False
        if not embedder.used and PREVIOUS_HYBRID in self.chosen.fusions:
            before, _ = self._against_free(PREVIOUS_HYBRID)
            published = before.decision == "promoted"
            reasons.append(
                f"the embedder that was published before, against the best search without training: {before.reason}"
            )
        differences = {
            exam: next((_difference(one.interval) for one in of if (one.category, one.kind) == (ALL, exam)), None)
            for exam, of in exams.items()
        }
        return embedder, PreviousVerdict(
            kept=not falling,
            published=published,
            reasons=reasons,
            last_exam=differences[LAST_EXAM],
            new_questions=differences[NEW_QUESTIONS],
        )

    def part_of_baseline(self, system: str) -> RerankingVerdict:
        """Return the verdict on late interaction where the free search has it: what was judged includes it."""
        verdict = _not_compared(system, "the best search without training has it", self.chosen.rerankings[system])
        return replace(verdict, decision="promoted", used=True)

    def second_stage(self, system: str, without: str, missing_first_stage: str | None) -> RerankingVerdict:
        """Judge what reranks: against what is free, and against ``without``, the same search without it.

        Both verdicts must promote, and there must be a first stage to rerank: ``missing_first_stage`` is None.
        """
        reranking = self.chosen.rerankings[system]
        if not reranking.weight:
            return _not_compared(
                system, "dev prefers the order as it is, or has too few queries to choose by", reranking
            )
        verdict, against_free = self._against_free(system)
        added = self._added(system, without)
        gain = decide_system(added, self.params, self.confidence)
        reasons = [f"beside the same search without it, {reason}" for reason in gain.reasons]
        decision, reason = gain.decision, reasons[0]
        if gain.decision != "promoted":
            reason = f"beside the same search without it, {gain.reason}"
        elif verdict.decision != "promoted":
            decision, reason = verdict.decision, verdict.reason
        if without != self.chosen.free.system:  # else both compare the same
            reasons += verdict.reasons
        if missing_first_stage:
            decision, reason, reasons = "kept", missing_first_stage, [missing_first_stage, *reasons]
        return RerankingVerdict(
            system=system,
            decision=decision,
            reason=reason,
            reasons=reasons,
            used=decision == "promoted",
            against_free=against_free,
            reranking=reranking,
            added=_difference(_decisive(added, self.params).interval),
        )

    def decisive(self, system: str) -> NamedInterval:
        """Return the difference to what is free that decides on a system."""
        return _decisive([one for one in self._of_measure(self.intervals) if one.system == system], self.params)

    def _against_free(self, system: str) -> tuple[Verdict, AgainstFree]:
        intervals = [one for one in self._of_measure(self.intervals) if one.system == system]
        one = _decisive(intervals, self.params)
        interval = one.interval
        against_free = AgainstFree(interval.difference, interval.low, interval.high, one.kinds, one.p_holm)
        return decide_system(intervals, self.params, self.confidence), against_free

    def _added(self, system: str, without: str) -> list[NamedInterval]:
        return [one for one in self._of_measure(self.added) if (one.system, one.baseline) == (system, without)]

    def _of_measure(self, intervals: Sequence[NamedInterval]) -> list[NamedInterval]:
        return [one for one in intervals if one.measure == self.params.measure]


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
    decisive = _decisive(intervals, params)
    of_all_kinds = [one for one in intervals if one.kind == ALL]
    overall = next(one for one in of_all_kinds if one.category == ALL)
    small = [one for one in of_all_kinds if one.category == SMALL_CATEGORIES]
    others = (one for one in of_all_kinds if one.category not in (ALL, SMALL_CATEGORIES))
    categories = sorted(others, key=lambda one: one.category)
    open_categories = [one for one in categories if one.interval.low < -(params.category_tolerance + ROUNDING)]
    kinds = [one for one in intervals if one.kind not in (ALL, UNTAUGHT, *MADE_KINDS) and _alone(one, params)]
    parts = [one for one in intervals if one.kind == UNTAUGHT and one.category != ALL and _alone(one, params)]
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
        reasons.append(f"no kind of question surely falls; the weakest, {weakest.kind}, {_change(weakest.interval)}")
    reasons += [f"no claim is made about {SMALL_CATEGORIES}: {one.measure} {_change(one.interval)}" for one in small]
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


def _difference(interval: Interval) -> Difference:
    return Difference(interval.difference, interval.low, interval.high)


def _decisive(intervals: Sequence[NamedInterval], params: Promote) -> NamedInterval:
    """Return the interval that decides: that of the kinds that were not taught, or of all where these are too few."""
    overall = {one.kind: one for one in intervals if one.category == ALL}
    untaught = overall.get(UNTAUGHT)
    return untaught if untaught is not None and _alone(untaught, params) else overall[ALL]


def _alone(one: NamedInterval, params: Promote) -> bool:
    """Return whether a kind has enough queries, about enough documents, to be judged alone."""
    enough = one.interval.queries >= params.min_queries
    return enough and one.interval.clusters >= min(FEWEST_DOCUMENTS, params.min_queries)


def _kept(reason: str) -> Verdict:
    return Verdict(decision="kept", reason=reason, reasons=[reason])


def _not_compared(system: str, reason: str, reranking: RerankingChoice | None) -> RerankingVerdict:
    return RerankingVerdict(
        system=system,
        decision="kept",
        reason=reason,
        reasons=[reason],
        used=False,
        against_free=None,
        reranking=reranking,
        added=None,
    )


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
    sentence = f"{one.measure} {_change(one.interval)}{_of_untaught(one)}"
    if one.interval.low > ROUNDING:
        return sentence if significant else sentence + _NOT_SIGNIFICANT.format(one.p_holm)
    return sentence + (", and the interval includes zero" if one.interval.high >= -ROUNDING else "")


def _of_untaught(one: NamedInterval) -> str:
    if one.kind != UNTAUGHT:
        return ""
    kinds = one.kinds.split("+")
    return f" of {'kinds that were' if len(kinds) > 1 else 'a kind that was'} not taught ({', '.join(kinds)})"


def _open_reason(one: NamedInterval, tolerance: float) -> str:
    if one.interval.clusters < 2:
        verb = "is" if one.interval.queries == 1 else "are"
        return f"{one.category} cannot be judged: its {_queries(one.interval)} {verb} about one document"
    decimals = max(_decimals(-one.interval.low, tolerance), _decimals(one.interval.low, 0.0))
    sentence = f"{one.category}: {one.measure} {_change(one.interval, decimals)}"
    if one.interval.high < -(tolerance + ROUNDING):
        return f"{sentence}, more than the tolerated {tolerance:.{decimals}f}"
    return f"{sentence}, which does not exclude a fall of more than the tolerated {tolerance:.{decimals}f}"


def _falling_reason(one: NamedInterval) -> str:
    name = f"kind {one.kind}" if one.category == ALL else f"{one.category}, {one.kinds.replace('+', ', ')}"
    return f"{name}: {one.measure} {_change(one.interval)}, which is a sure fall"


def _exam_reason(one: NamedInterval) -> str:
    exam = LAST_EXAM if one.kind.startswith(LAST_EXAM) else NEW_QUESTIONS
    where = [name for name in (one.category, one.kind.removeprefix(exam).strip()) if name not in (ALL, "")]
    part = f", {', '.join(where)}" if where else ""
    return f"{exam.strip('()')}{part}: {one.measure} {_change(one.interval)} against what was published before"


def _weakest_reason(categories: list[NamedInterval], tolerance: float) -> str:
    weakest = min(categories, key=lambda one: (one.interval.low, one.category))
    sentence = f"no category falls by more than the tolerated {tolerance:.3f}"
    return f"{sentence}; the weakest, {weakest.category}, {_change(weakest.interval)}"


def _change(interval: Interval, decimals: int | None = None) -> str:
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

"""The decisions of a run: which embedder is published, and whether late interaction and a reranker follow it.

Each rests on `triptych.evaluation.promotion_rule`. The baseline is the best search that needs no training.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from triptych.evaluation.against_previous import PREVIOUS_HYBRID, judge_exams
from triptych.evaluation.chosen_on_dev import ChosenOnDev, RerankingChoice
from triptych.evaluation.comparison import UNTAUGHT, NamedInterval
from triptych.evaluation.promotion_rule import (
    change_of,
    decide_system,
    decisive_interval,
    difference_of,
    of_untaught,
)
from triptych.evaluation.verdict import (
    AgainstFree,
    Basis,
    FreeBaseline,
    PreviousVerdict,
    RerankingVerdict,
    SystemVerdict,
    Verdict,
    Verdicts,
)
from triptych.params.sections import Promote

TUNED_QUERIES_HYBRID = "tuned_queries_hybrid"
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
        difference = difference_of(decisive_interval(hybrid, self.params).interval) if hybrid else None
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
            alone = decisive_interval(added, self.params)
            change = f"{alone.measure} {change_of(alone.interval)}{of_untaught(alone)}"
            reasons = [*reasons, f"by its vectors alone, against those of the base model, {change}"]
            reasons += self._over_an_index_that_stays()
        used = decision == "promoted" or (changed and decision == "unproven" and self.params.unproven == "tuned")
        return SystemVerdict(
            system=system,
            decision=decision,
            reason=verdict.reason,
            reasons=reasons,
            used=used,
            against_free=against_free,
        )

    def _over_an_index_that_stays(self) -> list[str]:
        """Say what the tuned embedder gives for queries alone, and what encoding the passages with it adds."""
        alone = [one for one in self._of_measure(self.intervals) if one.system == TUNED_QUERIES_HYBRID]
        added = self._added("tuned_hybrid", TUNED_QUERIES_HYBRID)
        if not alone or not added:
            return []
        without, more = (decisive_interval(one, self.params) for one in (alone, added))
        return [
            f"for queries alone, over the base model's vectors of passages with BM25, so that an index stays as it is,"
            f" {without.measure} {change_of(without.interval)}{of_untaught(without)}; encoding the passages again adds"
            f" {more.interval.difference:+.3f} [{more.interval.low:.3f}, {more.interval.high:.3f}]"
        ]

    def against_previous(self, embedder: SystemVerdict) -> tuple[SystemVerdict, PreviousVerdict | None]:
        """Judge what the last publication had won; None where none was before.

        The new embedder is not published where it surely falls on the last exam, over all, in a category or for a kind
        of question. Where it is not, the embedder of the last publication is, if it is surely better than what is free
        on the documentation of today, by the same rule.
        """
        exams = judge_exams(self.added, self.params)
        if exams is None:
            return embedder, None
        if embedder.used and not exams.kept:
            reasons = [exams.reason, *embedder.reasons]
            embedder = replace(embedder, decision="kept", used=False, reason=exams.reason, reasons=reasons)
        reasons, published = exams.reasons, False
        if not embedder.used and PREVIOUS_HYBRID in self.chosen.fusions:
            before, _ = self._against_free(PREVIOUS_HYBRID)
            published = before.decision == "promoted"
            against = "the embedder that was published before, against the best search without training"
            reasons = [*reasons, f"{against}: {before.reason}"]
        return embedder, PreviousVerdict(
            kept=exams.kept,
            published=published,
            reasons=reasons,
            last_exam=exams.last_exam,
            new_questions=exams.new_questions,
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
            added=difference_of(decisive_interval(added, self.params).interval),
        )

    def decisive(self, system: str) -> NamedInterval:
        """Return the difference to what is free that decides on a system."""
        return decisive_interval([one for one in self._of_measure(self.intervals) if one.system == system], self.params)

    def _against_free(self, system: str) -> tuple[Verdict, AgainstFree]:
        intervals = [one for one in self._of_measure(self.intervals) if one.system == system]
        one = decisive_interval(intervals, self.params)
        interval = one.interval
        against_free = AgainstFree(interval.difference, interval.low, interval.high, one.kinds, one.p_holm)
        return decide_system(intervals, self.params, self.confidence), against_free

    def _added(self, system: str, without: str) -> list[NamedInterval]:
        return [one for one in self._of_measure(self.added) if (one.system, one.baseline) == (system, without)]

    def _of_measure(self, intervals: Sequence[NamedInterval]) -> list[NamedInterval]:
        return [one for one in intervals if one.measure == self.params.measure]


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

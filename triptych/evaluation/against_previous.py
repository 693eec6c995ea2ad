"""Whether a new embedder keeps what the last publication had won: on its exam, and on what was asked since."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from triptych.corpus.records import ALL, Qrels, Query, Run
from triptych.evaluation.comparison import Measures, NamedInterval, compare
from triptych.evaluation.promotion_rule import change_of, difference_of, enough_alone
from triptych.evaluation.significance import ROUNDING
from triptych.evaluation.verdict import Difference
from triptych.params.sections import Evaluate, Promote

PREVIOUS, PREVIOUS_HYBRID, TUNED_HYBRID = "previous", "previous_hybrid", "tuned_hybrid"
LAST_EXAM, NEW_QUESTIONS = "(last exam)", "(new questions)"  # kinds of query: test queries of then, and those since
_COMPARED = ("base_hybrid", PREVIOUS_HYBRID, TUNED_HYBRID)


def compare_exams(
    runs: Mapping[str, Run],
    qrels: Qrels,
    queries: Mapping[str, Query],
    document_of: Mapping[str, int],
    params: Evaluate,
    last_exam: Collection[str],
) -> tuple[list[NamedInterval], Measures]:
    """Compare the new embedder and the base model with the last publication, on its exam and on the new questions.

    ``last_exam`` are ids of test queries; the other arguments are those of `triptych.evaluation.comparison.compare`.
    Returns the differences, of which the kinds begin with `LAST_EXAM` or `NEW_QUESTIONS`, and the metrics of each exam.
    Where the base model was published last, it is what is compared with.
    """
    baseline = PREVIOUS_HYBRID if PREVIOUS_HYBRID in runs else "base_hybrid"
    compared = {name: runs[name] for name in _COMPARED if name in runs}
    exams = {
        LAST_EXAM: {one: judged for one, judged in qrels.items() if one in last_exam},
        NEW_QUESTIONS: {one: judged for one, judged in qrels.items() if one not in last_exam},
    }
    intervals: list[NamedInterval] = []
    measures: Measures = {}
    for name, judged in exams.items():
        if judged:
            found = compare(compared, judged, queries, document_of, baseline, params)
            intervals += [
                replace(one, kind=name if one.kind == ALL else f"{name} {one.kind}") for one in found.intervals
            ]
            measures[name] = found.measures[ALL]
    return intervals, measures


@dataclass(frozen=True, slots=True)
class ExamVerdict:
    """Whether what was won is kept, and the differences over all queries of each exam, None where it has too few."""

    kept: bool
    reason: str  # empty where it is kept
    reasons: list[str]
    last_exam: Difference | None
    new_questions: Difference | None


def judge_exams(intervals: Sequence[NamedInterval], params: Promote) -> ExamVerdict | None:
    """Judge the differences to the last publication, which `compare_exams` returned; None where none was before.

    What was won is kept unless the new embedder surely falls on the last exam: over all, in a category or for a kind.
    """
    exams = {exam: _of_exam(intervals, exam, params.measure) for exam in (LAST_EXAM, NEW_QUESTIONS)}
    if not any(exams.values()):
        return None
    falling = [one for one in exams[LAST_EXAM] if enough_alone(one, params) and one.interval.high < -ROUNDING]
    reasons = [_exam_reason(one) for of in exams.values() for one in of if one.kind in exams]
    reasons += [f"{_exam_reason(one)}, which is a sure fall" for one in falling if one.kind not in exams]
    overall = {
        exam: next((difference_of(one.interval) for one in of if (one.category, one.kind) == (ALL, exam)), None)
        for exam, of in exams.items()
    }
    reason = f"what was won is not kept: {_exam_reason(falling[0])}, which is a sure fall" if falling else ""
    return ExamVerdict(not falling, reason, reasons, overall[LAST_EXAM], overall[NEW_QUESTIONS])


def _exam_reason(one: NamedInterval) -> str:
    exam = LAST_EXAM if one.kind.startswith(LAST_EXAM) else NEW_QUESTIONS
    where = [name for name in (one.category, one.kind.removeprefix(exam).strip()) if name not in (ALL, "")]
    part = f", {', '.join(where)}" if where else ""
    return f"{exam.strip('()')}{part}: {one.measure} {change_of(one.interval)} against what was published before"


def _of_exam(intervals: Sequence[NamedInterval], exam: str, measure: str) -> list[NamedInterval]:
    return [
        one for one in intervals if one.kind.startswith(exam) and (one.system, one.measure) == (TUNED_HYBRID, measure)
    ]

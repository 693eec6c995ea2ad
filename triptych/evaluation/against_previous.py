"""Whether a new embedder keeps what the last publication had won: on its exam, and on what was asked since."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from triptych.corpus.records import ALL, Qrels, Query, Run
from triptych.evaluation.comparison import Measures, NamedInterval, compare
from triptych.params.sections import Evaluate

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


def of_exam(intervals: Sequence[NamedInterval], exam: str, measure: str) -> list[NamedInterval]:
    """Return the differences of the new embedder to the last publication on an exam in a metric."""
    return [
        one for one in intervals if one.kind.startswith(exam) and (one.system, one.measure) == (TUNED_HYBRID, measure)
    ]

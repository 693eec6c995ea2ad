"""Whether another base model, as it comes, is worth more than tuning the one that was tuned."""

from collections.abc import Mapping, Sequence

from triptych.corpus.records import ALL, Qrels, Query, Run
from triptych.evaluation.comparison import NamedInterval, compare
from triptych.evaluation.significance import ROUNDING, holm
from triptych.params.sections import Evaluate

_PREFIX, _HYBRID = "candidate:", "_hybrid"
_TUNED = "tuned_hybrid"


def against_tuned(
    runs: Mapping[str, Run],
    qrels: Qrels,
    queries: Mapping[str, Query],
    document_of: Mapping[str, int],
    params: Evaluate,
) -> list[NamedInterval]:
    """Compare the hybrid of each candidate with that of the tuned embedder; the arguments are those of `compare`."""
    names = [name for name in runs if name.startswith(_PREFIX) and name.endswith(_HYBRID)]
    compared = {name: runs[name] for name in (_TUNED, *names)}
    return compare(compared, qrels, queries, document_of, _TUNED, params).intervals if names else []


def worth_more(intervals: Sequence[NamedInterval], measure: str, confidence: float) -> list[str]:
    """Return a sentence for each candidate that is surely better than the tuned embedder, the best one first.

    ``intervals`` are what `against_tuned` returns, perhaps among others. Queries that nobody asked prove nothing.
    """
    ours = [
        one
        for one in intervals
        if (one.baseline, one.measure, one.category, one.kind) == (_TUNED, measure, ALL, ALL)
        and one.system.startswith(_PREFIX)
    ]
    corrected = holm([one.interval.p for one in ours])
    better = [
        one
        for one, p in zip(ours, corrected, strict=True)
        if one.interval.low > ROUNDING and p < 1.0 - confidence and "pseudo" not in one.kinds.split("+")
    ]
    better.sort(key=lambda one: (-one.interval.difference, one.system))
    return [
        f"another base is worth more than tuning this one: {name_of(one.system)} as it comes, with BM25, has {measure}"
        f" {one.interval.difference:.3f} [{one.interval.low:.3f}, {one.interval.high:.3f}] above the tuned embedder's"
        f" over {one.interval.queries} queries; set model.base to tune it"
        for one in better
    ]


def name_of(system: str) -> str:
    """Return the name of the candidate of a system.

    >>> name_of("candidate:all-mpnet-base-v2_hybrid")
    'all-mpnet-base-v2'
    """
    return system.removeprefix(_PREFIX).removesuffix(_HYBRID)

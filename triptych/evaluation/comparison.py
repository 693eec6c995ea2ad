"""Compare systems: all metrics per category and per kind of query, and differences with confidence intervals."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_type_hints

import numpy as np

from triptych.artifacts import read_rows, write_rows
from triptych.corpus.records import ALL, MADE_KINDS, Qrels, Query, Run, best, category_label
from triptych.errors import ArtifactError
from triptych.evaluation.metrics import METRICS, PerQuery, mean, per_query
from triptych.evaluation.significance import Interval, holm, paired_bootstraps, unbounded
from triptych.params.sections import Evaluate

Measures = dict[str, dict[str, dict[str, float]]]  # category or kind -> system -> metric -> value
# Systems of which nothing is decided, which show what each part of a search is worth. They do not count in Holm's
# correction for those that are judged.
SHOWN_ONLY = (
    "bm25",
    "base",
    "base_cut",
    "base_unasked",
    "base_hybrid",
    "base_hybrid_unasked",
    "tuned",
    "tuned_unasked",
    "tuned_queries",
    "tuned_queries_hybrid",
    "previous",
)
UNTAUGHT = "(not taught)"  # the kinds of query that training did not learn, together
_FIELDS = get_type_hints(Interval)  # float or int by name


@dataclass(frozen=True, slots=True)
class NamedInterval:
    """The difference between a system and the baseline in one metric, over the queries of a category and kind."""

    category: str
    system: str
    baseline: str
    measure: str
    kinds: str  # of the queries
    interval: Interval
    p_holm: float  # the interval's p-value, corrected for the systems judged (or shown) beside it
    kind: str = ALL  # one kind of query, `ALL`, or `UNTAUGHT`


@dataclass(frozen=True, slots=True)
class Comparison:
    """Metrics by category and by kind, and each system's difference to the baseline."""

    measures: Measures  # by category; `ALL` is the micro average
    macro: dict[str, dict[str, float]]  # by system: the macro average over categories
    by_kind: Measures
    untaught: dict[str, dict[str, float]]  # of the kinds that were not taught, by system; empty without such queries
    kinds: dict[str, str]  # of the queries of each category, joined by +, see `triptych.corpus.records.Query`
    intervals: list[NamedInterval]


def compare(
    runs: Mapping[str, Run],
    qrels: Qrels,
    queries: Mapping[str, Query],
    document_of: Mapping[str, int],
    baseline: str,
    params: Evaluate,
    taught: Collection[str] = (),
) -> Comparison:
    """Compare systems over all queries, per category and per kind of query.

    ``queries`` and ``document_of`` are by query id. A difference is system minus ``baseline`` with its interval by
    paired bootstrap over documents; where all queries are about one document the interval is [-1, 1].

    ``taught`` are the kinds of query that training learned. Where there are some, the queries of other kinds are
    compared together too, over all and per category, without those that nobody asked.
    """
    values = {system: per_query(qrels, run) for system, run in runs.items()}
    categories = _grouped(qrels, lambda query_id: category_label(queries[query_id].category))
    groups = {ALL: sorted(qrels)} | categories
    kinds = {name: "+".join(sorted({queries[one].kind for one in query_ids})) for name, query_ids in groups.items()}
    kind_groups = _grouped(qrels, lambda query_id: queries[query_id].kind)
    measures = _measures(values, groups)
    macro = {
        system: {name: mean({one: measures[one][system][name] for one in categories}, categories) for name in METRICS}
        for system in runs
    }
    untaught = {
        name: [one for one in query_ids if queries[one].kind not in {*taught, *MADE_KINDS}] if taught else []
        for name, query_ids in groups.items()
    }
    rows = [(name, ALL, query_ids) for name, query_ids in groups.items()]
    rows += [(ALL, kind, query_ids) for kind, query_ids in kind_groups.items()]
    rows += [(name, UNTAUGHT, query_ids) for name, query_ids in untaught.items() if query_ids]
    known: dict[tuple[str, ...], list[NamedInterval]] = {}  # by queries: groups may have the same
    intervals: list[NamedInterval] = []
    for category, kind, query_ids in rows:
        if tuple(query_ids) not in known:
            known[tuple(query_ids)] = _intervals(values, baseline, query_ids, queries, document_of, params)
        intervals += [replace(one, category=category, kind=kind) for one in known[tuple(query_ids)]]
    together = _measures(values, {UNTAUGHT: untaught[ALL]} if untaught[ALL] else {}).get(UNTAUGHT, {})
    return Comparison(measures, macro, _measures(values, kind_groups), together, kinds, intervals)


def of_all_kinds(intervals: Sequence[NamedInterval]) -> list[NamedInterval]:
    """Return the intervals over the queries of all kinds, per category and for `ALL`."""
    return [one for one in intervals if one.kind == ALL]


def missing_from_top(run: Run, qrels: Qrels, queries: Mapping[str, Query], depth: int) -> dict[str, float]:
    """Return the share of queries without an answer among the best ``depth`` hits, by category and for `ALL`.

    A reranker of these hits cannot find those answers. Equal scores are ranked by chunk id, as by the metrics.
    """

    def missing(query_id: str) -> float:
        return float(not any(qrels[query_id].get(chunk, 0) > 0 for chunk in best(run.get(query_id, {}), depth)))

    missing_by_query = {query_id: missing(query_id) for query_id in qrels}
    groups = {ALL: sorted(qrels)} | _grouped(qrels, lambda query_id: category_label(queries[query_id].category))
    return {name: mean(missing_by_query, query_ids) for name, query_ids in groups.items()}


def write_intervals(path: Path, intervals: list[NamedInterval]) -> None:
    """Write intervals as CSV, one per row."""
    rows = [asdict(one) for one in intervals]
    write_rows(path, [row | row.pop("interval") for row in rows])


def read_intervals(path: Path) -> list[NamedInterval]:
    """Read what `write_intervals` wrote."""
    rows = read_rows(path)
    missing = [name for name in ("baseline", "p_holm", "kind", *_FIELDS) if rows and name not in rows[0]]
    if missing:
        raise ArtifactError(path, f"has no column {', '.join(missing)}: an older version wrote it")
    return [
        NamedInterval(
            row["category"],
            row["system"],
            row["baseline"],
            row["measure"],
            row["kinds"],
            Interval(**{name: kind(row[name]) for name, kind in _FIELDS.items()}),
            float(row["p_holm"]),
            row["kind"],
        )
        for row in rows
    ]


def _grouped(qrels: Qrels, name_of: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for query_id in sorted(qrels):
        groups.setdefault(name_of(query_id), []).append(query_id)
    return dict(sorted(groups.items()))


def _measures(values: Mapping[str, PerQuery], groups: Mapping[str, list[str]]) -> Measures:
    return {
        group: {
            system: {name: mean(metrics[name], query_ids) for name in METRICS} | {"queries": len(query_ids)}
            for system, metrics in values.items()
        }
        for group, query_ids in groups.items()
    }


def _intervals(
    values: Mapping[str, PerQuery],
    baseline: str,
    query_ids: list[str],
    queries: Mapping[str, Query],
    document_of: Mapping[str, int],
    params: Evaluate,
) -> list[NamedInterval]:
    """Compare all systems in all metrics over some queries."""
    clusters = np.array([document_of[query_id] for query_id in query_ids])
    kinds = "+".join(sorted({queries[one].kind for one in query_ids}))
    systems = [system for system in values if system != baseline]
    pairs = [(name, system) for name in METRICS for system in systems]
    if not systems:
        return []

    def rows(names: list[tuple[str, str]]) -> np.ndarray:
        return np.array([[values[system][name][one] for one in query_ids] for name, system in names])

    compared, baselines = rows(pairs), rows([(name, baseline) for name, _ in pairs])
    if len(set(clusters.tolist())) == 1:
        found = [unbounded(*both) for both in zip(compared, baselines, strict=True)]
    else:
        samples, confidence, seed = params.bootstrap_samples, params.confidence, params.seed
        found = paired_bootstraps(compared, baselines, clusters, samples, confidence, seed)
    intervals: list[NamedInterval] = []
    for start in range(0, len(pairs), len(systems)):
        of_metric = found[start : start + len(systems)]
        corrected = np.empty(len(systems))
        for shown in (True, False):
            family = [number for number, system in enumerate(systems) if (system in SHOWN_ONLY) == shown]
            corrected[family] = holm([of_metric[number].p for number in family])
        intervals += [
            NamedInterval(ALL, system, baseline, name, kinds, interval, p)
            for (name, system), interval, p in zip(pairs[start:], of_metric, corrected.tolist(), strict=False)
        ]
    return intervals

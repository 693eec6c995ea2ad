"""Systems side by side: every measure for each category, and differences with intervals."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from triptych.artifacts import write_text
from triptych.corpus.records import Qrels, Run
from triptych.errors import UserError
from triptych.evaluation.measures import MEASURES, PerQuery, mean, per_query
from triptych.evaluation.significance import Interval, paired_bootstrap
from triptych.params import Evaluate

ALL = "all"  # the name under which all categories together are reported


@dataclass(frozen=True, slots=True)
class NamedInterval:
    """The difference of a system to the baseline in one measure and category."""

    category: str
    system: str
    measure: str
    kinds: str  # of the queries
    interval: Interval


@dataclass(frozen=True, slots=True)
class Comparison:
    """Measures by category and system, and how far each system is from the baseline."""

    measures: dict[str, dict[str, dict[str, float]]]
    kinds: dict[str, str]  # of the queries of each category, joined by +: user, crossref, or pseudo
    intervals: list[NamedInterval]


def compare(
    runs: Mapping[str, Run],
    qrels: Qrels,
    category_of: Mapping[str, str],
    kind_of: Mapping[str, str],
    document_of: Mapping[str, int],
    baseline: str,
    params: Evaluate,
) -> Comparison:
    """Compare systems over all queries and per category.

    ``category_of``, ``kind_of`` and ``document_of`` are by query id. A difference is system minus ``baseline`` with its
    interval by paired bootstrap, where whole documents are drawn; where all queries lie in one document it is
    the widest there is, [-1, 1].
    """
    values = {system: per_query(qrels, run) for system, run in runs.items()}
    groups = {ALL: sorted(qrels)}
    for query_id in groups[ALL]:
        groups.setdefault(category_of[query_id], []).append(query_id)
    measures: dict[str, dict[str, dict[str, float]]] = {}
    kinds = {name: "+".join(sorted({kind_of[one] for one in query_ids})) for name, query_ids in groups.items()}
    intervals: list[NamedInterval] = []
    for category, query_ids in groups.items():
        measures[category] = {
            system: {measure: mean(found[measure], query_ids) for measure in MEASURES} | {"queries": len(query_ids)}
            for system, found in values.items()
        }
        clusters = np.array([document_of[query_id] for query_id in query_ids])
        for system, found in values.items():
            if system != baseline:
                intervals += [
                    NamedInterval(category, system, name, kinds[category], interval)
                    for name in MEASURES
                    for interval in [_interval(found, values[baseline], name, query_ids, clusters, params)]
                ]
    return Comparison(measures, kinds, intervals)


def write_intervals(path: Path, intervals: list[NamedInterval]) -> None:
    """Write intervals as CSV, a row each."""
    rows = [asdict(one) for one in intervals]
    table = pd.DataFrame([row | row.pop("interval") for row in rows])
    write_text(path, table.to_csv(index=False, float_format="%.6f", lineterminator="\n"))


def read_intervals(path: Path) -> list[NamedInterval]:
    """Read what `write_intervals` wrote."""
    if not path.exists():
        raise UserError(f"{path} is missing; `dvc repro evaluate` makes it")
    rows = pd.read_csv(path, keep_default_na=False).to_dict("records")
    fields = ("difference", "low", "high", "queries", "clusters")
    return [
        NamedInterval(
            row["category"], row["system"], row["measure"], row["kinds"], Interval(*(row[name] for name in fields))
        )
        for row in rows
    ]


def _interval(
    system: PerQuery,
    baseline: PerQuery,
    measure: str,
    query_ids: list[str],
    clusters: np.ndarray,
    params: Evaluate,
) -> Interval:
    ours, theirs = (np.array([found[measure][one] for one in query_ids]) for found in (system, baseline))
    if len(set(clusters.tolist())) == 1:  # nothing to draw: the difference is known, its interval is anything
        return Interval(float(np.mean(ours - theirs)), -1.0, 1.0, len(query_ids), 1)
    return paired_bootstrap(ours, theirs, clusters, params.bootstrap_samples, params.confidence, params.seed)

"""Systems side by side: every measure for each category, and differences with intervals."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from triptych.corpus.records import Qrels, Run
from triptych.evaluation.measures import MEASURES, PerQuery, mean, per_query
from triptych.evaluation.significance import Interval, paired_bootstrap
from triptych.params import Evaluate

ALL = "all"  # the name under which all categories together are reported


def compare(
    runs: Mapping[str, Run],
    qrels: Qrels,
    category_of: Mapping[str, str],
    document_of: Mapping[str, int],
    baseline: str,
    params: Evaluate,
) -> dict[str, Any]:
    """Return ``measures`` and ``difference``: category → system → measure, over all queries and per category.

    ``category_of`` and ``document_of`` are by query id. A difference is system minus ``baseline`` with its
    interval by paired bootstrap, where whole documents are drawn; of a category whose queries all lie in one
    document no interval can be given, and the difference is left out.
    """
    values = {system: per_query(qrels, run) for system, run in runs.items()}
    groups = {ALL: sorted(qrels)}
    for query_id in groups[ALL]:
        groups.setdefault(category_of[query_id], []).append(query_id)
    measures: dict[str, Any] = {}
    difference: dict[str, Any] = {}
    for category, query_ids in groups.items():
        measures[category] = {
            system: {measure: mean(found[measure], query_ids) for measure in MEASURES} | {"queries": len(query_ids)}
            for system, found in values.items()
        }
        clusters = np.array([document_of[query_id] for query_id in query_ids])
        if len(set(clusters.tolist())) > 1:
            difference[category] = {
                system: {
                    measure: asdict(_interval(found, values[baseline], measure, query_ids, clusters, params))
                    for measure in MEASURES
                }
                for system, found in values.items()
                if system != baseline
            }
    return {"measures": measures, "difference": difference}


def _interval(
    system: PerQuery,
    baseline: PerQuery,
    measure: str,
    query_ids: list[str],
    clusters: np.ndarray,
    params: Evaluate,
) -> Interval:
    ours, theirs = (np.array([found[measure][one] for one in query_ids]) for found in (system, baseline))
    return paired_bootstrap(ours, theirs, clusters, params.bootstrap_samples, params.confidence, params.seed)

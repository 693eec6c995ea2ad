"""The data of the page's charts."""

from typing import Any

from triptych.corpus.records import ALL
from triptych.evaluation.comparison import of_all_kinds
from triptych.report.run_results import CsvRow, RunResults
from triptych.report.system_names import in_order, system_name
from triptych.triplets.negatives import TIERS

Point = dict[str, Any]
_DRAWN = 8  # categories in a chart; a table has the others


def charted(results: RunResults) -> list[str]:
    """Return the metrics by which the page compares systems; the verdict's comes first."""
    return list(dict.fromkeys([results.verdicts.measure, "mrr@10", "recall@10"]))


def chart_data(results: RunResults) -> dict[str, Any]:
    """Return the points of each chart by the chart's name."""
    return {
        "systems": {measure: _systems(results, measure) for measure in charted(results)},
        "recall": [
            {"x": int(row["k"]), "y": float(row["recall"]), "of": system_name(row["system"])}
            for row in results.recall
            # Queries alone are in the tables: they search another index, and are no step of this search.
            if row["category"] == ALL and not row["system"].startswith("tuned_queries")
        ],
        "lengths": results.tokens,
        "training": _training(results),
    }


def categories(results: RunResults) -> list[str]:
    """Return `ALL`, then the categories by name; a single one has the queries of `ALL`."""
    names = sorted(results.evaluation["measures"].keys() - {ALL})
    return [ALL, *(names if len(names) > 1 else [])]


def drawn_categories(results: RunResults) -> list[str]:
    """Return `ALL` and the categories with the lowest lower bounds for the tuned embedder."""
    measure = results.verdicts.measure
    lows = {
        one.category: one.interval.low
        for one in of_all_kinds(results.intervals)
        if one.system == results.verdicts.embedder.system and one.measure == measure and one.category != ALL
    }
    doubtful = sorted(lows, key=lambda category: (lows[category], category))[:_DRAWN]
    return [ALL, *sorted(doubtful if len(lows) > 1 else [])]


def _systems(results: RunResults, measure: str) -> list[Point]:
    """Return each system's value and the interval of its difference to the baseline, shifted to its value."""
    against = {(one.category, one.system): one for one in of_all_kinds(results.intervals) if one.measure == measure}
    level = 1.0 - results.params.evaluate.confidence
    points = []
    for category in drawn_categories(results):
        systems = results.evaluation["measures"][category]
        base = systems[results.verdicts.free.system][measure]
        for system, values in in_order(systems):
            point = {"category": category, "of": system_name(system), "value": values[measure], "is": "baseline"}
            if one := against.get((category, system)):
                low, high = one.interval.low, one.interval.high
                sure = "above" if low > 0 else "below" if high < 0 else "open"
                point |= {"low": base + low, "high": base + high, "is": sure if one.p_holm < level else "open"}
            points.append(point)
    return points


def _training(results: RunResults) -> list[dict[str, Any]]:
    """Return group, title, caption and points of each training chart that has points."""
    rounds = results.rounds
    charts = [
        _chart("Loss", "Mean of ten steps.", "step", _by_round(results, "loss")),
        _chart(
            "Loss of the reranker",
            "Mean of ten steps; a different loss than the embedder's, not on the same scale.",
            "step",
            [_point(row, "step", "loss", "reranker") for row in results.reranker],
        ),
        _chart("Learning rate", "Warm-up, then linear decay.", "step", _by_round(results, "learning_rate")),
        _chart(
            "CollapseDetector monitor",
            "Mean cosine of random pairs of texts in a batch. Near 1 the embeddings have collapsed and training stops.",
            "step",
            _by_round(results, "cosine"),
        ),
    ]
    metric = results.verdicts.measure  # stage train chooses by it too
    for one in rounds:
        active = [_point(row, "step", f"active_{tier}", tier) for tier in TIERS for row in one.steps]
        weights = [_point(row, "step", f"weight_{tier}", tier) for tier in TIERS for row in one.steps]
        dev = [_point(row, "step", metric, row["category"]) for row in one.dev]
        strengths = [_point(row, "strength", metric, row["category"]) for row in one.strengths]
        charts += [
            _chart("Active triplets", "Share of each tier's rows.", "step", active, one.name),
            _chart("Tier weights", "Share of each tier in the sampled rows.", "step", weights, one.name),
            _chart(f"Dev, {metric}", "By category, during the round.", "step", dev, one.name),
            _chart(
                "Strength of tuning, λ",
                f"Dev {metric} by category; 0 is the base model.",
                "strength",
                strengths,
                one.name,
            ),
        ]
    return [chart for chart in charts if chart["points"]]


def _by_round(results: RunResults, name: str) -> list[Point | None]:
    return [_point(row, "step", name, one.name) for one in results.rounds for row in one.steps]


def _point(row: CsvRow, x: str, y: str, of: str) -> Point | None:
    return {"x": float(row[x]), "y": float(row[y]), "of": of} if row.get(y) else None


def _chart(title: str, about: str, x: str, points: list[Point | None], group: str = "") -> dict[str, Any]:
    return {"group": group, "title": title, "about": about, "x": x, "points": [point for point in points if point]}

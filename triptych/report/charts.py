"""The numbers that the charts of the page draw."""

from typing import Any

from triptych.evaluation.comparison import ALL
from triptych.report.run_results import CsvRow, RunResults
from triptych.report.systems import in_order, system_name
from triptych.triplets.negatives import TIERS

Point = dict[str, Any]
_DRAWN = 8  # categories; a table has the others


def charted(findings: RunResults) -> list[str]:
    """Return the measures that systems are compared by on the page, the verdict's among them."""
    return list(dict.fromkeys([findings.verdict["measure"], "mrr@10", "recall@10"]))


def chart_data(findings: RunResults) -> dict[str, Any]:
    """Return the points of every chart, by the chart's name."""
    return {
        "systems": {measure: _systems(findings, measure) for measure in charted(findings)},
        "recall": [
            {"x": int(row["k"]), "y": float(row["recall"]), "of": system_name(row["system"])}
            for row in findings.recall
            if row["category"] == ALL
        ],
        "lengths": findings.tokens,
        "training": _training(findings),
    }


def categories(findings: RunResults) -> list[str]:
    """Return all queries together, then the categories by name."""
    return [ALL, *sorted(findings.evaluation["measures"].keys() - {ALL})]


def drawn_categories(findings: RunResults) -> list[str]:
    """Return what is charted: all queries together, and the categories in which tuning is most in doubt."""
    measure = findings.verdict["measure"]
    lows = {
        one.category: one.interval.low
        for one in findings.intervals
        if one.system == "tuned" and one.measure == measure and one.category != ALL
    }
    doubtful = sorted(lows, key=lambda category: (lows[category], category))[:_DRAWN]
    return [ALL, *sorted(doubtful)]


def _systems(findings: RunResults, measure: str) -> list[Point]:
    """Return each system's value with base plus the interval of the difference to it, and what that interval says."""
    against = {(one.category, one.system): one for one in findings.intervals if one.measure == measure}
    level = 1.0 - findings.params.evaluate.confidence
    points = []
    for category in drawn_categories(findings):
        systems = findings.evaluation["measures"][category]
        base = systems["base"][measure]
        for system, values in in_order(systems):
            point = {"category": category, "of": system_name(system), "value": values[measure], "is": "base"}
            if one := against.get((category, system)):
                low, high = one.interval.low, one.interval.high
                sure = "above" if low > 0 else "below" if high < 0 else "open"
                point |= {"low": base + low, "high": base + high, "is": sure if one.p_holm < level else "open"}
            points.append(point)
    return points


def _training(findings: RunResults) -> list[dict[str, Any]]:
    """Return group, title, a sentence and points of each chart of the training; those without points are left out."""
    rounds = findings.rounds
    charts = [
        _chart("Loss", "Mean of ten steps.", "step", _by_round(findings, "loss")),
        _chart(
            "Loss of the reranker",
            "Mean of ten steps; another loss than the embedder's, on a scale of its own.",
            "step",
            [_point(row, "step", "loss", "reranker") for row in findings.reranker],
        ),
        _chart("Learning rate", "Warm-up, then a straight line down.", "step", _by_round(findings, "learning_rate")),
        _chart(
            "CollapseDetector monitor",
            "Mean cosine of random pairs of texts in a batch. Training ends where it goes to 1.",
            "step",
            _by_round(findings, "cosine"),
        ),
    ]
    for one in rounds:
        active = [_point(row, "step", f"active_{tier}", tier) for tier in TIERS for row in one.steps]
        weights = [_point(row, "step", f"weight_{tier}", tier) for tier in TIERS for row in one.steps]
        dev = [_point(row, "step", "mrr@10", row["category"]) for row in one.dev]
        strengths = [_point(row, "strength", "mrr@10", row["category"]) for row in one.strengths]
        charts += [
            _chart("Triplets that still teach", "Share of each tier's rows.", "step", active, one.name),
            _chart("Tier weights", "Share of each tier in the mix.", "step", weights, one.name),
            _chart("Dev, mrr@10", "By category, while the round went on.", "step", dev, one.name),
            _chart(
                "Strength of tuning, λ",
                "Dev mrr@10 by category; 0 is the base model.",
                "strength",
                strengths,
                one.name,
            ),
        ]
    return [chart for chart in charts if chart["points"]]


def _by_round(findings: RunResults, name: str) -> list[Point | None]:
    return [_point(row, "step", name, one.name) for one in findings.rounds for row in one.steps]


def _point(row: CsvRow, x: str, y: str, of: str) -> Point | None:
    return {"x": float(row[x]), "y": float(row[y]), "of": of} if row.get(y) else None


def _chart(title: str, about: str, x: str, points: list[Point | None], group: str = "") -> dict[str, Any]:
    return {"group": group, "title": title, "about": about, "x": x, "points": [point for point in points if point]}

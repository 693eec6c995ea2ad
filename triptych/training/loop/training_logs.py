"""The metrics of a run as CSV, for plots."""

from typing import Any

from triptych.triplets.negatives import TIERS

_OF_TIERS = [f"{what}_{tier}" for what in ("active", "weight") for tier in TIERS]
_STEPS = ("step", "loss", "learning_rate", "cosine", *_OF_TIERS)


def steps_csv(lines: list[dict[str, Any]]) -> str:
    """Return the lines of the training log: loss, learning rate, mean cosine, active share and weight of each tier.

    ``cosine`` is the mean over pairs of texts, which goes to 1 if the model collapses. ``active_<tier>`` is the share
    of the tier's rows whose margin was not reached, or whose positive had less than 0.9 of the probability;
    ``weight_<tier>`` is the tier's share in the mix at that step. Both are empty if no triplets are drawn.
    """
    return _csv(_STEPS, [[line.get(name) for name in _STEPS] for line in lines])


def dev_csv(points: list[dict[str, Any]], metric: str) -> str:
    """Return the metrics on dev by step and category, with the factor on the category's weight from there on.

    ``metric`` heads the table of a run without evaluations.
    """
    metrics = list(points[0]["dev"]) if points else [metric]
    rows = [
        [
            point["step"],
            name,
            *(point["dev"][one][name] for one in metrics),
            float(point["category_factors"].get(name, 1.0)),
        ]
        for point in points
        for name in point["dev"][metrics[0]]
    ]
    return _csv(("step", "category", *metrics, "weight"), rows)


def strengths_csv(by_strength: dict[float, dict[str, float]], metric: str) -> str:
    """Return the metric on dev by strength of tuning and category."""
    rows = [[float(strength), name, value] for strength, dev in by_strength.items() for name, value in dev.items()]
    return _csv(("strength", "category", metric), rows)


def _csv(names: tuple[str, ...], rows: list[list[Any]]) -> str:
    cells = [
        ["" if one is None else f"{one:.6g}" if isinstance(one, float) else str(one) for one in row] for row in rows
    ]
    return "\n".join(",".join(row) for row in [names, *cells]) + "\n"

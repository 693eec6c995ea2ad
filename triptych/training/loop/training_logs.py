"""What a run showed, as CSV that plots read."""

from typing import Any

from triptych.triplets.negatives import TIERS

_OF_TIERS = [f"{what}_{tier}" for what in ("active", "weight") for tier in TIERS]
_STEPS = ("step", "loss", "learning_rate", "cosine", *_OF_TIERS)


def steps_csv(lines: list[dict[str, Any]]) -> str:
    """Return the training lines of the log: loss, rate, collapse, and of each tier what still teaches and its weight.

    ``cosine`` is the mean over random pairs of texts, which goes to 1 where a model collapses.
    ``active_<tier>`` is the share of its rows whose margin was not kept, or whose positive had less than 0.9 of the
    probability; ``weight_<tier>`` its share in the mix of the stretch. Both are empty where no triplets are drawn.
    """
    return _csv(_STEPS, [[line.get(name) for name in _STEPS] for line in lines])


def dev_csv(points: list[dict[str, Any]]) -> str:
    """Return dev by step and category, with what the category's weight was multiplied by from there on."""
    rows = [
        [point["step"], name, value, float(point["raised"].get(name, 1.0))]
        for point in points
        for name, value in point["dev"].items()
    ]
    return _csv(("step", "category", "mrr@10", "weight"), rows)


def strengths_csv(found: dict[float, dict[str, float]]) -> str:
    """Return dev by strength of tuning and category."""
    rows = [[float(strength), name, value] for strength, dev in found.items() for name, value in dev.items()]
    return _csv(("strength", "category", "mrr@10"), rows)


def _csv(names: tuple[str, ...], rows: list[list[Any]]) -> str:
    cells = [
        ["" if one is None else f"{one:.6g}" if isinstance(one, float) else str(one) for one in row] for row in rows
    ]
    return "\n".join(",".join(row) for row in [names, *cells]) + "\n"

"""The page people look at: one file of HTML that carries its data, its style and its programs, and fetches nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from triptych.evaluation.comparison import ALL
from triptych.report.charts import categories, chart_data, charted, drawn_categories
from triptych.report.decisions import decisions, headline
from triptych.report.query_explorer import Explorer, embeddable
from triptych.report.run_results import RunResults
from triptych.report.systems import in_order, system_name
from triptych.triplets.negatives import TIERS

_HERE = Path(__file__).parent
_SCRIPTS = (
    "vendor/d3.min.js",
    "vendor/plot.umd.min.js",
    "templates/tables.js",
    "templates/charts.js",
    "templates/explorer.js",
)
_MARGIN = 20_000  # bytes, for what the parts of the explorer are joined with


def render(findings: RunResults, explorer: Explorer, origin: dict[str, Any], params: str) -> str:
    """Return the page as one text of at most about ``report.max_megabytes``.

    ``origin`` has versions and hashes by name, ``params`` is the text of ``params.yaml``.
    """
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= _FIGURES | {"embedded": _embedded}
    template = environment.get_template("page.html")
    measures = findings.evaluation["measures"]

    def filled(explored: dict[str, Any]) -> str:
        return template.render(
            found=findings,
            measures=measures,
            categories=categories(findings),
            drawn=drawn_categories(findings),
            charted=charted(findings),
            against={(one.category, one.system, one.measure): one for one in findings.intervals},
            decisions=decisions(findings.verdict, measures),
            headline=headline(findings.verdict),
            pseudo="pseudo" in findings.verdict["kinds"].split("+"),
            data={"charts": chart_data(findings), "explorer": explored},
            explored=explored,
            origin=origin,
            params=params,
            style=Markup((_HERE / "templates/page.css").read_text(encoding="utf-8")),
            scripts=[Markup((_HERE / name).read_text(encoding="utf-8")) for name in _SCRIPTS],
            ALL=ALL,
            TIERS=TIERS,
            in_order=in_order,
            system_name=system_name,
        )

    depth = findings.params.evaluate.depth
    taken = len(filled(explorer.within(0, depth)).encode()) + _MARGIN
    room = int(findings.params.report.max_megabytes * 1_000_000) - taken
    return filled(explorer.within(max(0, room), depth))


def _embedded(value: Any) -> Markup:
    return Markup(embeddable(value))


def _or_dash(write: Callable[[float], str]) -> Callable[[float | None], str]:
    """Return what writes a figure, and a dash for one that a stage could not give."""
    return lambda value: "\u2013" if value is None else write(value)


_FIGURES = {
    "count": _or_dash(lambda value: f"{value:,}"),
    "signed": _or_dash(lambda value: f"{value:+.3f}".replace("-", "\u2212")),
    "share": _or_dash(lambda value: f"{100 * value:.1f}\u00a0%"),
    "two": _or_dash(lambda value: f"{value:.2f}"),
    "three": _or_dash(lambda value: f"{value:.3f}"),
}

"""The page: one HTML file with its data, styles and scripts inside; it makes no requests."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from triptych.corpus.records import ALL
from triptych.report.charts import categories, chart_data, charted, drawn_categories
from triptych.report.query_explorer import Explorer, embeddable
from triptych.report.query_groups import against_free, query_groups
from triptych.report.run_results import RunResults
from triptych.report.since_last import lines_since_last
from triptych.report.system_names import in_order, system_name
from triptych.report.verdict_cards import decision_cards, decisive_values
from triptych.triplets.difficulty import rate_triplet
from triptych.triplets.negatives import TIERS

_HERE = Path(__file__).parent
_SCRIPTS = (
    "vendor/d3.min.js",
    "vendor/plot.umd.min.js",
    "templates/tables.js",
    "templates/charts.js",
    "templates/explorer.js",
)
_MARGIN = 20_000  # bytes, for the JSON around the explorer's rows and hits


def render(results: RunResults, explorer: Explorer, provenance: dict[str, Any], params: str) -> str:
    """Return the HTML of the page, of at most about ``report.max_megabytes``.

    ``provenance`` has versions and hashes by name, ``params`` is the text of ``params.yaml``.
    """
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= _NUMBER_FILTERS | {"embedded": _embedded}
    template = environment.get_template("page.html")
    measures = results.evaluation["measures"]
    decisive = decisive_values(results.verdicts, results.evaluation)

    def rendered(explored: dict[str, Any]) -> str:
        return template.render(
            run=results,
            measures=measures,
            groups=query_groups(measures, results.evaluation["by_kind"], results.verdicts.taught),
            categories=categories(results),
            drawn=drawn_categories(results),
            charted=charted(results),
            against={measure: against_free(results.intervals, measure) for measure in charted(results)},
            decisive=decisive,
            decisions=decision_cards(results.verdicts, decisive),
            headline=results.verdicts.headline,
            free=system_name(results.verdicts.free.system),
            pseudo="pseudo" in results.verdicts.kinds,
            since=lines_since_last(results.split, results.evaluation, results.verdicts),
            data={"charts": chart_data(results), "explorer": explored},
            explored=explored,
            provenance=provenance,
            params=params,
            style=Markup((_HERE / "templates/page.css").read_text(encoding="utf-8")),
            scripts=[Markup((_HERE / name).read_text(encoding="utf-8")) for name in _SCRIPTS],
            ALL=ALL,
            TIERS=TIERS,
            rate_triplet=partial(rate_triplet, margin=results.params.train.margin, suspect=results.params.rate.suspect),
            in_order=in_order,
            system_name=system_name,
        )

    depth = results.params.evaluate.depth
    size = len(rendered(explorer.within(0, depth)).encode()) + _MARGIN
    room = int(results.params.report.max_megabytes * 1_000_000) - size
    return rendered(explorer.within(max(0, room), depth))


def _embedded(value: Any) -> Markup:
    return Markup(embeddable(value))


def _or_dash(write: Callable[[float], str]) -> Callable[[float | None], str]:
    """Return a filter that formats a number, or a dash for None."""
    return lambda value: "\u2013" if value is None else write(value)


_NUMBER_FILTERS = {
    "count": _or_dash(lambda value: f"{value:,}"),
    "signed": _or_dash(lambda value: f"{value:+.3f}".replace("-", "\u2212")),
    "whole": _or_dash(lambda value: f"{value:,.0f}"),
    "one": _or_dash(lambda value: f"{value:.1f}"),
    "share": _or_dash(lambda value: f"{100 * value:.1f}\u00a0%"),
    "two": _or_dash(lambda value: f"{value:.2f}"),
    "three": _or_dash(lambda value: f"{value:.3f}"),
}

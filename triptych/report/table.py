"""The result of a run as a table for the screen."""

from typing import Any

from rich.console import Console
from rich.table import Table

from triptych.evaluation.comparison import ALL, NamedInterval
from triptych.evaluation.significance import Interval

SYSTEMS = {
    "bm25": "BM25",
    "base": "base",
    "base_hybrid": "base + BM25",
    "tuned": "tuned",
    "hybrid": "tuned + BM25",
}
_SHOWN = ("recall@1", "recall@10", "mrr@10", "ndcg@10")


def show_results(
    console: Console,
    evaluation: dict[str, Any],
    intervals: list[NamedInterval],
    verdict: dict[str, Any],
    embedder: str,
) -> None:
    """Print, per category, each system's measures, its difference to base with the interval, and the verdict."""
    measure = verdict["measure"]
    against = {(one.category, one.system): one.interval for one in intervals if one.measure == measure}
    pseudo = verdict["kinds"] == "pseudo"
    title = "Pseudo-queries, which nobody asked: no proof" if pseudo else "Test queries that people wrote"
    table = Table(title=title, title_justify="left")
    table.add_column("category (queries)")
    table.add_column("system")
    for name in dict.fromkeys([*_SHOWN, measure]):
        table.add_column(name, justify="right")
    table.add_column(f"{measure} against base", justify="right")
    for category in [ALL, *sorted(set(evaluation["measures"]) - {ALL})]:
        systems = evaluation["measures"][category]
        for system, label in SYSTEMS.items():
            values = systems[system]
            first = f"{category} ({values['queries']})" if system == "bm25" else ""
            figures = [f"{values[name]:.3f}" for name in dict.fromkeys([*_SHOWN, measure])]
            style = "bold" if system == "tuned" else None
            table.add_row(first, label, *figures, _against(against.get((category, system))), style=style)
        table.add_section()
    console.print(table)
    chosen = evaluation["chosen_on_dev"]
    console.print(
        f"Chosen on dev: strength {chosen['strength']:g}; dense weight {chosen['base_hybrid_dense_weight']:g}"
        f" for base + BM25, {chosen['hybrid_dense_weight']:g} for tuned + BM25."
    )
    decision = "use the tuned embedder" if verdict["promoted"] else "keep your base model"
    if verdict["verdict"] == "unproven":
        decision = f"unproven, {decision}"
    console.print(f"Verdict: {decision}. {'; '.join(verdict['reasons'])}.", soft_wrap=True)
    console.print(
        f"The {verdict['published']} model is in {embedder}: SentenceTransformer({embedder!r})",
        soft_wrap=True,
    )


def _against(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return f"{interval.difference:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"

"""The result of a run as tables for the screen."""

from typing import Any

from rich.console import Console
from rich.table import Table

from triptych.evaluation.comparison import ALL, Measures, NamedInterval
from triptych.report.systems import SECOND_STAGES, SYSTEMS, in_order, system_name
from triptych.retrieval.fusion import Fusion
from triptych.retrieval.reranking import Reranking

_SHOWN = ("recall@1", "recall@10", "mrr@10", "ndcg@10")


def show_results(
    console: Console,
    evaluation: dict[str, Any],
    intervals: list[NamedInterval],
    triplets: list[dict[str, str]],
    verdict: dict[str, Any],
    embedder: str,
) -> None:
    """Print each system's measures per category with its difference to base, the triplets, and the verdicts."""
    pseudo = verdict["kinds"] == "pseudo"
    title = "Pseudo-queries, which nobody asked: no proof" if pseudo else "Test queries that people wrote"
    show_measures(console, title, evaluation["measures"], intervals, verdict["measure"])
    console.print(_health(triplets))
    chosen = evaluation["chosen_on_dev"]
    fusions = ", ".join(f"{Fusion(**chosen[name])} for {SYSTEMS[name]}" for name in ("base_hybrid", "tuned_hybrid"))
    ways = "".join(
        f"; {system_name(name)} orders {Reranking(**chosen[name])}" for name in SECOND_STAGES if name in chosen
    )
    console.print(f"Chosen on dev: strength {chosen['strength']:g}; {fusions}{ways}.", soft_wrap=True)
    decision = "use the tuned embedder" if verdict["published"] == "tuned" else "keep your base model"
    if verdict["verdict"] == "unproven":
        decision = f"unproven, {decision}"
    console.print(f"Verdict: {decision}. {'; '.join(verdict['reasons'])}.", soft_wrap=True)
    hybrid = verdict["hybrid"]
    search = f"{SYSTEMS[hybrid['system']]}, {Fusion(**hybrid['fusion'])}" if hybrid["used"] else "the embedder alone"
    console.print(f"Search with {search}: {'; '.join(hybrid['reasons'])}.", soft_wrap=True)
    late = verdict["late_interaction"]
    order = f"Order {Reranking(**late['way'])} by late interaction (MaxSim)" if late["used"] else "No late interaction"
    console.print(f"{order}: {'; '.join(late['reasons'])}.", soft_wrap=True)
    reranker = verdict["reranker"]
    order = f"Rerank {Reranking(**reranker['way'])}" if reranker["used"] else "Do not rerank"
    console.print(f"{order}: {'; '.join(reranker['reasons'])}.", soft_wrap=True)
    console.print(
        f"The {verdict['published']} model is in {embedder}: SentenceTransformer({embedder!r})",
        soft_wrap=True,
    )


def show_measures(
    console: Console, title: str, measures: Measures, intervals: list[NamedInterval], measure: str
) -> None:
    """Print measures of each category and system; of one ``measure`` also the difference to base with its interval.

    The last column is its p with Holm's correction for the systems that stand beside it.
    """
    against = {(one.category, one.system): one for one in intervals if one.measure == measure}
    columns = dict.fromkeys([*_SHOWN, measure])
    table = Table(title=title, title_justify="left")
    table.add_column("category (queries)")
    table.add_column("system")
    for name in (*columns, f"{measure} against base", "Holm's p"):
        table.add_column(name, justify="right")
    for category in [ALL, *sorted(set(measures) - {ALL})]:
        for number, (system, values) in enumerate(in_order(measures[category])):
            first = "" if number else f"{category} ({values['queries']})"
            figures = [f"{values[name]:.3f}" for name in columns]
            style = "bold" if system == "tuned" else None
            row = _against(against.get((category, system)))
            table.add_row(first, system_name(system), *figures, *row, style=style)
        table.add_section()
    console.print(table)


def _against(one: NamedInterval | None) -> tuple[str, str]:
    if one is None:
        return "", ""
    interval = one.interval
    return f"{interval.difference:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]", f"{one.p_holm:.4f}"


def _health(triplets: list[dict[str, str]]) -> Table:
    """Return the tuned model's triplet measures, and how far accuracy and margin are from the base model's."""
    table = Table(title="Held-out triplets of the tuned model: health, not proof", title_justify="left")
    table.add_column("category")
    table.add_column("tier")
    for name in ("accuracy", "against base", "positive similarity", "negative similarity", "margin", "against base"):
        table.add_column(name, justify="right")
    tuned = [row for row in triplets if row["system"] == "tuned"]
    for number, row in enumerate(tuned):
        names = ("mean_positive_similarity", "mean_negative_similarity", "margin")
        last = number + 1 == len(tuned) or tuned[number + 1]["category"] != row["category"]
        table.add_row(
            row["category"] if row["tier"] == ALL else "",
            row["tier"],
            f"{float(row['triplet_accuracy']):.3f}",
            f"{float(row['triplet_accuracy_against_base']):+.3f}",
            *(f"{float(row[name]):.3f}" for name in names),
            f"{float(row['margin_against_base']):+.3f}",
            end_section=last,
        )
    return table

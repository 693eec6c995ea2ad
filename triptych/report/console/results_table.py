"""The result of a run as tables for the screen."""

from rich.console import Console
from rich.table import Table

from triptych.corpus.records import ALL
from triptych.evaluation.chosen_on_dev import ChosenOnDev
from triptych.evaluation.comparison import NamedInterval
from triptych.evaluation.verdict import Verdicts
from triptych.report.query_groups import QueryGroup, against_free
from triptych.report.system_costs import SystemCost, SystemCosts
from triptych.report.system_names import SECOND_STAGES, SYSTEMS, in_order, system_name

_SHOWN = ("recall@1", "recall@10", "mrr@10", "ndcg@10")


def show_results(
    console: Console,
    groups: list[QueryGroup],
    chosen: ChosenOnDev,
    intervals: list[NamedInterval],
    triplets: list[dict[str, str]],
    verdicts: Verdicts,
    embedder: str,
    costs: SystemCosts | None = None,
) -> None:
    """Print each system's metrics by category and kind with their differences, triplet metrics, and verdicts."""
    pseudo = verdicts.kinds == {"pseudo"}
    title = "Pseudo-queries, which nobody asked: no proof" if pseudo else "Test queries that people wrote"
    show_measures(console, title, groups, intervals, verdicts.measure, verdicts.free.system, costs)
    if costs is not None:
        console.print(costs.note, soft_wrap=True)
    console.print(_triplet_table(triplets))
    fusions = ", ".join(f"{chosen.fusions[name]} for {SYSTEMS[name]}" for name in ("base_hybrid", "tuned_hybrid"))
    rerankings = "".join(
        f"; {system_name(name)} reranks {chosen.rerankings[name]}"
        for name in SECOND_STAGES
        if name in chosen.rerankings
    )
    late, reranker = verdicts.late_interaction, verdicts.reranker
    late_advice = f"Rerank {late.reranking} by late interaction (MaxSim)" if late.used else "No late interaction"
    reranker_advice = f"Rerank {reranker.reranking}" if reranker.used else "Do not rerank"
    for line in (
        f"Chosen on dev: strength {chosen.strength:g}; {fusions}{rerankings}.",
        f"Verdict: {verdicts.sentence}. {'; '.join(verdicts.embedder.reasons)}.",
        *([f"Kinds of question that were taught: {', '.join(verdicts.taught)}."] if verdicts.taught else []),
        f"Without training: {system_name(verdicts.free.system)}, {verdicts.free.reason}.",
        f"{late_advice}: {'; '.join(late.reasons)}.",
        f"{reranker_advice}: {'; '.join(reranker.reasons)}.",
        f"The {verdicts.published} model is in {embedder}: SentenceTransformer({embedder!r})",
    ):
        console.print(line, soft_wrap=True)


def show_measures(
    console: Console,
    title: str,
    groups: list[QueryGroup],
    intervals: list[NamedInterval],
    measure: str,
    baseline: str,
    costs: SystemCosts | None = None,
) -> None:
    """Print the metrics of each group of queries and system, and the difference to ``baseline`` in ``measure``.

    Beside that is its p-value with Holm's correction for the systems in the table, and what the system costs, where
    that is known.
    """
    against = against_free(intervals, measure)
    columns = dict.fromkeys([*_SHOWN, measure])
    table = Table(title=title, title_justify="left")
    table.add_column("queries")
    table.add_column("system")
    last = ["bytes a chunk", "ms a question"] if costs else []
    for name in (*columns, f"{measure} against {system_name(baseline)}", "Holm's p", *last):
        table.add_column(name, justify="right")
    for group in groups:
        for number, (system, values) in enumerate(in_order(group.systems)):
            first = ["", group.note][number == 1] if number else f"{group.label} ({group.queries})"
            cells = [f"{values[name]:.3f}" for name in columns]
            style = "bold" if system == "tuned" else None
            row = _against(against.get((group.category, group.kind, system)))
            spent = _cost(costs.of(system)) if costs else ()
            table.add_row(first, system_name(system), *cells, *row, *spent, style=style)
        table.add_section()
    console.print(table)


def _cost(cost: SystemCost) -> tuple[str, str]:
    size = "" if cost.bytes_per_chunk is None else f"{cost.bytes_per_chunk:,.0f}"
    return size, "" if cost.milliseconds is None else f"{cost.milliseconds:.1f}"


def _against(one: NamedInterval | None) -> tuple[str, str]:
    if one is None:
        return "", ""
    interval = one.interval
    return f"{interval.difference:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]", f"{one.p_holm:.4f}"


def _triplet_table(triplets: list[dict[str, str]]) -> Table:
    """Return the tuned model's triplet metrics, and the differences of accuracy and margin to the base model's."""
    table = Table(title="Held-out triplets of the tuned model: a health check, not proof", title_justify="left")
    table.add_column("category")
    table.add_column("tier")
    for name in ("accuracy", "against base", "positive similarity", "negative similarity", "margin", "against base"):
        table.add_column(name, justify="right")
    tuned = [row for row in triplets if row["system"] == "tuned"]
    if len({row["category"] for row in tuned}) == 2:  # a single category has the rows of all
        tuned = [row for row in tuned if row["category"] == ALL]
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

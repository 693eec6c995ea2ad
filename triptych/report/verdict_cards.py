"""The verdicts as the page shows them: one card for the embedder and for each other system that was judged."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from triptych.corpus.records import ALL
from triptych.evaluation.verdict import AgainstFree, SystemVerdict, Verdicts
from triptych.report.system_names import system_name


@dataclass(frozen=True, slots=True)
class DecisionCard:
    """One verdict, with the metric over the test queries that decided."""

    title: str
    advice: str  # what to do
    verdict: SystemVerdict
    against_free: AgainstFree
    before: float | None  # the metric of the best search without training ...
    after: float | None  # ... and of the system; None where it was not evaluated


def decisive_values(verdicts: Verdicts, evaluation: Mapping[str, Any]) -> Mapping[str, Mapping[str, float]]:
    """Return each system's metrics over the test queries that decided, from ``metrics/evaluate.json``."""
    untaught = verdicts.taught and verdicts.basis == "untaught"
    values: Mapping[str, Mapping[str, float]] = evaluation["untaught"] if untaught else evaluation["measures"][ALL]
    return values


def decision_cards(verdicts: Verdicts, values: Mapping[str, Mapping[str, float]]) -> list[DecisionCard]:
    """Return the card of the embedder, then one for each other system that was compared with what is free.

    ``values`` are the metrics over the queries that decided.
    """
    parts = [
        ("late interaction", verdicts.late_interaction),
        ("the reranker", verdicts.reranker),
    ]
    judged: list[tuple[str, str, SystemVerdict]] = [("The tuned embedder", verdicts.advice, verdicts.embedder)]
    judged += [
        (system_name(part.system), f"{'use' if part.used else 'do without'} {name}", part) for name, part in parts
    ]

    def metric(system: str) -> float | None:
        return values[system][verdicts.measure] if system in values else None

    return [
        DecisionCard(title, advice, verdict, verdict.against_free, metric(verdicts.free.system), metric(verdict.system))
        for title, advice, verdict in judged
        if verdict.against_free is not None
    ]

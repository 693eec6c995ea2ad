"""The groups of test queries that tables have rows for: all, each category, and each kind of query."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from triptych.corpus.records import ALL, MADE_KINDS
from triptych.evaluation.comparison import UNTAUGHT, Measures, NamedInterval

Against = dict[tuple[str, str, str], NamedInterval]  # category, kind and system → difference to what is free


@dataclass(frozen=True, slots=True)
class QueryGroup:
    """The test queries of a category or a kind, with the metrics of each system over them."""

    category: str
    kind: str
    note: str  # whether the kind was taught; empty for categories
    systems: Mapping[str, Mapping[str, float]]

    @property
    def label(self) -> str:
        """The name of the group in tables."""
        return self.category if self.kind == ALL else f"kind {self.kind}"

    @property
    def queries(self) -> int:
        """The number of queries."""
        return int(next(iter(self.systems.values()))["queries"])


def query_groups(measures: Measures, by_kind: Measures, taught: Collection[str]) -> list[QueryGroup]:
    """Return the group of all queries, then categories and kinds by name; a single one of either would repeat it."""
    groups = [QueryGroup(ALL, ALL, "", measures[ALL])]
    categories = sorted(measures.keys() - {ALL})
    if len(categories) > 1:
        groups += [QueryGroup(category, ALL, "", measures[category]) for category in categories]
    if len(by_kind) > 1:
        groups += [QueryGroup(ALL, kind, _note(kind, taught), by_kind[kind]) for kind in sorted(by_kind)]
    return groups


def against_free(intervals: Sequence[NamedInterval], measure: str) -> Against:
    """Return the differences to the best search without training in a metric."""
    return {
        (one.category, one.kind, one.system): one
        for one in intervals
        if one.measure == measure and one.kind != UNTAUGHT
    }


def _note(kind: str, taught: Collection[str]) -> str:
    if kind in MADE_KINDS:
        return "nobody asked them"
    if not taught:
        return ""
    return "taught" if kind in taught else "not taught"

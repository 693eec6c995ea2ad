"""Triplets as tables: the rating's judgment of each tier, and examples."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from triptych.params.sections import Params
from triptych.report.passage_text import shortened
from triptych.triplets.difficulty import rate_triplet

_LENGTH = 320  # characters shown of a passage


def show_triplets(
    console: Console, rating: dict[str, Any], examples: list[dict[str, Any]], profile: str, limit: int, params: Params
) -> None:
    """Print the judgment of each tier of a profile, and ``limit`` examples of each, with their own ratings."""
    for sentence in rating["judgment"][profile]:
        console.print(Text(sentence))
    tiers: dict[str, list[dict[str, Any]]] = {}
    for one in examples:
        if one["profile"] == profile:
            tiers.setdefault(one["tier"], []).append(one)
    for one in (example for of_tier in tiers.values() for example in of_tier[:limit]):
        title = f"{one['tier']} ({one['strategy']}), {one['view']}, {one['category']}"
        table = Table(title=title, title_justify="left", show_header=False, expand=True)
        table.add_column(no_wrap=True)
        table.add_column(ratio=1)
        # Text, not markup: documents may contain brackets.
        table.add_row("anchor", Text(one["anchor"]))
        table.add_row(f"positive {one['positive_similarity']:.2f}", Text(shortened(one["positive"], _LENGTH)))
        table.add_row(f"negative {one['negative_similarity']:.2f}", Text(shortened(one["negative"], _LENGTH)))
        similarities = one["positive_similarity"], one["negative_similarity"]
        rated, why = rate_triplet(*similarities, params.train.margin, params.rate.suspect)
        table.add_row(rated, Text(why))
        console.print(table)
    most = max(map(len, tiers.values()), default=0)
    if most > limit:
        console.print(Text(f"{limit} of {most} examples per tier; --limit {most} shows all"))

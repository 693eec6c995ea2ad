"""Triplets as a person reads them: what the rating says of each tier, and examples."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_LENGTH = 320  # characters of a passage that are shown


def show_triplets(
    console: Console, rating: dict[str, Any], examples: list[dict[str, Any]], profile: str, limit: int
) -> None:
    """Print the judgment of each tier of a profile, and ``limit`` examples of each: anchor, positive, negative."""
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
        # Text, not markup: what stands in documents is data.
        table.add_row("anchor", Text(one["anchor"]))
        table.add_row(f"positive {one['positive_similarity']:.2f}", Text(_short(one["positive"])))
        table.add_row(f"negative {one['negative_similarity']:.2f}", Text(_short(one["negative"])))
        console.print(table)
    most = max(map(len, tiers.values()), default=0)
    if most > limit:
        console.print(Text(f"{limit} of {most} examples of a tier; --limit {most} shows all"))


def _short(text: str) -> str:
    return text if len(text) <= _LENGTH else f"{text[:_LENGTH].rstrip()} …"

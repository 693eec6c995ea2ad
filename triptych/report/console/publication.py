"""What was published into a database, and how the search there compares, for the terminal."""

from pathlib import Path

from rich.console import Console

from triptych.publishing.comparison import METRICS, Comparison
from triptych.publishing.publish import Published


def show_publication(
    console: Console, shown: str, published: Published, comparison: Comparison | None, corpus: Path
) -> None:
    """Print the counts of rows, and the metrics on dev of the database beside those of the index."""
    lines = [
        f"publish: {published.chunks:,} chunks and {published.vectors:,} vectors in {shown}: {published.written:,} rows"
        f" written, {published.deleted:,} deleted, {published.unchanged:,} unchanged"
    ]
    if comparison is None:
        lines.append(f"publish: not compared, since {corpus.as_posix()} has no dev queries")
    else:
        rows = (("vectors there", comparison.database), ("vectors here", comparison.index))
        systems = [*rows, ("triptych search", comparison.search)]
        metrics = "; ".join(
            f"{name} " + ", ".join(f"{metric} {values[metric]:.3f}" for metric in METRICS) for name, values in systems
        )
        lines.append(
            f"publish: on {comparison.queries} dev queries {metrics}; {comparison.found:.1%} of the same hits, scores"
            f" within {comparison.score_difference:.4f}"
        )
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

"""The table of the memory that training would need."""

from rich.console import Console
from rich.table import Table

from triptych.diagnostics.memory_estimate import GIB, Estimate


def show_memory(console: Console, estimates: list[Estimate], memory: float, title: str) -> None:
    """Print a row for each training method, in GiB, and whether it fits into ``memory`` GiB."""
    table = Table(title=title, title_justify="left")
    table.add_column("method")
    for name in ("trained weights", "weights", "gradients", "optimizer", "activations", "total (GiB)"):
        table.add_column(name, justify="right")
    table.add_column(f"fits {memory:g} GiB")
    for one in estimates:
        parts = (one.weights, one.gradients, one.optimizer, one.activations, one.total)
        fits = "yes" if one.total <= memory * GIB else "no"
        table.add_row(one.method, f"{one.trained:,}", *(f"{part / GIB:.2f}" for part in parts), fits)
    console.print(table)

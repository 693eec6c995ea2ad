"""The table of the memory that training would need."""

from rich.console import Console
from rich.table import Table

from triptych.diagnostics.memory_estimate import GIB, Estimate


def show_memory(console: Console, estimates: list[Estimate], memory: float, title: str) -> None:
    """Print a row for each training method, in GiB, and whether it fits into ``memory`` GiB, also with checkpointing.

    Copies are those of weights in the precision that is computed in.
    """
    table = Table(title=title, title_justify="left")
    table.add_column("method")
    for name in ("trained", "weights", "copies", "gradients", "optimizer", "activations", "total (GiB)"):
        table.add_column(name, justify="right")
    table.add_column(f"fits {memory:g}")
    table.add_column("with checkpointing", justify="right")
    table.add_column(f"fits {memory:g}")
    for one in estimates:
        parts = (one.weights, one.copies, one.gradients, one.optimizer, one.activations, one.total)
        fits, fits_checkpointed = (
            "yes" if total <= memory * GIB else "no" for total in (one.total, one.total_checkpointed)
        )
        figures = (f"{part / GIB:.2f}" for part in parts)
        table.add_row(
            one.method, f"{one.trained:,}", *figures, fits, f"{one.total_checkpointed / GIB:.2f}", fits_checkpointed
        )
    console.print(table)

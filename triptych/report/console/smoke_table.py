"""The results of the smoke test as a table for the terminal."""

from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from triptych.diagnostics.smoke_test import SmokeResult


def show_smoke(console: Console, smoke: SmokeResult) -> None:
    """Print each step's time, loss and vectors; then mean time with its deviation, memory, late batches, and faults."""
    table = Table(title=f"loss {smoke.loss} on {smoke.device}", title_justify="left")
    for name in (
        "step",
        "seconds",
        "loss",
        "mean",
        "std",
        "min",
        "max",
        "NaN or Inf",
        "ready",
        "late",
        "resident MB",
    ):
        table.add_column(name, justify="right")
    for number, (step, loss) in enumerate(zip(smoke.steps, smoke.trained.losses, strict=True), start=1):
        vectors = step.vectors
        table.add_row(
            str(number),
            f"{step.seconds:.3f}",
            "left out" if loss is None else f"{loss:.4f}",
            *(f"{vectors[name]:.4f}" for name in ("mean", "std", "min", "max")),
            f"{vectors['texts_not_finite']} of {vectors['texts']} texts",
            str(step.ready),
            str(step.made_in_place),
            f"{step.resident / 2**20:.0f}",
        )
    console.print(table)
    mean, deviation = smoke.seconds()
    memory = f"{max(step.resident for step in smoke.steps) / 2**20:.0f} MB resident"
    if smoke.device_peak is not None:
        memory += f", {smoke.device_peak / 2**20:.0f} MB on the GPU"
    late_batches = smoke.steps[-1].made_in_place
    faults = {name: count for name, count in asdict(smoke.trained.incidents).items() if count}
    console.print(
        f"smoke: {mean:.3f} s per step, deviation {deviation:.3f} (without the first); {memory};"
        f" {late_batches} batches were not ready in time;"
        f" faults: {', '.join(f'{name} {count}' for name, count in faults.items()) or 'none'}"
    )

"""The first commands of a project: see what documentation gives, and lay a project out."""

import json
from pathlib import Path
from typing import Annotated

import typer

from triptych.cli.output import console, user_errors_as_messages


def inspect(
    paths: Annotated[list[Path], typer.Argument(help="folders of pages, or files of chunks", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="print the whole record as JSON")] = False,
) -> None:
    """Show what documentation gives before anything is set: pages, links, judgments, the split, the time of a run."""
    from dataclasses import asdict

    from triptych.inspection.inspection import inspect as inspect_paths
    from triptych.report.console.inspection_table import show_inspection

    with user_errors_as_messages():
        found = inspect_paths(paths, lambda line: typer.echo(f"inspect: {line}", err=True))
    if as_json:
        typer.echo(json.dumps(asdict(found), ensure_ascii=False, sort_keys=True))
    else:
        show_inspection(console(), found)


def new(
    folder: Annotated[Path, typer.Argument(help="a folder that is missing or empty", show_default=False)],
    source: Annotated[list[Path], typer.Option(help="documentation: a folder of pages, or a file of chunks")],
    model: Annotated[str | None, typer.Option(help="base model: a hub name, a folder or package:NAME")] = None,
) -> None:
    """Lay out a project for your own documentation beside the installed package; `dvc repro` there runs it."""
    from triptych.project.new_project import new_project

    with user_errors_as_messages():
        made = new_project(folder, source, model, lambda line: typer.echo(f"new: {line}", err=True))
    found = made.found
    for warning in found.warnings:
        typer.echo(f"warning: {warning}")
    typer.echo(
        f"new: {found.chunks:,} chunks in {found.documents:,} documents of {', '.join(made.sources)}; a run takes about"
        f" {found.run_time.seconds / 60:.0f} minutes here with {made.model}\n"
        f"new: next: cd {folder}, look at params.yaml, then `dvc repro` and `triptych results`"
    )

"""Where commands print: a console for tables, and errors of a user as one message."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from triptych.pipeline import message_of


@contextmanager
def user_errors_as_messages() -> Iterator[None]:
    """End the command with one message where a `UserError` is raised, or where memory or a disk runs out."""
    try:
        yield
    except Exception as error:
        message = message_of(error)
        if message is None:
            raise
        typer.echo(f"error: {message}", err=True)
        raise typer.Exit(1) from None


def console() -> Console:
    """Return a console that is wide enough for tables where the output is not a terminal (a log, a pipe)."""
    return Console(width=None if Console().is_terminal else 140)

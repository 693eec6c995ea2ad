"""The command line: ``triptych <command>``, a module for each group of commands."""

from triptych.cli.commands import app

__all__ = ["app"]

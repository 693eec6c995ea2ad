"""The command line: ``triptych <command>``, a module for each group of commands."""

from triptych.cli.commands import app
from triptych.threads import wait_briefly

wait_briefly()  # commands import PyTorch, if at all, when they run

__all__ = ["app"]

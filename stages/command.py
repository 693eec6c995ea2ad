"""The command line that all stages share: path flags, printed lines, errors without a traceback."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from triptych.errors import UserError
from triptych.pipeline import with_remedy
from triptych.progress import quiet


def paths(description: str | None, *names: str, argv: list[str] | None = None) -> argparse.Namespace:
    """Parse a required ``--<name>`` path for each name, and ``--quiet``."""
    parser = argparse.ArgumentParser(description=description)
    for name in names:
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--quiet", action="store_true", help="show no progress; TQDM_DISABLE=1 does the same")
    args = parser.parse_args(argv)
    if args.quiet:
        quiet()
    return args


def print_line(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def run(main: Callable[[], None]) -> None:
    """Run a stage; a `UserError` is printed as one message and exits with code 1."""
    try:
        main()
    except UserError as error:
        sys.stderr.write(f"error: {with_remedy(error)}\n")
        raise SystemExit(1) from None

"""The command line that all stages share: path flags, printed lines, errors without a traceback."""

import argparse
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from triptych.errors import UserError, out_of_memory_message
from triptych.pipeline import with_remedy
from triptych.progress import quiet
from triptych.streams import use_utf8


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


def print_warnings(warnings: Iterable[str], metrics: Path) -> None:
    """Print one warning of each kind, with the number of other categories that have one of that kind.

    A warning about a category begins with its name and a colon. Warnings of a kind differ in category and numbers only.
    ``metrics`` is the file that lists what was counted for every category.
    """
    kinds: dict[str, dict[str, str]] = {}
    for line in warnings:
        category, _, sentence = line.partition(": ")
        kinds.setdefault(re.sub(r"[0-9.%]+", "", sentence), {}).setdefault(category, line)
    for by_category in kinds.values():
        first, *others = by_category.values()
        names = "category" if len(others) == 1 else "categories"
        more = f"; {len(others)} more {names} like this, see {metrics}" if others else ""
        print_line(f"warning: {first}{more}")


def run(main: Callable[[], None]) -> None:
    """Run a stage; a `UserError`, and that memory ran out, is printed as one message and exits with code 1."""
    use_utf8()
    try:
        main()
    except Exception as error:
        message = with_remedy(error) if isinstance(error, UserError) else out_of_memory_message(error)
        if message is None:
            raise
        sys.stderr.write(f"error: {message}\n")
        raise SystemExit(1) from None

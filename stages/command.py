"""The command line that all stages share: path flags, printed lines, errors without a traceback."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path

from triptych.pipeline import message_of
from triptych.progress import quiet
from triptych.stage_inputs import unchanged_inputs
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


def run(main: Callable[[], None], *appended: str) -> None:
    """Run a stage; a `UserError`, and that memory or a disk ran out, is printed as one message and exits with code 1.

    Under DVC its inputs must be those that are recorded, and must not change meanwhile (`triptych.stage_inputs`), but
    for those ``appended`` to by the stage itself, which are named by their flags. Ctrl-C exits with code 130.
    """
    use_utf8()
    stage = os.environ.get("DVC_STAGE")  # set by `dvc repro`
    given = [path for flag, path in pairwise(sys.argv[1:]) if flag in appended]
    try:
        with unchanged_inputs(stage, given) if stage else nullcontext():
            main()
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped by Ctrl-C; nothing half-written is used, `dvc repro` goes on from here\n")
        raise SystemExit(130) from None
    except Exception as error:
        message = message_of(error)
        if message is None:
            raise
        sys.stderr.write(f"error: {message}\n")
        raise SystemExit(1) from None

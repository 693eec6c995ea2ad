"""The command line: ``triptych <command>``."""

from collections.abc import Callable
from typing import Annotated

import typer

from triptych import progress
from triptych.cli.diagnosis import diagnose, estimate, smoke
from triptych.cli.exports import export
from triptych.cli.questions import evaluate, label
from triptych.cli.results import costs, keep, results, triplets
from triptych.cli.searching import publish, search, serve
from triptych.cli.start import inspect, new
from triptych.streams import use_utf8

use_utf8()
progress.quiet_libraries()

# In the order in which the help lists them. Each command imports what it needs, so that a search does not wait for the
# slow imports of the others.
_COMMANDS: tuple[Callable[..., None], ...] = (
    inspect,
    new,
    results,
    keep,
    triplets,
    search,
    serve,
    evaluate,
    label,
    export,
    costs,
    publish,
    estimate,
    diagnose,
    smoke,
)
app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
for _command in _COMMANDS:
    app.command()(_command)


@app.callback()
def _triptych(
    quiet: Annotated[bool, typer.Option("--quiet", help="show no progress; TQDM_DISABLE=1 does the same")] = False,
) -> None:
    """Tune a retriever to documentation, and prove whether it is better."""
    if quiet:
        progress.quiet()

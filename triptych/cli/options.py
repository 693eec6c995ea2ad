"""Paths of a project, options that several commands have, and checks of what they name."""

from pathlib import Path
from typing import Annotated

import typer

from triptych.errors import UserError

CORPUS, TEXTS, TOKENS = Path("data/corpus"), Path("data/triplets/texts"), Path("data/tokens")  # as in dvc.yaml
VECTORS, METRICS, WRITTEN = Path("data/vectors"), Path("metrics"), Path("data/questions")
# Options of the commands that search.
Index = Annotated[Path, typer.Option(help="the index of stage index")]
Embedder = Annotated[Path, typer.Option(help="the published embedder")]
Reranker = Annotated[Path, typer.Option(help="the published reranker")]
Verdict = Annotated[Path, typer.Option(help="the verdicts, which decide how to search")]


def check_file(option: str, path: Path, expected: str) -> None:
    """Raise `UserError` unless an option's path is a file; ``expected`` says which."""
    if not path.is_file():
        raise UserError(f"{option}: {path} is {'a folder' if path.is_dir() else 'missing'}; expected {expected}")


def check_folder(option: str, path: Path, *any_of: str) -> None:
    """Raise `UserError` unless an option's path is a folder with at least one of the files ``any_of``."""
    if not any((path / name).is_file() for name in any_of):
        lacks = f"has neither {' nor '.join(any_of)}" if len(any_of) > 1 else f"does not have {any_of[0]}"
        state = lacks if path.is_dir() else "is a file" if path.exists() else "is missing"
        raise UserError(f"{option}: {path} {state}; expected a folder with {' or '.join(any_of)}")

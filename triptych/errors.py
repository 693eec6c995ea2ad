"""Exceptions whose message is shown to the user."""

from pathlib import Path


class UserError(Exception):
    """An error that the user can fix. The message names what is wrong and what to do; no traceback is shown."""


class ArtifactError(UserError):
    """A file or folder that a stage writes is missing, damaged, or does not fit the others.

    The library does not know which stage writes ``path``; the caller that prints the error adds the command
    (`triptych.pipeline.with_remedy`).
    """

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} {problem}")
        self.path = path


class NothingToTrainOnError(UserError):
    """The texts give a model nothing to learn from; a run goes on without training it."""

"""Questions that a language model wrote for chunks, and their file."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from triptych.artifacts import read_jsonl, write_jsonl


@dataclass(frozen=True, slots=True)
class WrittenQuestion:
    """A question that the chunk answers, written by a language model that saw the chunk alone."""

    chunk_id: str
    text: str
    form: str  # how it was asked for, such as "task" or "symptom"; empty where nothing is known


def write_questions(path: Path, questions: Iterable[WrittenQuestion]) -> None:
    """Write one question a line, in the given order."""
    write_jsonl(path, (asdict(question) for question in questions))


def read_questions(path: Path) -> list[WrittenQuestion]:
    """Read what `write_questions` wrote."""
    return [WrittenQuestion(**row) for row in read_jsonl(path)]

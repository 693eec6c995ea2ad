"""A query with the chunks that answer it."""

from dataclasses import dataclass

from triptych.corpus.records import Query


@dataclass(frozen=True, slots=True)
class LabeledQuery:
    """A query with its relevant chunks and, if its author chose one, its split."""

    query: Query
    relevant: dict[str, int]  # chunk id -> grade, at least 1
    split: str | None = None
    held_out: bool = False  # only judges, about chunks of any split; dev or test is open where ``split`` is None

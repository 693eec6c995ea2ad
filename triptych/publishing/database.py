"""What all databases do: hold the rows of an index, and find chunks by them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from triptych.corpus.records import best
from triptych.publishing.changes import Changes
from triptych.publishing.index_rows import QUESTION, IndexRows
from triptych.retrieval.question_scores import combined_scores

EXACT_UP_TO = 50_000  # vectors that are compared one by one; above, an approximate index is built
_PER_CHUNK = 4  # vectors that are looked at per chunk that is wanted, at first


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A vector that a database found: its chunk, what it is of, and the cosine similarity."""

    chunk_id: str
    kind: str
    score: float


# Query vector of length 1, number of vectors, chunks that they may be of (None: all) -> the nearest, best first.
Nearest = Callable[[np.ndarray, int, Sequence[str] | None], list[Neighbor]]


class Database(Protocol):
    """A database that an index is published into. All methods raise `UserError` where the database refuses."""

    @property
    def shown(self) -> str:
        """Where the rows are, for people: no password."""
        ...

    def publication(self) -> AbstractContextManager[None]:
        """Return the block in which rows are compared and written: one transaction, where the database has them."""
        ...

    def prepare(self, rows: IndexRows) -> None:
        """Create the tables that are missing; raise `UserError` where they hold vectors of other dimensions."""
        ...

    def digests(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return the digests that the tables of chunks and of vectors have, by id."""
        ...

    def write(self, chunks: Changes, vectors: Changes) -> None:
        """Write and delete rows, so that no vector is ever without its chunk."""
        ...

    def search(self, query: np.ndarray, depth: int) -> dict[str, float]:
        """Return the best chunks and their scores for a query vector of length 1, float32 of shape (dimensions,)."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


def search_chunks(nearest: Nearest, query: np.ndarray, depth: int, most_per_chunk: int) -> dict[str, float]:
    """Return the best chunks by a search of vectors, scored as `ChunkSearch` does: best first, ties by id.

    A chunk of which no vector was found scores at most as much as the last vector that was: once the last chunk that is
    wanted scores more, no other one can be among the best.
    """
    wanted = _PER_CHUNK * depth
    while True:
        found = nearest(query, wanted, None)
        chunk_ids = list(dict.fromkeys(one.chunk_id for one in found))
        every = nearest(query, len(chunk_ids) * most_per_chunk, chunk_ids) if chunk_ids else []
        hits = best(chunk_scores(every), depth)
        if len(found) < wanted or (len(hits) == depth and min(hits.values()) > found[-1].score):
            return hits
        wanted *= 2


def chunk_scores(neighbors: Iterable[Neighbor]) -> dict[str, float]:
    """Return the score of each chunk, given all its vectors.

    >>> scores = chunk_scores([Neighbor("a", "window", 0.5), Neighbor("a", "question", 0.75)])
    >>> {chunk_id: round(score, 4) for chunk_id, score in scores.items()}
    {'a': 0.7}
    """
    windows: dict[str, float] = {}
    questions: dict[str, float] = {}
    for one in neighbors:
        side = questions if one.kind == QUESTION else windows
        side[one.chunk_id] = max(one.score, side.get(one.chunk_id, -1.0))
    scores = combined_scores(
        np.array(list(windows.values()), np.float32),
        np.array([questions.get(one, -1.0) for one in windows], np.float32),
        np.array([one in questions for one in windows], bool),
    )
    return dict(zip(windows, scores.tolist(), strict=True))

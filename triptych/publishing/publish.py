"""Publish an index into a database: only what changed is written."""

from dataclasses import asdict, dataclass
from typing import Any

from triptych.publishing.changes import Changes
from triptych.publishing.database import Database
from triptych.publishing.index_rows import IndexRows


@dataclass(frozen=True, slots=True)
class Published:
    """How many rows were written, deleted, and left as they were."""

    chunks: int
    vectors: int
    written: int
    deleted: int
    unchanged: int

    def record(self) -> dict[str, Any]:
        """Return the counts as a dict that JSON can represent."""
        return asdict(self)


def publish(rows: IndexRows, database: Database) -> Published:
    """Make a database hold exactly the rows of an index; raise `UserError` where it refuses.

    A second call writes nothing. One that was interrupted is completed by the next: a transaction was undone, and where
    there are none, the rows that were written are not written again.
    """
    with database.publication():
        database.prepare(rows)
        of_chunks, of_vectors = database.digests()
        chunks, vectors = Changes.between(rows.chunks, of_chunks), Changes.between(rows.vectors, of_vectors)
        database.write(chunks, vectors)
    written = len(chunks.written) + len(vectors.written)
    return Published(
        chunks=len(rows.chunks),
        vectors=len(rows.vectors),
        written=written,
        deleted=len(chunks.gone) + len(vectors.gone),
        unchanged=len(rows.chunks) + len(rows.vectors) - written,
    )

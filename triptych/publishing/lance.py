"""LanceDB: two tables in a folder or an object store; each batch of rows is one commit."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import HnswSq

from triptych.errors import UserError, first_line
from triptych.publishing.changes import Changes, parts
from triptych.publishing.database import EXACT_UP_TO, Neighbor, search_chunks
from triptych.publishing.index_rows import CHUNK_SCHEMA, IndexRows, vector_schema

_BATCH, _DELETED = 8192, 512  # rows written, and deleted, in one commit


class Lance:
    """Tables ``<name>_chunks`` and ``<name>_vectors``."""

    def __init__(self, path: str, name: str, exact_up_to: int = EXACT_UP_TO) -> None:
        """Open a folder, which is made if it is missing, or ``s3://...`` and the like."""
        self._name, self._exact_up_to = name, exact_up_to
        self.shown = f"LanceDB {path}, tables {name}_chunks and {name}_vectors"
        with self._errors():
            self._database = lancedb.connect(path)
        self._most_per_chunk = 1
        self._chunks: Any = None
        self._vectors: Any = None

    def publication(self) -> nullcontext[None]:
        """Return an empty block: LanceDB has no transaction over two tables."""
        return nullcontext()

    def prepare(self, rows: IndexRows) -> None:
        """Open or create both tables."""
        self._most_per_chunk = rows.most_per_chunk
        with self._errors():
            self._chunks = self._table("chunks", CHUNK_SCHEMA)
            schema = vector_schema(rows.dimensions)
            self._vectors = self._table("vectors", schema)
            field = self._vectors.schema.field("vector")
        if field.type != schema.field("vector").type:
            raise UserError(
                f"{self.shown}: the vectors there are {field.type}, those of this index {schema.field('vector').type};"
                " publish under another --name, or delete both tables"
            )

    def digests(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return the digests of chunks and of vectors."""
        with self._errors():
            return _digests(self._chunks, "chunk_id"), _digests(self._vectors, "id")

    def write(self, chunks: Changes, vectors: Changes) -> None:
        """Write chunks before vectors, delete vectors before chunks, and index what is new."""
        with self._errors():
            self._upsert(self._chunks, chunks)
            self._upsert(self._vectors, vectors)
            self._delete(self._vectors, vectors)
            self._delete(self._chunks, chunks)
            if not (chunks or vectors):
                return
            if len(vectors.rows) > self._exact_up_to and not self._vectors.list_indices():
                self._vectors.create_index("vector", config=HnswSq(distance_type="cosine"))
            for table in (self._chunks, self._vectors):
                table.optimize()

    def search(self, query: np.ndarray, depth: int) -> dict[str, float]:
        """Return the best chunks."""
        with self._errors():
            return search_chunks(self._nearest, query, depth, self._most_per_chunk)

    def close(self) -> None:
        """Nothing is open."""

    def _nearest(self, query: np.ndarray, number: int, chunk_ids: Sequence[str] | None) -> list[Neighbor]:
        search = self._vectors.search(query, vector_column_name="vector").distance_type("cosine").limit(number)
        if chunk_ids is not None:
            search = search.where(_in("chunk_id", chunk_ids), prefilter=True).bypass_vector_index()
        found = search.select(["chunk_id", "kind", "_distance"]).to_list()
        return [Neighbor(one["chunk_id"], one["kind"], 1 - one["_distance"]) for one in found]

    def _table(self, part: str, schema: pa.Schema) -> Any:
        name = f"{self._name}_{part}"
        try:
            return self._database.open_table(name)
        except (FileNotFoundError, ValueError):  # there is none
            return self._database.create_table(name, schema=schema)

    def _upsert(self, table: Any, changes: Changes) -> None:
        for batch in changes.batches(_BATCH):
            merge = table.merge_insert(changes.rows.key).when_matched_update_all().when_not_matched_insert_all()
            merge.execute(batch)

    def _delete(self, table: Any, changes: Changes) -> None:
        for ids in parts(changes.gone, _DELETED):
            table.delete(_in(changes.rows.key, ids))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(f"{self.shown}: {first_line(error)}") from error


def _digests(table: Any, key: str) -> dict[str, str]:
    found = table.search().select([key, "digest"]).limit(max(table.count_rows(), 1)).to_arrow()
    return dict(zip(found[key].to_pylist(), found["digest"].to_pylist(), strict=True))


def _in(column: str, values: Sequence[str]) -> str:
    """Return a condition in LanceDB's SQL.

    >>> _in("id", ["a", "it's"])
    "id IN ('a', 'it''s')"
    """
    quoted = ", ".join("'" + one.replace("'", "''") + "'" for one in values)
    return f"{column} IN ({quoted})"

"""PostgreSQL with pgvector: two tables and a search function, written in one transaction."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import psycopg
import pyarrow as pa
from pgvector import Vector
from pgvector.psycopg import register_vector
from psycopg import sql

from triptych.errors import UserError, first_line
from triptych.publishing.changes import Changes
from triptych.publishing.database import EXACT_UP_TO
from triptych.publishing.index_rows import IndexRows
from triptych.retrieval.question_scores import WEIGHT

_BATCH = 1024  # rows copied at once
_MOST_INDEXED = 2000  # dimensions that an HNSW index of pgvector takes
_LOOKED_AT = 400  # vectors that an approximate search visits
_TYPES = {"header_path": "text[]", "position": "int4", "vector": "vector"}  # of columns; the others are text
_CHUNKS = """
CREATE TABLE IF NOT EXISTS {chunks} (
    chunk_id text PRIMARY KEY, category text NOT NULL, title text NOT NULL, header_path text[] NOT NULL,
    filename text NOT NULL, source text NOT NULL, content text NOT NULL, digest text NOT NULL
)"""
_VECTORS = """
CREATE TABLE IF NOT EXISTS {vectors} (
    id text PRIMARY KEY, chunk_id text NOT NULL REFERENCES {chunks}, kind text NOT NULL, position int4 NOT NULL,
    category text NOT NULL, text text NOT NULL, digest text NOT NULL, vector vector({dimensions}) NOT NULL
)"""
# Arguments: $1 a query vector, $2 the number of chunks, $3 a category or NULL.
_EXACT = """
SELECT v.chunk_id, v.kind, 1 - (v.vector <=> $1) AS score FROM {vectors} v WHERE $3 IS NULL OR v.category = $3
"""
_APPROXIMATE = """
SELECT v.chunk_id, v.kind, 1 - (v.vector <=> $1) AS score FROM {vectors} v WHERE v.chunk_id IN (
    SELECT near.chunk_id FROM (
        SELECT n.chunk_id FROM {vectors} n WHERE $3 IS NULL OR n.category = $3 ORDER BY n.vector <=> $1 LIMIT {visited}
    ) near
)
"""
_SEARCH = """
CREATE FUNCTION {search}(query vector, k int DEFAULT 10, of_category text DEFAULT NULL)
RETURNS TABLE (chunk_id text, score float8, category text, title text, header_path text[], filename text, content text)
LANGUAGE sql STABLE {settings} AS $$
SELECT hits.chunk_id, hits.score, c.category, c.title, c.header_path, c.filename, c.content
FROM (
    SELECT sides.chunk_id, greatest(sides.w, {text} * sides.w + {question} * coalesce(sides.q, sides.w)) AS score
    FROM (
        SELECT near.chunk_id, max(near.score) FILTER (WHERE near.kind = 'window') AS w,
               max(near.score) FILTER (WHERE near.kind = 'question') AS q
        FROM ({found}) near GROUP BY near.chunk_id
    ) sides
    ORDER BY score DESC, sides.chunk_id LIMIT $2
) hits JOIN {chunks} c ON c.chunk_id = hits.chunk_id ORDER BY hits.score DESC, hits.chunk_id
$$"""


class Postgres:
    """Tables ``<name>_chunks`` and ``<name>_vectors``, and a function ``<name>_search(vector, k, category)``."""

    def __init__(self, url: str, name: str, exact_up_to: int = EXACT_UP_TO) -> None:
        """Connect; raise `UserError` where that fails. The password may come from ``PGPASSWORD`` or ``~/.pgpass``."""
        self._name, self._exact_up_to = name, exact_up_to
        self.shown = f"{_without_password(url)}, tables {name}_chunks and {name}_vectors"
        with self._errors():
            self._connection = psycopg.connect(url, autocommit=True, connect_timeout=10)
        with self._errors():
            if self._connection.execute("SELECT to_regtype('vector')").fetchone() != (None,):
                register_vector(self._connection)

    @contextmanager
    def publication(self) -> Iterator[None]:
        """Return a transaction, which waits for that of another publication of this name."""
        with self._errors(), self._connection.transaction():
            self._connection.execute("SELECT pg_advisory_xact_lock(hashtext('triptych'), hashtext(%s))", [self._name])
            yield

    def prepare(self, rows: IndexRows) -> None:
        """Create extension, tables, index and search function."""
        with self._errors():
            self._connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            register_vector(self._connection)
            self._execute(_CHUNKS)
            self._execute(_VECTORS, dimensions=sql.Literal(rows.dimensions))
            self._execute("CREATE INDEX IF NOT EXISTS {chunk_id} ON {vectors} (chunk_id)")
            (has,) = self._one(
                "SELECT atttypmod FROM pg_attribute WHERE attrelid = {table}::regclass AND attname = 'vector'",
                table=sql.Literal(f"{self._name}_vectors"),
            )
            if has != rows.dimensions:
                raise UserError(
                    f"{self.shown}: the vectors there have {has} dimensions, those of this index {rows.dimensions};"
                    " publish under another --name, or drop both tables"
                )
            approximate = len(rows.vectors) > self._exact_up_to and rows.dimensions <= _MOST_INDEXED
            if approximate:
                self._execute("CREATE INDEX IF NOT EXISTS {hnsw} ON {vectors} USING hnsw (vector vector_cosine_ops)")
            self._create_search(approximate)

    def digests(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return the digests of chunks and of vectors."""
        with self._errors():
            chunks = self._connection.execute(self._of("SELECT chunk_id, digest FROM {chunks}")).fetchall()
            vectors = self._connection.execute(self._of("SELECT id, digest FROM {vectors}")).fetchall()
        return dict(chunks), dict(vectors)

    def write(self, chunks: Changes, vectors: Changes) -> None:
        """Write rows with COPY, then delete."""
        with self._errors():
            self._upsert("{chunks}", chunks)
            self._upsert("{vectors}", vectors)
            if vectors.gone:
                self._connection.execute(self._of("DELETE FROM {vectors} WHERE id = ANY(%s)"), [vectors.gone])
            if chunks.gone:
                self._connection.execute(self._of("DELETE FROM {chunks} WHERE chunk_id = ANY(%s)"), [chunks.gone])
            if chunks or vectors:
                self._execute("ANALYZE {chunks}, {vectors}")

    def search(self, query: np.ndarray, depth: int) -> dict[str, float]:
        """Return the best chunks, by the function that an application calls too."""
        with self._errors():
            question = self._of("SELECT chunk_id, score FROM {search}(%s, %s)")
            return dict(self._connection.execute(question, [Vector(query), depth]).fetchall())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _create_search(self, approximate: bool) -> None:
        settings = f"SET hnsw.ef_search = {_LOOKED_AT} SET hnsw.iterative_scan = relaxed_order" if approximate else ""
        found = self._of(_APPROXIMATE if approximate else _EXACT, visited=sql.Literal(_LOOKED_AT))
        self._execute("DROP FUNCTION IF EXISTS {search}(vector, int, text)")
        self._execute(
            _SEARCH,
            found=found,
            settings=sql.SQL(settings),
            question=sql.Literal(WEIGHT),
            text=sql.Literal(round(1 - WEIGHT, 6)),
        )

    def _upsert(self, table: str, changes: Changes) -> None:
        """Copy rows into a temporary table, and from there into the real one."""
        if not changes.written:
            return
        names = changes.rows.schema.names
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        updates = sql.SQL(", ").join(
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in names if name != changes.rows.key
        )
        self._execute("CREATE TEMP TABLE incoming (LIKE " + table + ") ON COMMIT DROP")
        copy = sql.SQL("COPY incoming ({columns}) FROM STDIN WITH (FORMAT BINARY)").format(columns=columns)
        with self._connection.cursor() as cursor, cursor.copy(copy) as rows:
            rows.set_types([_TYPES.get(name, "text") for name in names])
            for batch in changes.batches(_BATCH):
                for values in _values(batch):
                    rows.write_row(values)
        self._execute(
            "INSERT INTO " + table + " ({columns}) SELECT {columns} FROM incoming"
            " ON CONFLICT ({key}) DO UPDATE SET {updates}",
            columns=columns,
            updates=updates,
            key=sql.Identifier(changes.rows.key),
        )
        self._execute("DROP TABLE incoming")

    def _of(self, statement: str, **more: sql.Composable) -> sql.Composed:
        """Fill the names of tables, function and indexes into a statement."""
        names = {part: sql.Identifier(f"{self._name}_{part}") for part in ("chunks", "vectors", "search")}
        indexes = {part: sql.Identifier(f"{self._name}_vectors_{part}") for part in ("chunk_id", "hnsw")}
        return sql.SQL(statement).format(**(names | indexes | more))

    def _execute(self, statement: str, **more: sql.Composable) -> None:
        self._connection.execute(self._of(statement, **more))

    def _one(self, statement: str, **more: sql.Composable) -> tuple[int]:
        row = self._connection.execute(self._of(statement, **more)).fetchone()
        assert row is not None
        return row

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise an error of the database as a `UserError` with what to do about it."""
        try:
            yield
        except psycopg.Error as error:
            raise UserError(f"{self.shown}: {first_line(error)}{_advice(error)}") from error


def _values(batch: pa.Table) -> Iterator[tuple[object, ...]]:
    """Yield the rows of a batch as PostgreSQL takes them: no text may have the character NUL."""
    columns = {name: batch[name].to_pylist() for name in batch.schema.names if name != "vector"}
    for name, values in columns.items():
        columns[name] = [one.replace("\0", "") if isinstance(one, str) else one for one in values]
    if "vector" in batch.schema.names:
        dimensions = batch.schema.field("vector").type.list_size
        flat = batch["vector"].combine_chunks().flatten().to_numpy()
        columns["vector"] = list(map(Vector, flat.reshape(-1, dimensions)))
    return zip(*(columns[name] for name in batch.schema.names), strict=True)


def _advice(error: psycopg.Error) -> str:
    if isinstance(error, psycopg.errors.FeatureNotSupported | psycopg.errors.UndefinedFile):
        return "; install pgvector on the server (Debian: postgresql-<version>-pgvector)"
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return "; have an administrator run CREATE EXTENSION vector, and grant this user CREATE on the schema"
    if isinstance(error, psycopg.errors.UndefinedColumn | psycopg.errors.UndefinedObject):
        return "; a table of that name is not of this program: publish under another --name"
    if isinstance(error, psycopg.OperationalError):
        return "; check the URL, and whether the server runs"
    return ""


def _without_password(url: str) -> str:
    parts = psycopg.conninfo.conninfo_to_dict(url)
    port = f":{parts['port']}" if "port" in parts else ""
    return f"postgresql://{parts.get('host', 'localhost')}{port}/{parts.get('dbname', '')}"

"""Qdrant: two collections, of chunks without vectors and of vectors that name their chunk."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
from grpc import RpcError
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException

from triptych.errors import UserError, first_line
from triptych.publishing.changes import Changes, parts
from triptych.publishing.database import EXACT_UP_TO, Neighbor, search_chunks
from triptych.publishing.index_rows import IndexRows

API_KEY = "QDRANT_API_KEY"
_BATCH, _PAGE = 256, 4096  # points written in one request, and read in one


class Qdrant:
    """Collections ``<name>_chunks`` and ``<name>_vectors``, of a server or of a folder (the client's local mode)."""

    def __init__(self, name: str, *, url: str | None = None, path: str | None = None) -> None:
        """Connect to a server, with the key in ``QDRANT_API_KEY`` if it is set, or open a folder."""
        self._names = f"{name}_chunks", f"{name}_vectors"
        self.shown = f"Qdrant {url or path}, collections {' and '.join(self._names)}"
        self._local = path is not None
        with self._errors():
            key = os.environ.get(API_KEY)
            self._client = QdrantClient(path=path) if path else QdrantClient(url=url, api_key=key, timeout=60)
        self._most_per_chunk, self._exact = 1, True

    def publication(self) -> nullcontext[None]:
        """Return an empty block: Qdrant has no transactions."""
        return nullcontext()

    def prepare(self, rows: IndexRows) -> None:
        """Create the collections, and the indexes of the fields that searches filter by."""
        self._most_per_chunk, self._exact = rows.most_per_chunk, len(rows.vectors) <= EXACT_UP_TO
        chunks, vectors = self._names
        with self._errors():
            if not self._client.collection_exists(chunks):
                self._client.create_collection(chunks, vectors_config={})
            if not self._client.collection_exists(vectors):
                config = models.VectorParams(size=rows.dimensions, distance=models.Distance.COSINE)
                self._client.create_collection(vectors, vectors_config=config)
                for field in () if self._local else ("chunk_id", "category"):
                    self._client.create_payload_index(vectors, field, models.PayloadSchemaType.KEYWORD)
            config = self._client.get_collection(vectors).config.params.vectors
        has = config.size if isinstance(config, models.VectorParams) else None
        if has != rows.dimensions:
            raise UserError(
                f"{self.shown}: the vectors there have {has} dimensions, those of this index {rows.dimensions};"
                " publish under another --name, or delete both collections"
            )

    def digests(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return the digests of chunks and of vectors."""
        chunks, vectors = self._names
        with self._errors():
            return self._digests(chunks, "chunk_id"), self._digests(vectors, "id")

    def write(self, chunks: Changes, vectors: Changes) -> None:
        """Write chunks before vectors, and delete vectors before chunks."""
        with self._errors():
            for collection, changes in zip(self._names, (chunks, vectors), strict=True):
                for batch in changes.batches(_BATCH):
                    points = [_point(row, changes.rows.key) for row in batch.to_pylist()]
                    self._client.upsert(collection, points, wait=True)
            for collection, changes in reversed(list(zip(self._names, (chunks, vectors), strict=True))):
                for ids in parts(changes.gone, _PAGE):
                    self._client.delete(collection, models.PointIdsList(points=[_point_id(one) for one in ids]))

    def search(self, query: np.ndarray, depth: int) -> dict[str, float]:
        """Return the best chunks."""
        with self._errors():
            return search_chunks(self._nearest, query, depth, self._most_per_chunk)

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def _nearest(self, query: np.ndarray, number: int, chunk_ids: Sequence[str] | None) -> list[Neighbor]:
        of_chunks = None
        if chunk_ids is not None:
            any_of = models.MatchAny(any=list(chunk_ids))
            of_chunks = models.Filter(must=[models.FieldCondition(key="chunk_id", match=any_of)])
        found = self._client.query_points(
            self._names[1],
            query=query.tolist(),
            limit=number,
            query_filter=of_chunks,
            search_params=None if self._local else models.SearchParams(exact=self._exact or chunk_ids is not None),
            with_payload=["chunk_id", "kind"],
        )
        payloads = ((point.payload or {}, point.score) for point in found.points)
        return [Neighbor(one["chunk_id"], one["kind"], score) for one, score in payloads]

    def _digests(self, collection: str, key: str) -> dict[str, str]:
        digests, offset = dict[str, str](), None
        while True:
            points, offset = self._client.scroll(
                collection, limit=_PAGE, offset=offset, with_payload=[key, "digest"], with_vectors=False
            )
            payloads = [point.payload or {} for point in points]
            digests |= {str(one.get(key, "")): str(one.get("digest", "")) for one in payloads}
            if offset is None:
                return digests

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (ApiException, RpcError, OSError, RuntimeError, ValueError) as error:
            raise UserError(f"{self.shown}: {first_line(error)}; check the URL, and {API_KEY}") from error


def _point(row: dict[str, Any], key: str) -> models.PointStruct:
    vector = row.pop("vector", None)
    return models.PointStruct(id=_point_id(row[key]), vector={} if vector is None else vector, payload=row)


def _point_id(one: str) -> str:
    """Return the id of a point, which has to be a number or a UUID: always the same for the id of a row."""
    return str(uuid5(NAMESPACE_URL, one))

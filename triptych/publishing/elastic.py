"""Elasticsearch and OpenSearch: two indexes, of chunks and of vectors that name their chunk.

Both take the same requests but for the type of a vector field, an approximate query and a script's access to a vector.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from triptych.errors import UserError, first_line
from triptych.publishing.changes import Changes
from triptych.publishing.database import EXACT_UP_TO, Neighbor, search_chunks
from triptych.publishing.index_rows import IndexRows

API_KEY = "ELASTICSEARCH_API_KEY"
_BATCH = 512  # documents sent in one request
_MOST_HITS = 10_000  # that both return for one search by default
_KEYWORD = {"type": "keyword"}
_STORED = {"type": "keyword", "index": False}  # returned, not searched
_TEXT = {"type": "text"}
_CHUNKS = {name: _KEYWORD for name in ("chunk_id", "category", "filename", "source")} | {"digest": _STORED}
_CHUNKS |= {name: _TEXT for name in ("title", "header_path", "content")}
_VECTORS = {name: _KEYWORD for name in ("id", "chunk_id", "kind", "category")} | {"digest": _STORED, "text": _TEXT}
_VECTORS |= {"position": {"type": "integer"}}


class Elastic:
    """Indexes ``<name>_chunks`` and ``<name>_vectors``."""

    def __init__(self, url: str, name: str, *, opensearch: bool, exact_up_to: int = EXACT_UP_TO) -> None:
        """Take the URL of a server, with user and password, or with a key in ``ELASTICSEARCH_API_KEY``."""
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        address = urlunsplit((parts.scheme, host, parts.path, "", ""))
        self._indexes = f"{name}_chunks", f"{name}_vectors"
        self.shown = f"{address}, indexes {' and '.join(self._indexes)}"
        self._opensearch, self._exact_up_to = opensearch, exact_up_to
        self._exact, self._most_per_chunk = True, 1
        login = (parts.username, parts.password or "") if parts.username else None
        if opensearch:
            from opensearchpy import OpenSearch, OpenSearchException, helpers

            self._client: Any = OpenSearch(address, http_auth=login, timeout=60)
            self._helpers: Any = helpers
            self._refusals: tuple[type[Exception], ...] = (OpenSearchException,)
        else:
            from elastic_transport import TransportError
            from elasticsearch import ApiError, Elasticsearch, helpers

            key = os.environ.get(API_KEY) if login is None else None
            self._client = Elasticsearch(address, basic_auth=login, api_key=key, request_timeout=60)
            self._helpers = helpers
            self._refusals = (ApiError, TransportError, helpers.BulkIndexError)

    def publication(self) -> nullcontext[None]:
        """Return an empty block: there are no transactions."""
        return nullcontext()

    def prepare(self, rows: IndexRows) -> None:
        """Create the indexes that are missing."""
        self._most_per_chunk, self._exact = rows.most_per_chunk, len(rows.vectors) <= self._exact_up_to
        chunks, vectors = self._indexes
        with self._errors():
            self._create(chunks, _CHUNKS, {})
            settings = {"index": {"knn": True}} if self._opensearch else {}
            self._create(vectors, _VECTORS | {"vector": self._vector_field(rows.dimensions)}, settings)
            mapping = self._client.indices.get_mapping(index=vectors)
            field = next(iter(mapping.values()))["mappings"]["properties"].get("vector", {})
        has = field.get("dimension" if self._opensearch else "dims")
        if has != rows.dimensions:
            raise UserError(
                f"{self.shown}: the vectors there have {has} dimensions, those of this index {rows.dimensions};"
                " publish under another --name, or delete both indexes"
            )

    def digests(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return the digests of chunks and of vectors."""
        with self._errors():
            chunks, vectors = (self._digests(index) for index in self._indexes)
        return chunks, vectors

    def write(self, chunks: Changes, vectors: Changes) -> None:
        """Write chunks before vectors, and delete vectors before chunks."""
        with self._errors():
            pairs = list(zip(self._indexes, (chunks, vectors), strict=True))
            for index, changes in pairs:
                self._helpers.bulk(self._client, _documents(index, changes), chunk_size=_BATCH)
            for index, changes in reversed(pairs):
                gone = ({"_op_type": "delete", "_index": index, "_id": one} for one in changes.gone)
                self._helpers.bulk(self._client, gone, chunk_size=_BATCH)
            for index in self._indexes:
                self._client.indices.refresh(index=index)

    def search(self, query: np.ndarray, depth: int) -> dict[str, float]:
        """Return the best chunks."""
        with self._errors():
            return search_chunks(self._nearest, query, depth, self._most_per_chunk)

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def _nearest(self, query: np.ndarray, number: int, chunk_ids: Sequence[str] | None) -> list[Neighbor]:
        size, vector = min(number, _MOST_HITS), query.tolist()
        if chunk_ids is None and not self._exact:
            body = {"size": size} | self._approximate(vector, size)
            scale, shift = 2.0, 1.0  # of a score (1 + cosine) / 2
        else:
            among = {"match_all": {}} if chunk_ids is None else {"terms": {"chunk_id": list(chunk_ids)}}
            field = "doc['vector']" if self._opensearch else "'vector'"
            script = {"source": f"cosineSimilarity(params.query, {field}) + 1.0", "params": {"query": vector}}
            body = {"size": size, "query": {"script_score": {"query": among, "script": script}}}
            scale, shift = 1.0, 1.0
        found = self._client.search(index=self._indexes[1], body=body | {"_source": ["chunk_id", "kind"]})
        hits = ((hit["_source"], hit["_score"] * scale - shift) for hit in found["hits"]["hits"])
        return [Neighbor(source["chunk_id"], source["kind"], score) for source, score in hits]

    def _approximate(self, vector: list[float], number: int) -> dict[str, Any]:
        if self._opensearch:
            return {"query": {"knn": {"vector": {"vector": vector, "k": number}}}}
        visited = min(max(2 * number, 100), _MOST_HITS)
        return {"knn": {"field": "vector", "query_vector": vector, "k": number, "num_candidates": visited}}

    def _vector_field(self, dimensions: int) -> dict[str, Any]:
        if self._opensearch:
            method = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}
            return {"type": "knn_vector", "dimension": dimensions, "method": method}
        return {"type": "dense_vector", "dims": dimensions, "index": True, "similarity": "cosine"}

    def _create(self, index: str, properties: dict[str, Any], settings: dict[str, Any]) -> None:
        if not self._client.indices.exists(index=index):
            mappings = {"dynamic": "strict", "properties": properties}
            self._client.indices.create(index=index, body={"mappings": mappings, "settings": settings})

    def _digests(self, index: str) -> dict[str, str]:
        every = {"query": {"match_all": {}}, "_source": ["digest"]}
        found = self._helpers.scan(self._client, query=every, index=index, size=_MOST_HITS)
        return {hit["_id"]: hit["_source"].get("digest", "") for hit in found}

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._refusals as error:
            raise UserError(f"{self.shown}: {first_line(error)}; check the URL, user and password") from error


def _documents(index: str, changes: Changes) -> Iterator[dict[str, Any]]:
    for batch in changes.batches(_BATCH):
        for row in batch.to_pylist():
            yield {"_op_type": "index", "_index": index, "_id": row[changes.rows.key], "_source": row}

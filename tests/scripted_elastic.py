"""The part of Elasticsearch's and OpenSearch's HTTP interface that publishing uses, by their documentation.

Neither server can be installed where these tests run: this checks the requests of the real clients, not the servers.
"""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np

SCRIPTS = {
    "dense_vector": "cosineSimilarity(params.query, 'vector') + 1.0",
    "knn_vector": "cosineSimilarity(params.query, doc['vector']) + 1.0",
}
DIMENSIONS = {"dense_vector": "dims", "knn_vector": "dimension"}


class RefusedError(Exception):
    """What a server answers with status 400."""


class _Index:
    def __init__(self, body):
        mappings = body["mappings"]
        if mappings["dynamic"] != "strict" or "settings" not in body:
            raise RefusedError("unexpected mappings")
        self.properties, self.documents = mappings["properties"], {}
        self.vector = self.properties.get("vector")
        if self.vector and self.vector["type"] == "knn_vector" and not body["settings"].get("index", {}).get("knn"):
            raise RefusedError("index.knn is not set")

    def put(self, key, document):
        if unknown := document.keys() - self.properties.keys():
            raise RefusedError(f"strict_dynamic_mapping_exception: {sorted(unknown)}")
        if self.vector and len(document["vector"]) != self.vector[DIMENSIONS[self.vector["type"]]]:
            raise RefusedError("the vector has another number of dimensions")
        self.documents[key] = document

    def search(self, body):
        hits = [(key, document, 1.0) for key, document in self.documents.items()]
        query = body.get("query", {})
        if "script_score" in query:
            hits = self._scored(query["script_score"])
        elif "knn" in query or "knn" in body:
            if (self.vector["type"] == "knn_vector") != ("knn" in query):
                raise RefusedError("unknown query [knn]")
            knn = query["knn"]["vector"] if "knn" in query else body["knn"]
            vector = knn["vector"] if "knn" in query else knn["query_vector"]
            hits = [(key, one, (1 + self._cosine(vector, one)) / 2) for key, one in self.documents.items()]
            hits = sorted(hits, key=lambda one: -one[2])[: knn["k"]]
        elif query != {"match_all": {}}:
            raise RefusedError(f"unexpected query {query}")
        return [
            {"_id": key, "_score": score, "_source": {name: one[name] for name in body["_source"] if name in one}}
            for key, one, score in sorted(hits, key=lambda one: -one[2])
        ]

    def _scored(self, query):
        script, among = query["script"], query["query"]
        if script["source"] != SCRIPTS[self.vector["type"]]:
            raise RefusedError(f"script_exception: {script['source']}")
        wanted = set(among["terms"]["chunk_id"]) if "terms" in among else None
        vector = script["params"]["query"]
        return [
            (key, one, 1 + self._cosine(vector, one))
            for key, one in self.documents.items()
            if wanted is None or one["chunk_id"] in wanted
        ]

    @staticmethod
    def _cosine(vector, document):
        return float(np.dot(np.float32(vector), np.float32(document["vector"])))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    indexes: dict[str, _Index]
    scrolls: dict[str, list]
    authorization: str | None  # the header that is asked for

    def log_message(self, *_):
        """Print nothing."""

    def _answer(self, status, record=None):
        data = b"" if record is None else json.dumps(record).encode()
        self.send_response(status)
        for name, value in (
            ("Content-Type", "application/json"),
            ("X-Elastic-Product", "Elasticsearch"),
            ("Content-Length", str(len(data))),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _handle(self):
        address = urlsplit(self.path)
        parts = address.path.strip("/").split("/")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if self.authorization not in (None, self.headers.get("Authorization")):
            self._answer(401, {"error": {"type": "security_exception", "reason": "who are you"}, "status": 401})
            return
        try:
            self._answer(*self._respond(parts, parse_qs(address.query), body))
        except RefusedError as error:
            self._answer(400, {"error": {"type": "refused", "reason": str(error)}, "status": 400})

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _handle  # noqa: N815

    def _respond(self, parts, options, body):
        match self.command, parts:
            case "HEAD", [index]:
                return 200 if index in self.indexes else 404, None
            case _, ["_bulk"]:
                return 200, self._bulk(body)
            case "PUT", [index]:
                self.indexes[index] = _Index(json.loads(body))
                return 200, {"acknowledged": True}
            case "GET", [index, "_mapping"]:
                return 200, {index: {"mappings": {"properties": self.indexes[index].properties}}}
            case _, [_, "_refresh"]:
                return 200, {}
            case "DELETE", ["_search", "scroll", *_]:
                return 200, {}
            case _, ["_search", "scroll", *_]:
                return 200, self._page(json.loads(body)["scroll_id"])
            case "POST", [index, "_search"]:
                return 200, self._search(self.indexes[index], json.loads(body), options)
        raise RefusedError(f"unexpected {self.command} {parts}")

    def _search(self, index, body, options):
        hits, size = index.search(body), int(options.get("size", [body.get("size", 10)])[0])
        if size > 10_000:
            raise RefusedError("Result window is too large")
        if "scroll" not in options:
            return {"hits": {"hits": hits[:size]}}
        name = f"scroll{len(self.scrolls)}"
        self.scrolls[name] = [hits[start : start + size] for start in range(0, len(hits), size)]
        return self._page(name)

    def _page(self, name):
        pages = self.scrolls[name]
        shards = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
        return {"_scroll_id": name, "_shards": shards, "hits": {"hits": pages.pop(0) if pages else []}}

    def _bulk(self, body):
        lines, items, failed = iter(body.strip().split("\n")), [], False
        for line in lines:
            ((action, about),) = json.loads(line).items()
            index, status = self.indexes[about["_index"]], 200
            result = {"_index": about["_index"], "_id": about["_id"]}
            try:
                if action == "delete":
                    index.documents.pop(about["_id"])
                else:
                    index.put(about["_id"], json.loads(next(lines)))
            except RefusedError as error:
                status, failed, result = 400, True, result | {"error": {"reason": str(error)}}
            items.append({action: result | {"status": status}})
        return {"errors": failed, "items": items}


@contextmanager
def scripted_elastic(authorization=None):
    """Run the server in a thread, which may ask for a header ``Authorization``; yield its host and port."""
    handler = type("Handler", (_Handler,), {"indexes": {}, "scrolls": {}, "authorization": authorization})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()

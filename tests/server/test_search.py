"""Search over HTTP: the answers of the command line, many at once, within limits, and never a traceback."""

import json
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from threadpoolctl import ThreadpoolController

QUESTIONS = ["discrete transform", "mask where a condition is met", "fill_value", "the inverse of rfft", "zebra"]


def records(hits):
    return json.loads(json.dumps([hit.record() for hit in hits]))


class Slow:
    """A searcher whose searches wait until they are let go, as do its vectors and scores."""

    def __init__(self, searcher):
        self._searcher, self.go, self.started, self.batches = searcher, threading.Event(), 0, []

    def __getattr__(self, name):
        return getattr(self._searcher, name)

    def search_all(self, questions, k, category):
        self.started += 1
        self.batches.append(len(questions))
        assert self.go.wait(20)
        if "fail" in questions:
            raise RuntimeError("a secret of the server")
        return self._searcher.search_all(questions, k, category)

    def encode(self, texts, role):
        self.started += 1
        assert self.go.wait(20)
        return self._searcher.encode(texts, role)

    def relevance(self, pairs):
        self.started += 1
        assert self.go.wait(20)
        return [0.0] * len(pairs)


ASKED = {
    "/search": {"question": "mask"},
    "/v1/embeddings": {"input": "mask", "model": "embedder-query"},
    "/v1/rerank": {"query": "mask", "documents": ["an array"], "model": "reranker"},
}


def until(met):
    deadline = time.monotonic() + 20
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("asked", [{}, {"k": 3}, {"k": 100, "category": "fft"}])
def test_hits_are_those_of_the_command_line(client, searcher, asked):
    for question in QUESTIONS:
        answer = client.post("/search", json={"question": question} | asked)
        assert answer.status_code == 200
        hits = searcher.search(question, **({"k": 10} | asked))
        assert answer.json() == {"question": question, "hits": records(hits)}


def test_many_at_once_share_batches_and_each_gets_its_own_answer(serve, searcher):
    slow = Slow(searcher)
    client = serve(slow)
    asked = [(question, k, category) for question in QUESTIONS for k in (1, 5) for category in (None, "ma")] * 2

    def ask(one):
        question, k, category = one
        body = {"question": question, "k": k, "category": category}
        return client.post("/search", json=body).json()["hits"]

    with ThreadPoolExecutor(len(asked)) as pool:
        answers = pool.map(ask, asked)
        until(lambda: slow.started)
        time.sleep(0.5)
        slow.go.set()
        for one, answer in zip(asked, answers, strict=True):
            assert answer == records(searcher.search(*one))
    assert max(slow.batches) > 1


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"question": " \n"}, 400, "the question is empty; ask something"),
        ({"question": "mask", "k": 101}, 400, "k must be 1 to 100 (evaluate.depth), got 101"),
        ({"question": "mask", "k": 0}, 422, "k: Input should be greater than or equal to 1"),
        ({"question": "mask", "k": "many"}, 422, "k: Input should be a valid integer"),
        ({"question": "mask", "category": "linalg"}, 400, "no chunk has the category 'linalg'; known are fft, ma"),
        ({"question": "x" * 10_001}, 422, "question: String should have at most 10000 characters"),
        ({"query": "mask"}, 422, "question: Field required"),
        ({"question": "mask", "top": 3}, 422, "top: Extra inputs are not permitted"),
        (b'{"question": "caf\\udce9"}', 422, "question: Input should be a valid string"),
        (b'{"question": "\xff"}', 400, "There was an error parsing the body"),
        (b"{", 422, "JSON decode error"),
        (b"[" * 100_000, 400, "There was an error parsing the body"),
        (b"", 422, "Field required"),
    ],
)
def test_what_cannot_be_asked_is_one_message(client, body, status, said):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post("/search", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert said in error["message"]
    assert "\n" not in error["message"]
    assert "Traceback" not in answer.text


def test_paths_and_methods_that_are_not_there_are_one_message(client):
    for method, path, status in (("GET", "/nothing", 404), ("GET", "/search", 405), ("GET", "/chunks/nothing", 400)):
        answer = client.request(method, path)
        assert answer.status_code == status
        assert answer.json()["error"]["message"]


def test_an_error_of_the_server_tells_the_client_nothing_and_hits_nobody_else(serve, searcher):
    slow = Slow(searcher)
    client = serve(slow)
    with ThreadPoolExecutor(9) as pool:
        blocked = [pool.submit(client.post, "/search", json={"question": "mask"}) for _ in range(4)]
        until(lambda: slow.started)
        more = [pool.submit(client.post, "/search", json={"question": one}) for one in ("fail", *QUESTIONS[:4])]
        time.sleep(0.5)
        slow.go.set()
        answers = [one.result() for one in (*blocked, *more)]
    assert [one.status_code for one in answers] == [200] * 4 + [500] + [200] * 4
    failed = answers[4]
    assert failed.json()["error"]["message"] == "the server failed; its log has the reason"
    assert "secret" not in failed.text


@pytest.mark.parametrize("path", ASKED)
def test_overload_is_503_at_once_and_passes(serve, searcher, path):
    slow = Slow(searcher)
    client = serve(slow, waiting=2)
    with ThreadPoolExecutor(40) as pool:
        asked = [pool.submit(client.post, path, json=ASKED[path]) for _ in range(40)]
        until(lambda: sum(one.done() for one in asked) >= 40 - 2 - 4)  # what waits, and what four threads work on
        refused = [one.result() for one in asked if one.done()]
        assert {one.status_code for one in refused} == {503}
        assert refused[0].headers["Retry-After"] == "1"
        assert refused[0].json()["error"]["message"] == "2 requests wait already; try again in a second"
        assert client.get("/health").json() == {"status": "ok"}
        slow.go.set()
        answers = [one.result().status_code for one in asked]
    assert 3 <= answers.count(200) <= 40 - len(refused)  # those that waited, and one a thread
    assert answers.count(200) + answers.count(503) == 40
    assert client.post(path, json=ASKED[path]).status_code == 200


@pytest.mark.parametrize("path", ASKED)
def test_a_request_that_takes_too_long_is_504_and_is_not_worked_on(serve, searcher, path):
    slow = Slow(searcher)
    client = serve(slow, seconds=0.4)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: client.post(path, json=ASKED[path]), range(12)))
    assert {one.status_code for one in answers} == {504}
    assert answers[0].json()["error"]["message"] == "took longer than 0.4 s; ask for less at a time"
    started = slow.started
    slow.go.set()
    assert client.post(path, json=ASKED[path]).status_code == 200
    assert slow.started == started + 1  # those that waited are gone


def test_a_large_body_is_413_whether_or_not_its_size_is_declared(serve, searcher):
    client = serve(searcher, max_bytes=1000)
    headers = {"Content-Type": "application/json"}
    body = json.dumps({"question": "mask " * 300}).encode()
    assert client.post("/search", content=body, headers=headers).status_code == 413
    pieces = (body[at : at + 100] for at in range(0, len(body), 100))
    answer = client.post("/search", content=pieces, headers=headers)
    assert answer.status_code == 413
    assert answer.json()["error"]["message"] == "the body has more than 1,000 bytes; send less at a time"
    assert client.post("/search", json={"question": "mask"}).status_code == 200


@pytest.mark.parametrize(("declared", "status"), [(100, 408), (1001, 413)])
def test_a_body_that_does_not_come_is_408_or_413_at_once_and_ends_the_connection(serve, searcher, declared, status):
    client = serve(searcher, max_bytes=1000, seconds=0.3 if status == 408 else 30)
    with socket.create_connection((client.base_url.host, client.base_url.port)) as slow:
        slow.settimeout(10)
        slow.sendall(f"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Length: {declared}\r\n\r\n{{".encode())
        answer = b""
        while part := slow.recv(4096):  # until the server closes
            answer += part
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())


def test_without_the_token_nothing_of_the_data_is_given(serve, searcher):
    client = serve(searcher, token="sesame")
    for method, path in (("POST", "/search"), ("GET", "/info"), ("GET", "/chunks/x"), ("POST", "/v1/embeddings")):
        for header in ("", "Bearer wrong", "Bearer", "Basic sesame", "Bearer sesame2"):
            answer = client.request(method, path, headers={"Authorization": header} if header else {})
            assert answer.status_code == 401
            assert "Authorization: Bearer" in answer.json()["error"]["message"]
    for path in ("/", "/search.js", "/health", "/docs", "/openapi.json"):
        assert client.get(path).status_code == 200
    client.headers["Authorization"] = "Bearer sesame"
    assert client.post("/search", json={"question": "mask"}).status_code == 200


def test_a_name_that_is_not_of_this_machine_is_refused(client):
    assert client.get("/info", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/info", headers={"Host": "localhost:8000"}).status_code == 200


def test_a_chunk_is_read_with_those_around_it_in_its_file(client, searcher):
    chunk = searcher.search("mask", k=1)[0].chunk
    (read,) = client.get(f"/chunks/{chunk.chunk_id}").json()["chunks"]
    assert read == {
        "chunk_id": chunk.chunk_id,
        "category": chunk.category,
        "title": chunk.title,
        "header_path": list(chunk.header_path),
        "filename": chunk.filename,
        "content": chunk.content,
    }
    around = client.get(f"/chunks/{chunk.chunk_id}", params={"around": 50}).json()["chunks"]
    assert {one["filename"] for one in around} == {chunk.filename}
    assert read in around
    assert client.get(f"/chunks/{chunk.chunk_id}", params={"around": 51}).status_code == 422


def test_hits_have_the_address_of_their_page(serve, searcher):
    client = serve(searcher, source_url="https://docs.example.com/{category}/{filename}.html")
    hits = client.post("/search", json={"question": "mask"}).json()["hits"]
    assert all(hit["url"] == f"https://docs.example.com/{hit['category']}/{hit['filename']}.html" for hit in hits)


def test_the_description_of_the_api_is_whole_and_its_page_asks_no_other_host(client):
    described = client.get("/openapi.json").json()
    assert {"/search", "/chunks/{chunk_id}", "/v1/embeddings", "/v1/rerank", "/health"} <= described["paths"].keys()
    answers = described["paths"]["/search"]["post"]["responses"]
    assert {"200", "400", "401", "413", "422", "503", "504"} <= answers.keys()
    page = client.get("/docs").text
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert addresses
    for address in addresses:
        assert client.get(address).status_code == 200, address
    assert "://" not in "".join(addresses)


def test_info_has_what_can_be_asked(client, searcher):
    info = {"chunks": len(searcher), "categories": ["fft", "ma"], "max_k": 100, "reranker": False}
    assert client.get("/info").json() == info


def test_memory_that_ran_out_is_503(serve, searcher, monkeypatch):
    client = serve(searcher)

    def fail(*_):
        raise MemoryError("Unable to allocate 7 GiB")

    monkeypatch.setattr(searcher, "search_all", fail)
    answer = client.post("/search", json={"question": "mask"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.json()["error"]["message"] == "memory ran out; ask for less at a time"


@pytest.mark.parametrize(
    ("filename", "source", "source_url", "page"),
    [
        ("a b/c?.md", "", "https://x.example/{filename}#{chunk_id}", "https://x.example/a%20b/c%3F.md#one"),
        ("https://x.example/a", "", "", "https://x.example/a"),
        ("a.md", "http://x.example/a", "", "http://x.example/a"),
        ("a.md", "b", "", None),
    ],
)
def test_a_page_of_a_chunk_is_its_own_address_or_made_of_its_fields(searcher, filename, source, source_url, page):
    from triptych.server.settings import ServerSettings

    chunk = replace(searcher.search("mask", k=1)[0].chunk, chunk_id="one", filename=filename, source=source)
    assert ServerSettings(source_url=source_url).page_of(chunk) == page


def test_products_have_one_thread_while_the_server_runs(serve, searcher, monkeypatch):
    """Also after the first of several requests that overlap has ended."""
    seen, search_all, products = [], searcher.search_all, ThreadpoolController().select(threading_layer="pthreads")

    def searched(*args):
        seen.extend(one["num_threads"] for one in products.info())
        return search_all(*args)

    def limit(number):
        thread = threading.Thread(
            target=products.limit, kwargs={"limits": number}
        )  # only the thread that set it may change it
        thread.start()
        thread.join()

    monkeypatch.setattr(searcher, "search_all", searched)
    before = products.info()[0]["num_threads"]
    limit(3)
    try:
        assert serve(searcher).post("/search", json={"question": "mask"}).status_code == 200
    finally:
        limit(before)
    assert set(seen) == {1}

"""`triptych serve` under load, beside sentence-transformers behind the same framework.

``python -m benchmarks.serve [--project .] [--quick]``, after ``dvc repro`` in the project.

Two servers, both warm, in processes of their own: `triptych serve`, and an application of FastAPI and uvicorn that
loads the published embedder with sentence-transformers and searches its float32 vectors, as its documentation shows.
Clients are threads of a third process, each with a connection that stays open, and ask the dev questions one after the
other. The sides alternate. ``/v1/embeddings`` is the same work on both sides, a question a request; ``/search`` is the
hybrid with snippets here, vectors alone there. Then as many clients as overload the server, and one client again.

``--soak SECONDS`` searches with one `Searcher` in 32 threads instead, compares every answer with that of one thread,
and prints the memory of the process.
"""

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import numpy as np

CLIENTS = (1, 8, 32)
OVERLOAD = 200  # clients
PEER = """
import socket, sys, threading
import numpy as np
import pyarrow.parquet as pq
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import semantic_search

model, vectors = SentenceTransformer("models/embedder"), np.load(sys.argv[1])
texts = pq.read_table("data/index/chunks.parquet", columns=["content"])["content"].to_pylist()
chunk_of_window = np.load("data/index/windows.npy")
app, lock = FastAPI(), threading.Lock()  # its tokenizer fails in two threads at once

class Texts(BaseModel):
    input: str

class Search(BaseModel):
    question: str

def encoded(text):
    with lock:
        return model.encode_query(text, normalize_embeddings=True, show_progress_bar=False)

@app.post("/v1/embeddings")
def embeddings(body: Texts):
    return {"data": [{"embedding": encoded(body.input).tolist()}]}

@app.post("/search")
def search(body: Search):
    hits = semantic_search(encoded(body.question), vectors, top_k=10)[0]
    return {"hits": [{"score": hit["score"], "content": texts[chunk_of_window[hit["corpus_id"]]]} for hit in hits]}

encoded("warm")
listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each answer waits 40 ms for the client's ACK
print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])
"""


@dataclass
class Load:
    """What clients saw: seconds of each answer by its status, and how long all of it took."""

    seconds: float
    processor: float = 0.0  # seconds of the server
    latencies: dict[int, list[float]] = field(default_factory=dict)

    def summary(self) -> dict[str, float]:
        """Return requests answered with 200 a second, and percentiles of their latency in milliseconds."""
        good = np.array(self.latencies.get(200, [np.nan])) * 1000
        percentiles = {f"p{one}": float(np.percentile(good, one)) for one in (50, 95, 99)}
        answers = len(self.latencies.get(200, []))
        return {
            "per_second": answers / self.seconds,
            "processor_ms": 1000 * self.processor / max(1, answers),
        } | percentiles


@dataclass(frozen=True)
class Server:
    """A server in a process of its own."""

    port: int
    process: Any  # of psutil

    def load(self, path: str, bodies: list[bytes], clients: int, seconds: float) -> Load:
        """Put it under load; see `load`. The processor time is that of the server alone."""
        before = self.process.cpu_times()
        result = load(self.port, path, bodies, clients, seconds)
        after = self.process.cpu_times()
        result.processor = after.user + after.system - before.user - before.system
        return result


@contextmanager
def started(command: list[str]) -> Iterator[Server]:
    """Yield a server once it prints its address; stop it at the end."""
    import psutil

    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        port = int(re.search(r":(\d+)", line.replace("http:", ""))[1])  # type: ignore[index]
        yield Server(port, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(30)


def load(port: int, path: str, bodies: list[bytes], clients: int, seconds: float) -> Load:
    """Ask a server from some clients at once, each its next question when it has its answer."""
    rows: list[list[tuple[int, float]]] = [[] for _ in range(clients)]
    until = time.perf_counter() + seconds

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {"Content-Type": "application/json"}
        for body in cycle(bodies[number % len(bodies) :] + bodies[: number % len(bodies)]):
            began = time.perf_counter()
            if began >= until:
                break
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            answer.read()
            rows[number].append((answer.status, time.perf_counter() - began))
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result = Load(time.perf_counter() - began)
    for status, latency in (one for of_client in rows for one in of_client):
        result.latencies.setdefault(status, []).append(latency)
    return result


def overload(server: Server, bodies: list[bytes], seconds: float) -> dict[str, Any]:
    """Return what one client sees before, during and after an overload, and the statuses of the many."""
    before = server.load("/search", bodies, 1, seconds).summary()
    during = server.load("/search", bodies, OVERLOAD, seconds)
    after = server.load("/search", bodies, 1, seconds).summary()
    refused = 1000 * np.array(during.latencies.get(503, [np.nan]))
    return {
        "before": before,
        "clients": OVERLOAD,
        "statuses": {str(status): len(times) for status, times in sorted(during.latencies.items())},
        "during": during.summary(),
        "p95_of_503": float(np.percentile(refused, 95)),
        "after": after,
    }


def soak(seconds: float, questions: list[str]) -> dict[str, Any]:
    """Search in 32 threads, with questions of ever new words among them; compare with one thread's answers."""
    import psutil

    from triptych import Searcher

    searcher, random = Searcher(), Random(7)
    asked = [
        (question, random.choice([1, 5, 10, 100]), random.choice([None, *searcher.categories]))
        for question in questions
    ]
    expected = [searcher.search(*one) for one in asked]
    counts: Counter[str] = Counter()
    until, process, memory = time.monotonic() + seconds, psutil.Process(), []

    def ask(number: int) -> None:
        random = Random(number)
        while time.monotonic() < until:
            row = random.randrange(len(asked))
            same = searcher.search(*asked[row]) == expected[row]
            searcher.search(" ".join(f"w{random.getrandbits(40):x}" for _ in range(5)))
            counts["same" if same else "different"] += 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(min(10, max(0.1, seconds / 10)))
        memory.append(process.memory_full_info().uss / 2**20)
        print(f"{memory[-1]:.0f} MiB, {dict(counts)}", flush=True)
    return {"seconds": seconds, "searches": dict(counts), "mib": memory}


def dev_questions() -> list[str]:
    """Return the texts of the dev questions of the project in the current folder."""
    from triptych.corpus.records import read_qrels, read_queries

    queries = read_queries(Path("data/corpus"))
    return [queries[one].text for one in read_qrels(Path("data/corpus/qrels/dev.tsv"))]


def compare(seconds: float, repeats: int, questions: list[str]) -> dict[str, Any]:
    """Return the figures of both servers by path and number of clients, medians of the repeats."""
    import faiss

    windows = len(np.load("data/index/windows.npy"))
    vectors = faiss.read_index("data/index/vectors.faiss").reconstruct_n(0, windows)
    bodies = {
        "/v1/embeddings": [json.dumps({"input": one, "model": "embedder-query"}).encode() for one in questions],
        "/search": [json.dumps({"question": one}).encode() for one in questions],
    }
    table: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        np.save(saved := Path(scratch) / "vectors.npy", vectors)
        ours = [sys.executable, "-m", "triptych.cli", "serve", "--port", "0"]
        peer = [sys.executable, "-c", PEER, str(saved)]
        with started(ours) as our_server, started(peer) as peer_server:
            for path, of_path in bodies.items():
                for clients in CLIENTS:
                    runs: dict[str, list[dict[str, float]]] = {"triptych": [], "peer": []}
                    for repeat in range(repeats + 1):  # the first warms up
                        for side, server in (("triptych", our_server), ("peer", peer_server)):
                            figures = server.load(path, of_path, clients, seconds)
                            assert figures.latencies.keys() == {200}, {n: len(t) for n, t in figures.latencies.items()}
                            if repeat:
                                runs[side].append(figures.summary())
                    for side, of_side in runs.items():
                        row = {name: median(run[name] for run in of_side) for name in of_side[0]}
                        table.setdefault(path, {}).setdefault(str(clients), {})[side] = row
                        print(f"{path:<15} {clients:>3} clients {side:<9}", _line(row), flush=True)
            table["overload"] = overload(our_server, bodies["/search"], seconds)
    return table


def _line(row: dict[str, float]) -> str:
    percentiles = f"p50 {row['p50']:.0f} p95 {row['p95']:.0f} p99 {row['p99']:.0f} ms"
    return f"{row['per_second']:6.1f} a second, {percentiles}, processor {row['processor_ms']:.1f} ms"


def main() -> None:
    """Print a table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, default=Path())
    parser.add_argument("--quick", action="store_true", help="one run of three seconds each")
    parser.add_argument("--soak", type=float, metavar="SECONDS")
    args = parser.parse_args()
    with chdir(args.project):
        questions = dev_questions()
        if args.soak:
            result = soak(args.soak, questions)
        else:
            result = compare(3.0, 1, questions) if args.quick else compare(6.0, 3, questions)
            print("overload:", json.dumps(result["overload"]))
    print(json.dumps({"cores": len(os.sched_getaffinity(0)), "questions": len(questions)} | result))


if __name__ == "__main__":
    main()

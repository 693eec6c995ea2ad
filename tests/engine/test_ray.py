"""The same bytes on a Ray cluster of two nodes as in one process, also where a worker dies in the middle."""

import os
import signal
import socket
import time
from collections import Counter
from functools import partial

import numpy as np
import pytest

from triptych.corpus.duplicates.near_duplicates import cluster
from triptych.corpus.files import BadFileError
from triptych.engine.in_order import in_order
from triptych.errors import UserError

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.posix]
MINE = (
    "--corpus data/corpus --texts data/triplets/texts --tokens data/tokens --round data/triplets/round0"
    " --model models/base --mined data/triplets/round1 --metrics metrics/mine.json --vectors data/vectors"
)


def _ports():
    """Return free ports for a node's agents: a node that chooses them itself waits until its agents have started."""
    agents = ("metrics_agent", "metrics_export", "dashboard_agent_listen", "runtime_env_agent")
    names = [f"{agent}_port" for agent in agents]
    sockets = [socket.socket() for _ in names]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = {name: one.getsockname()[1] for name, one in zip(names, sockets, strict=True)}
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def nodes():
    """Start a cluster of two nodes with a core each, and connect to it."""
    from ray._private import services
    from ray.cluster_utils import Cluster

    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_agent_register_timeout_ms": "180000"}
    patch = pytest.MonkeyPatch()
    patch.setattr(services, "get_node", _patient(services.get_node))
    small = {
        "num_cpus": 1,
        "object_store_memory": 100 * 2**20,
        "include_dashboard": False,
        "include_log_monitor": False,
    }
    started = Cluster(initialize_head=True, head_node_args=small | _ports())
    started.add_node(**small, **_ports())
    ray.init(address=started.address, log_to_driver=False)
    yield started
    ray.shutdown()
    started.shutdown()
    patch.undo()


def _patient(get_node):
    """Wait three minutes for a node to appear, not thirty seconds: on a busy machine its processes start slowly."""

    def wait(*args):
        end = time.monotonic() + 180
        while True:
            try:
                return get_node(*args)
            except RuntimeError:
                if time.monotonic() > end:
                    raise
                time.sleep(1)

    return wait


@pytest.fixture
def on_cluster(nodes, monkeypatch):
    """Return what a function returns when its work runs on the cluster."""

    def run(call):
        with monkeypatch.context() as changed:
            changed.setenv("TRIPTYCH_ENGINE", "ray")
            return call()

    return run


def test_work_runs_on_both_nodes_and_comes_back_in_order(on_cluster):
    def where(number):
        import ray

        return number, ray.get_runtime_context().get_node_id()

    results = on_cluster(lambda: list(in_order(where, range(40))))
    assert [number for number, _ in results] == list(range(40))
    assert len({node for _, node in results}) == 2


def test_worker_that_is_killed_in_the_middle_changes_nothing(on_cluster, tmp_path):
    def work(folder, number):
        if number == 7 and not (folder / "killed").exists():
            (folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        with (folder / "done").open("a") as done:
            done.write(f"{number}\n")
        return number**2

    results = on_cluster(lambda: list(in_order(partial(work, tmp_path), range(20))))
    assert results == [number**2 for number in range(20)]
    assert (tmp_path / "killed").exists()
    times = Counter(map(int, (tmp_path / "done").read_text().split()))
    assert set(times) == set(range(20))


def test_error_of_a_piece_is_the_error_itself(on_cluster):
    def work(number):
        if number == 3:
            raise BadFileError("page.md:4: byte 0xff is not UTF-8; save it as UTF-8")
        return number

    with pytest.raises(BadFileError) as raised:
        on_cluster(lambda: list(in_order(work, range(8))))
    assert str(raised.value) == "page.md:4: byte 0xff is not UTF-8; save it as UTF-8"
    assert type(raised.value) is BadFileError


def test_pieces_are_read_as_results_are_taken(on_cluster):
    read = []

    def pieces():
        for number in range(100):
            read.append(number)
            yield number

    def call():
        next(in_order(lambda number: number, pieces()))
        return len(read)

    assert on_cluster(call) < 10


def test_near_duplicates_are_the_same(on_cluster, tiny_corpus, params_with):
    contents = [chunk.content for chunk in tiny_corpus.chunks] * 2 + ["one more text of a few words"]
    batches = [contents[start : start + 16] for start in range(0, len(contents), 16)]
    settings = params_with().split.near_duplicates
    alone, together = cluster(batches, settings), on_cluster(lambda: cluster(batches, settings))
    np.testing.assert_array_equal(alone.text, together.text)
    np.testing.assert_array_equal(alone.cluster, together.cluster)


def test_data_stages_and_mining_write_the_same_bytes(on_cluster, prepare, tiny_corpus, tmp_path, monkeypatch):
    """From pages to mined negatives: parsing, signatures, pools, tokens, vectors and the search on two nodes."""
    from stages import mine
    from triptych.corpus.pages import linked_pages
    from triptych.encoding import encode_texts
    from triptych.triplets.heuristics import pools
    from triptych.triplets.mining import hard_negatives

    # So that small texts are several pieces.
    monkeypatch.setattr(linked_pages, "_FILES", 2)
    monkeypatch.setattr(pools, "_BATCH", 16)
    monkeypatch.setattr(hard_negatives, "_BLOCK", 16)
    monkeypatch.setattr(encode_texts, "_BLOCK", 16)

    def run(name):
        folder = tmp_path / name
        _write_pages(folder / "pages", tiny_corpus.chunks[::4])
        prepare(folder, **{"ingest.sources": [{"path": "pages", "format": "markdown"}], "tokenize.batch_size": 50})
        monkeypatch.chdir(folder)
        mine.main(MINE.split())
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for part in ("data", "metrics")
            for path in sorted((folder / part).rglob("*"))
            if path.is_file()
        }

    alone, together = run("alone"), on_cluster(lambda: run("together"))
    assert {"data/chunks/links.parquet", "data/tokens/texts/state.json", "metrics/mine.json"} <= alone.keys()
    assert alone.keys() == together.keys()
    assert [name for name, data in alone.items() if together[name] != data] == []


def _write_pages(folder, chunks):
    """Write pages of four sections in two categories; each section links to one of the next page."""
    pages = [chunks[start : start + 4] for start in range(0, len(chunks), 4)]
    for number, sections in enumerate(pages):
        path = folder / sections[0].category / f"p{number}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        following = pages[(number + 1) % len(pages)]
        link = f"../{following[0].category}/p{(number + 1) % len(pages)}.md#section-{number + 1}"
        texts = [
            f"## Section {number} of {one.title}\n\n{one.content}\n\nSee [what {one.title} needs most]({link})."
            for one in sections
        ]
        path.write_text("\n\n".join(texts), encoding="utf-8")


def test_cluster_that_does_not_answer_is_named(monkeypatch):
    from triptych.engine import ray_workers

    def refuse(**settings):
        raise ConnectionError("refused")

    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(UserError, match=r"RAY_ADDRESS is 127\.0\.0\.1:9, where no Ray cluster answers"):
        ray_workers._connected()

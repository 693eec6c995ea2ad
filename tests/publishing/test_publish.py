"""Publishing into each database: the same hits, only what changed, again after an interruption."""

import json
import re
import sys
import warnings
from base64 import b64encode
from dataclasses import replace

import numpy as np
import pytest
from scripted_elastic import scripted_elastic
from typer.testing import CliRunner

from triptych.cli import app
from triptych.corpus.records import read_chunks
from triptych.errors import UserError
from triptych.publishing.comparison import Comparison, compare
from triptych.publishing.index_rows import IndexRows
from triptych.publishing.parquet import Parquet
from triptych.publishing.publish import publish
from triptych.publishing.targets import open_database
from triptych.serving.searcher import Searcher

CHUNKS = "data/corpus/chunks.parquet"


def index_hits(rows, vector, depth):
    hits, scores = rows.search.search(vector[None], depth)
    return {rows.chunk_ids[row]: score for row, score in zip(hits[0].tolist(), scores[0].tolist(), strict=True)}


def test_search_through_the_database_finds_what_the_index_finds(project, rows, opened):
    database = opened()
    published = publish(rows, database)
    assert (published.written, published.deleted) == (len(rows.chunks) + len(rows.vectors), 0)
    searcher = Searcher()
    for question in ("discrete transform", "what eats the grass of a zebra?", "what is 13 good for in practice?"):
        (vector,) = searcher.query_vectors([question])
        ours, theirs = index_hits(rows, vector, 20), database.search(vector, 20)
        assert len(theirs) == 20
        assert len(ours.keys() & theirs.keys()) >= 19  # equal but for the lengths of int8 vectors
        assert next(iter(ours)) == next(iter(theirs))
        assert all(abs(ours[one] - theirs[one]) < 0.02 for one in ours.keys() & theirs.keys())
    compared = compare(database, rows, searcher, project / "data/corpus")
    assert compared.queries > 5
    assert compared.found > 0.95
    assert compared.database["mrr@10"] == pytest.approx(compared.index["mrr@10"], abs=0.02)
    assert compared.search["mrr@10"] > 0
    compared.check("")


def test_a_second_time_nothing_is_written_and_a_third_what_changed(rows, edited, opened, monkeypatch):
    publish(rows, opened())
    again = publish(rows, opened())
    assert (again.written, again.deleted) == (0, 0)
    assert again.unchanged == len(rows.chunks) + len(rows.vectors)
    before = {table.key: dict(zip(table.ids, table.digests, strict=True)) for table in (rows.chunks, rows.vectors)}
    now = IndexRows(edited / "data/index")
    published = publish(now, opened())
    after = {table.key: dict(zip(table.ids, table.digests, strict=True)) for table in (now.chunks, now.vectors)}
    written = sum(before[key].get(one) != digest for key in after for one, digest in after[key].items())
    deleted = sum(one not in after[key] for key in before for one in before[key])
    assert (published.written, published.deleted) == (written, deleted)
    assert 4 <= written < 20
    assert deleted >= 2
    database = opened()
    database.prepare(now)
    chunks, vectors = database.digests()
    assert (chunks, vectors) == (after["chunk_id"], after["id"])
    monkeypatch.chdir(edited)
    (vector,) = Searcher().query_vectors(["a new text"])
    assert list(database.search(vector, 5)) == list(index_hits(now, vector, 5))


class BrokenError(Exception):
    """What an interruption raises."""


def test_an_interrupted_publication_is_completed_by_the_next(rows, opened, monkeypatch, url):
    read, calls = rows.vectors.read, []

    def breaks(positions):
        calls.append(positions)
        if len(calls) == 2:
            raise BrokenError
        return read(positions)

    for module in ("elastic", "lance", "parquet", "postgres", "qdrant"):
        if f"triptych.publishing.{module}" in sys.modules:
            monkeypatch.setattr(f"triptych.publishing.{module}._BATCH", 64)
    object.__setattr__(rows.vectors, "read", breaks)
    with pytest.raises(BrokenError):
        publish(rows, opened())
    object.__setattr__(rows.vectors, "read", read)
    published = publish(rows, opened())
    total = len(rows.chunks) + len(rows.vectors)
    if url.startswith("postgres"):
        assert published.written == total
    else:
        assert len(rows.vectors) - 64 <= published.written <= len(rows.vectors)
    database = opened()
    database.prepare(rows)
    _, vectors = database.digests()
    assert vectors == dict(zip(rows.vectors.ids, rows.vectors.digests, strict=True))


def test_vectors_of_other_dimensions_are_one_message(rows, opened, url):
    if url.startswith("parquet"):
        pytest.skip("files are written as a whole")
    publish(rows, opened())
    rows.dimensions = 48
    with pytest.raises(UserError, match=r"tables|collections|indexes") as told:
        publish(rows, opened())
    assert "publish under another --name" in str(told.value)


def test_a_database_that_lost_rows_fails_the_comparison(project, rows, opened, monkeypatch):
    database = opened()
    publish(rows, database)
    search = database.search
    monkeypatch.setattr(database, "search", lambda query, depth: dict(list(search(query, depth).items())[depth // 2 :]))
    with pytest.raises(UserError, match=r"finds \d+\.\d% of what the index finds, recall@10"):
        compare(database, rows, Searcher(), project / "data/corpus").check("there")


def run(*arguments):
    return CliRunner().invoke(app, ["publish", *arguments])


def test_the_command_prints_counts_and_metrics(project, tmp_path):
    target = f"parquet:{tmp_path / 'out'}"
    done = run(target, "--name", "handbook")
    assert done.exit_code == 0, done.output
    number = len(read_chunks(project / CHUNKS))
    assert f"publish: {number} chunks and" in done.stdout
    assert "vectors there recall@10 " in done.stdout
    assert (tmp_path / "out/handbook_vectors.parquet").exists()
    record = json.loads(run(target, "--name", "handbook", "--json").stdout)
    assert record["rows"]["written"] == 0
    assert record["dev"]["found"] == pytest.approx(1, abs=0.05)
    done = run(target, "--corpus", "nowhere")
    assert "not compared, since nowhere has no dev queries" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mysql://host/db"], "no database for 'mysql'; expected postgresql://user@host/database, lancedb:FOLDER"),
        (["parquet:"], "'parquet:' names no database"),
        (["parquet:out", "--name", "Two words"], "--name 'Two words': expected a lower-case letter"),
        (["parquet:params.yaml"], "params.yaml is a file; name a folder"),
        (["parquet:out", "--index", "nowhere"], "nowhere is missing"),
    ],
)
def test_what_cannot_be_published_is_one_message(project, arguments, message):
    done = run(*arguments)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1


def test_a_missing_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "lancedb", None)
    monkeypatch.delitem(sys.modules, "triptych.publishing.lance", raising=False)
    with pytest.raises(UserError, match=r'pip install "triptych\[lancedb\]"'):
        open_database(f"lancedb:{tmp_path}", "docs")


def test_parquet_is_a_table_that_any_loader_takes(rows, tmp_path):
    import pandas as pd

    publish(rows, open_database(f"parquet:{tmp_path}", "docs"))
    table = pd.read_parquet(tmp_path / "docs_vectors.parquet")
    assert len(table) == len(rows.vectors)
    assert np.stack(table["vector"]).shape == (len(rows.vectors), rows.dimensions)


def test_the_command_fails_where_the_search_there_is_worse(project, tmp_path, monkeypatch):
    search, closed = Parquet.search, []

    def lossy(self, query, depth):
        return dict(list(search(self, query, depth).items())[depth // 2 :])

    monkeypatch.setattr(Parquet, "search", lossy)
    monkeypatch.setattr(Parquet, "close", lambda self: closed.append(self))
    done = run(f"parquet:{tmp_path}")
    assert done.exit_code == 1
    assert "vectors there recall@10 " in done.stdout
    assert re.match(r"error: .* finds \d+\.\d% of what the index finds, recall@10", done.stderr)
    assert len(closed) == 1


def test_few_hits_lost_are_enough_where_a_metric_falls():
    metrics = {"recall@10": 0.5, "mrr@10": 0.5}
    same = Comparison(9, metrics, metrics, metrics, found=0.95, score_difference=0.0)
    same.check("there")
    with pytest.raises(UserError, match=r"mrr@10 0\.480 instead of 0\.500"):
        replace(same, database=metrics | {"mrr@10": 0.48}).check("there")
    with pytest.raises(UserError, match=r"finds 94\.0% of what"):
        replace(same, found=0.94).check("there")


@pytest.mark.parametrize(
    ("kind", "user", "key"),
    [("elasticsearch", "me:secret@", None), ("opensearch", "me:secret@", None), ("elasticsearch", "", "a-key")],
)
def test_a_server_gets_user_and_password_or_the_key(rows, kind, user, key, monkeypatch):
    pytest.importorskip({"opensearch": "opensearchpy"}.get(kind, kind), reason=f"needs extra {kind}")
    if key:
        monkeypatch.setenv("ELASTICSEARCH_API_KEY", key)
    wanted = f"ApiKey {key}" if key else f"Basic {b64encode(b'me:secret').decode()}"
    with scripted_elastic(wanted) as host:
        database = open_database(f"{kind}://{user}{host}", "docs")
        database.prepare(rows)
        database.close()
        stranger = open_database(f"{kind}://you:secret@{host}", "docs")
        with pytest.raises(UserError, match="check the URL, user and password") as told:
            stranger.prepare(rows)
        stranger.close()
    assert "secret" not in f"{told.value}{database.shown}"


@pytest.mark.parametrize("kind", ["elasticsearch", "opensearch"])
def test_an_approximate_search_of_elasticsearch_finds_the_same_scores(rows, kind, elastic_host):
    pytest.importorskip({"opensearch": "opensearchpy"}.get(kind, kind), reason=f"needs extra {kind}")
    from triptych.publishing.elastic import Elastic

    address, server = f"http://{elastic_host}", {"opensearch": kind == "opensearch"}
    exact, approximate = Elastic(address, "docs", **server), Elastic(address, "docs", **server, exact_up_to=10)
    publish(rows, exact)
    approximate.prepare(rows)
    (vector,) = Searcher().query_vectors(["discrete transform"])
    near, wanted = approximate._nearest(vector, 20, None), exact._nearest(vector, 20, None)
    assert [one.score for one in near] == pytest.approx([one.score for one in wanted], abs=1e-5)
    assert approximate.search(vector, 10) == pytest.approx(exact.search(vector, 10), abs=1e-5)
    exact.close()
    approximate.close()


@pytest.mark.parametrize("kind", ["elasticsearch", "opensearch", "qdrant"])
def test_tls_is_in_the_scheme_and_the_key_of_qdrant_in_the_environment(kind, monkeypatch):
    pytest.importorskip({"opensearch": "opensearchpy", "qdrant": "qdrant_client"}.get(kind, kind))
    monkeypatch.setenv("QDRANT_API_KEY", "a-key")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a server that is not there, and a key without TLS
        plain, secure = (open_database(f"{kind}{tls}://127.0.0.1:1", "docs") for tls in ("", "+https"))
    assert "http://127.0.0.1:1" in plain.shown
    assert "https://127.0.0.1:1" in secure.shown
    if kind == "qdrant":
        assert secure._client.init_options["api_key"] == "a-key"
    plain.close()
    secure.close()


def test_an_approximate_index_of_lancedb_finds_nearly_the_same(rows, tmp_path):
    pytest.importorskip("lancedb", reason="needs extra lancedb")
    from triptych.publishing.lance import Lance

    exact, approximate = Lance(str(tmp_path / "a"), "docs"), Lance(str(tmp_path / "b"), "docs", exact_up_to=10)
    publish(rows, exact)
    publish(rows, approximate)
    assert (len(exact._vectors.list_indices()), len(approximate._vectors.list_indices())) == (0, 1)
    for vector in Searcher().query_vectors(["discrete transform", "fill_value"]):
        wanted = exact.search(vector, 10)
        found = approximate.search(vector, 10)
        assert len(wanted.keys() & found.keys()) >= 5  # of vectors that are hardly apart, in one byte a dimension
        assert all(found[one] == pytest.approx(wanted[one], abs=1e-5) for one in wanted.keys() & found.keys())

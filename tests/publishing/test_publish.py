"""Publishing into each database: the same hits, only what changed, again after an interruption."""

import json
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from triptych.cli import app
from triptych.corpus.records import read_chunks
from triptych.errors import UserError
from triptych.publishing.comparison import compare
from triptych.publishing.index_rows import IndexRows
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

"""PostgreSQL alone: the search function, one transaction, an approximate index, and errors without a password."""

import threading
from uuid import uuid4

import pytest

from triptych.errors import UserError
from triptych.publishing.publish import publish
from triptych.serving.searcher import Searcher

pytest.importorskip("psycopg", reason="needs extra postgres")


@pytest.fixture
def name():
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def connect(postgres_url):
    import psycopg

    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


def published(postgres_url, name, rows, **more):
    from triptych.publishing.postgres import Postgres

    database = Postgres(postgres_url, name, **more)
    counts = publish(rows, database)
    return database, counts


def test_the_function_restricts_a_search_to_a_category(postgres_url, name, rows, connect):
    published(postgres_url, name, rows)[0].close()
    (vector,) = Searcher().query_vectors(["mask an array"])
    question = f"SELECT chunk_id, category, content FROM {name}_search(%s::vector, 5, 'fft')"
    found = connect.execute(question, [str(vector.tolist())]).fetchall()
    assert len(found) == 5
    assert {category for _, category, _ in found} == {"fft"}
    stored = dict(zip(rows.chunk_ids, rows.chunks.read(range(len(rows.chunks)))["content"].to_pylist(), strict=True))
    assert all(stored[chunk_id] == content for chunk_id, _, content in found)


def test_an_approximate_index_finds_nearly_the_same(postgres_url, name, rows, connect):
    exact, _ = published(postgres_url, name, rows)
    approximate, counts = published(postgres_url, name, rows, exact_up_to=10)
    assert counts.written == 0
    indexes = connect.execute("SELECT indexdef FROM pg_indexes WHERE tablename = %s", [f"{name}_vectors"]).fetchall()
    assert any("hnsw" in one for (one,) in indexes)
    for vector in Searcher().query_vectors(["discrete transform", "fill_value", "the inverse of rfft"]):
        wanted = exact.search(vector, 10)
        assert len(wanted.keys() & approximate.search(vector, 10).keys()) >= 9
        of_category = f"SELECT category FROM {name}_search(%s::vector, 5, 'fft')"
        assert connect.execute(of_category, [str(vector.tolist())]).fetchall() == [("fft",)] * 5
    exact.close()
    approximate.close()


def test_readers_see_the_old_rows_until_all_new_ones_are_there(postgres_url, name, rows, connect, monkeypatch):
    from triptych.publishing.postgres import Postgres

    published(postgres_url, name, rows)[0].close()
    count = f"SELECT count(*), count(DISTINCT digest) FROM {name}_vectors"
    before = connect.execute(count).fetchone()
    seen = []
    write = Postgres.write

    def watched(self, chunks, vectors):
        write(self, chunks, vectors)
        seen.append(connect.execute(count).fetchone())
        raise KeyboardInterrupt

    monkeypatch.setattr(Postgres, "write", watched)
    for position, digest in enumerate(rows.vectors.digests):
        rows.vectors.digests[position] = digest[::-1]
    with pytest.raises(KeyboardInterrupt):
        published(postgres_url, name, rows)
    assert seen == [before]
    assert connect.execute(count).fetchone() == before
    assert (
        connect.execute(f"SELECT 1 FROM {name}_vectors WHERE digest = %s", [rows.vectors.digests[0]]).fetchone() is None
    )


def test_two_publications_at_once_wait_for_each_other(postgres_url, name, rows):
    counts, errors = [], []

    def one():
        try:
            database, count = published(postgres_url, name, rows)
            counts.append(count.written)
            database.close()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(counts) == [0, len(rows.chunks) + len(rows.vectors)]


def test_a_text_with_nul_is_stored_without_it(postgres_url, name, rows, connect):
    rows.vectors.digests[0] += "\0"
    published(postgres_url, name, rows)[0].close()
    stored = f"SELECT digest FROM {name}_vectors WHERE id = %s"
    assert connect.execute(stored, [rows.vectors.ids[0]]).fetchone() == (rows.vectors.digests[0].rstrip("\0"),)


@pytest.mark.parametrize("url", ["postgresql://me:secret@127.0.0.1:1/none", "postgresql://me:secret@127.0.0.1:1"])
def test_a_server_that_is_not_there_is_one_message_without_the_password(url):
    from triptych.publishing.postgres import Postgres

    with pytest.raises(UserError, match="check the URL, and whether the server runs") as told:
        Postgres(url, "docs")
    assert "secret" not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_table_of_somebody_else_is_one_message(postgres_url, name, rows, connect):
    connect.execute(f"CREATE TABLE {name}_chunks (id int)")
    with pytest.raises(UserError, match="publish under another --name"):
        published(postgres_url, name, rows)
    assert connect.execute(f"SELECT count(*) FROM {name}_chunks").fetchone() == (0,)

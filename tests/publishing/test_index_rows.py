"""The rows of an index: every vector names its chunk, and a digest changes with what the row is made from."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
from hand_made import INDEX

from stages import index
from triptych.artifacts import write_json
from triptych.corpus.records import read_chunks, write_chunks
from triptych.publishing.index_rows import IndexRows


def all_rows(rows):
    return pa.concat_tables(rows.batches(size=50))


def test_windows_and_questions_are_rows_of_their_chunk(project, rows):
    chunks = read_chunks(project / "data/corpus/chunks.parquet")
    table, stored = all_rows(rows.vectors), all_rows(rows.chunks)
    assert table["id"].to_pylist() == rows.vectors.ids
    assert len(set(rows.vectors.ids)) == len(rows.vectors)
    assert stored["chunk_id"].to_pylist() == [one.chunk_id for one in chunks]
    assert stored["content"].to_pylist() == [one.content for one in chunks]
    assert stored["header_path"].to_pylist() == [list(one.header_path) for one in chunks]
    content = {one.chunk_id: " ".join(one.content.split()) for one in chunks}
    by_id = {one["id"]: one for one in table.drop_columns("vector").to_pylist()}
    kinds = table["kind"].to_pylist()
    assert kinds.count("window") > len(chunks)
    assert kinds.count("question") > 10
    for one in by_id.values():
        if one["kind"] == "window" and one["position"]:
            assert one["text"].split()[-1] in content[one["chunk_id"]]
    zebra = [one for one in by_id.values() if "zebra" in one["text"]]
    assert [(one["chunk_id"], one["kind"]) for one in zebra] == [(chunks[7].chunk_id, "question")]
    most = max(table["chunk_id"].to_pylist().count(one.chunk_id) for one in chunks)
    assert rows.most_per_chunk == most > 2


def test_vectors_are_those_of_the_index_at_length_1(rows):
    vectors = np.stack(all_rows(rows.vectors)["vector"].to_numpy())
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)
    for query in vectors[[0, 5, -1]]:  # the nearest chunk of a vector's text is its own
        hits, scores = rows.search.search(query[None], 1)
        assert scores[0, 0] > 0.95
        assert hits.shape == (1, 1)


def test_digests_are_of_texts_embedder_and_precision(asked, tmp_path, monkeypatch, write_params):
    project = tmp_path / "project"
    shutil.copytree(asked, project)
    monkeypatch.chdir(project)
    write_params(project, **{"model.base": "./tiny", "train.precision": "fp32", "index.precision": "int8"})
    index.main(INDEX.split())
    shutil.copytree(project / "data/index", project / "before")  # open while stage index replaces the other
    before = IndexRows(project / "before")
    assert before.vectors.digests == IndexRows(project / "before").vectors.digests
    chunks = read_chunks(project / "data/corpus/chunks.parquet")
    kept = [one for row, one in enumerate(chunks) if row != 3]  # int8 is calibrated on other vectors then
    write_chunks(project / "data/corpus/chunks.parquet", kept)
    index.main(INDEX.split())
    after = IndexRows(project / "data/index")
    known = dict(zip(before.vectors.ids, before.vectors.digests, strict=True))
    assert all(known[one] == digest for one, digest in zip(after.vectors.ids, after.vectors.digests, strict=True))
    settings = project / "data/index/index.json"
    for key, value in (("embedder", "another"), ("precision", "float32")):
        text = settings.read_text(encoding="utf-8")
        write_json(settings, json.loads(text) | {key: value})
        changed = IndexRows(project / "data/index").vectors.digests
        assert not set(changed) & set(after.vectors.digests)
        settings.write_text(text, encoding="utf-8")

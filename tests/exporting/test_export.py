"""``triptych export onnx`` and ``openvino``: the exported model is the published one, or there is none."""

import json
import re
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner

from triptych.cli import app
from triptych.corpus.records import read_qrels, read_queries
from triptych.errors import UserError
from triptych.evaluation.metrics import mean_metric
from triptych.exporting import export, parity
from triptych.exporting.export import export_embedder, read_sample
from triptych.exporting.graph import write_graph
from triptych.exporting.parity import compare
from triptych.exporting.runtimes import ExportedEncoder
from triptych.params.load import load_params
from triptych.retrieval.dense import search
from triptych.retrieval.rankings import to_run

NEEDS = {"onnx": ("onnx", "onnxruntime", "onnxscript"), "openvino": ("openvino", "nncf")}


@pytest.fixture(scope="module", params=["onnx", pytest.param("openvino", marks=pytest.mark.slow)])
def exported(request, indexed, tmp_path_factory):
    """The embedder of a project in a format: folder, record, format, and the lines that were reported."""
    for name in NEEDS[request.param]:
        pytest.importorskip(name)
    folder, lines = tmp_path_factory.mktemp("exported") / request.param, []
    sample = read_sample(indexed / "data/corpus", load_params(indexed / "params.yaml").triplets.text_template)
    record = export_embedder(
        indexed / "models/embedder", request.param, folder, sample, folder.parent / "v", None, lines.append
    )
    return folder, record, request.param, lines


def vectors(model, kind, texts):
    return getattr(model, f"encode_{kind}")(texts, normalize_embeddings=True, show_progress_bar=False)


def test_vectors_are_those_of_the_published_embedder(exported, indexed):
    folder, record, kind, lines = exported
    texts = ["sort", "mask where a condition is met", "the inverse of rfft " * 40]  # the last is truncated
    model = SentenceTransformer(str(indexed / "models/embedder"), device="cpu")
    path = folder / ("model.onnx" if kind == "onnx" else "model.xml")
    for side, prompt in record["prompts"].items():
        found = ExportedEncoder(kind, path, prompt, threads=1).encode(texts)
        assert found == pytest.approx(vectors(model, side, texts), abs=1e-5)
    assert record["files"]["float32"]["least_cosine"] > 0.99999
    saved = json.loads((folder / "export.json").read_text(encoding="utf-8"))  # its numbers are rounded
    assert saved | {"files": 0} == record | {"files": 0}
    assert saved["files"]["int8"]["mean_cosine"] == pytest.approx(record["files"]["int8"]["mean_cosine"], abs=1e-6)
    assert [line.partition(":")[0] for line in lines] == ["float32", "int8"]


def test_int8_is_kept_only_where_it_keeps_vectors_and_search(exported):
    folder, record, _, lines = exported
    left_out = "left_out" in record["files"]["int8"]
    assert left_out == (not list(folder.glob("model_int8.*")))
    assert ("left out" in lines[1]) == left_out
    if not left_out:
        assert record["files"]["int8"]["megabytes"] < 0.9 * record["files"]["float32"]["megabytes"]


def test_metrics_are_those_of_a_search_on_dev(exported, indexed):
    _, record, _, _ = exported
    sample = read_sample(indexed / "data/corpus", load_params(indexed / "params.yaml").triplets.text_template)
    model = SentenceTransformer(str(indexed / "models/embedder"), device="cpu")
    queries, dev = read_queries(indexed / "data/corpus"), read_qrels(indexed / "data/corpus/qrels/dev.tsv")
    asked = [queries[one] for one in dev]
    hits = search(vectors(model, "query", [one.text for one in asked]), vectors(model, "document", sample.passages), 99)
    expected = mean_metric("mrr@10", dev, to_run(asked, sample.chunk_ids, *hits, 10))
    assert record["files"]["float32"]["published"]["mrr@10"] == pytest.approx(expected, abs=1e-6)
    assert record["files"]["float32"]["exported"]["mrr@10"] == pytest.approx(expected, abs=0.002)


def test_the_readme_runs_without_pytorch_and_triptych(exported, tmp_path):
    folder, record, _, _ = exported
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    blocked = 'import sys\nsys.modules["torch"] = sys.modules["triptych"] = sys.modules["transformers"] = None\n'
    script = f'{blocked}{code}\nprint(vectors.shape, round(float((vectors ** 2).sum()), 4), "torch" in sys.modules)'
    ran = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert ran.stdout.split("\n")[-2] == f"(1, {record['dimensions']}) 1.0 True", ran.stderr


def test_truncated_vectors_are_exported_and_int8_is_left_out_where_it_loses_too_much(indexed, tmp_path, monkeypatch):
    for name in NEEDS["onnx"]:
        pytest.importorskip(name)
    sample, lines = read_sample(indexed / "data/corpus", "{content}"), []
    arguments = (indexed / "models/embedder", "onnx", tmp_path / "cut", sample, tmp_path / "v")
    monkeypatch.setitem(parity._LEAST_COSINE, "int8", 1.1)
    record = export_embedder(*arguments, 8, lines.append)
    found = ExportedEncoder("onnx", tmp_path / "cut/model.onnx").encode(["sort an array"])
    whole = SentenceTransformer(str(indexed / "models/embedder"), device="cpu").encode(["sort an array"])
    assert found == pytest.approx(whole[:, :8] / np.linalg.norm(whole[:, :8]), abs=1e-5)
    assert (record["dimensions"], len(lines)) == (8, 2)
    assert "less than 1.1" in record["files"]["int8"]["left_out"]
    assert "left out: a text's vector has cosine" in lines[1]
    assert sorted(one.name for one in (tmp_path / "cut").glob("model*")) == ["model.onnx"]
    assert "int8 weights" not in (tmp_path / "cut/README.md").read_text(encoding="utf-8")
    with pytest.raises(UserError, match="--dimensions: 99"):
        export_embedder(*arguments, 99, lines.append)


def test_a_float32_file_that_is_not_the_published_embedder_is_an_error_and_nothing_is_written(
    indexed, tmp_path, monkeypatch
):
    for name in NEEDS["onnx"]:
        pytest.importorskip(name)

    def harmed(model, *arguments):
        other = deepcopy(model)
        other[0].model.embeddings.word_embeddings.weight.data.neg_()
        return write_graph(other, *arguments)

    monkeypatch.setattr(export, "write_graph", harmed)
    sample = read_sample(indexed / "data/corpus", "{content}")
    arguments = (indexed / "models/embedder", "onnx", tmp_path / "out", sample, tmp_path / "v", None, print)
    with pytest.raises(UserError, match="the exported model is not the published one: a text's vector has cosine"):
        export_embedder(*arguments)
    assert not (tmp_path / "out").exists()


def test_of_many_chunks_those_that_answer_are_compared(indexed, monkeypatch):
    monkeypatch.setattr(export, "_MOST", 20)
    sample = read_sample(indexed / "data/corpus", "{content}")
    assert len(sample.passages) == len(sample.chunk_ids) == 20
    assert {one for judged in sample.qrels.values() for one in judged} <= set(sample.chunk_ids)


@pytest.mark.parametrize(("more", "dimensions"), [([], 8), (["--dimensions", "4"], 4)])
def test_the_command_keeps_as_many_dimensions_as_the_index(
    indexed, tmp_path, monkeypatch, write_params, more, dimensions
):
    asked = []
    monkeypatch.setattr(export, "export_embedder", lambda *arguments: asked.append(arguments))
    write_params(tmp_path, **{"index.dimensions": 8})
    monkeypatch.chdir(tmp_path)
    places = ["--embedder", str(indexed / "models/embedder"), "--corpus", str(indexed / "data/corpus")]
    done = CliRunner().invoke(app, ["export", "onnx", "out", *places, *more])
    assert done.exit_code == 0, done.output
    ((_, kind, folder, _, _, size, _),) = asked
    assert (kind, folder.name, size) == ("onnx", "out", dimensions)


def test_a_damaged_export_is_refused(indexed):
    sample = read_sample(indexed / "data/corpus", "{content}")
    noise = np.random.default_rng(1)

    def unit(rows):
        made = noise.normal(size=(rows, 16)).astype(np.float32)
        return made / np.linalg.norm(made, axis=1, keepdims=True)

    passages, queries = unit(len(sample.passages)), unit(len(sample.queries))
    same = compare(sample, (passages, queries), (passages, queries))
    assert (same.problem("float32"), same.problem("int8")) == (None, None)
    first = [one[:, :4] / np.linalg.norm(one[:, :4], axis=1, keepdims=True) for one in (passages, queries)]
    cut = compare(sample, (passages, queries), (first[0], first[1]))
    assert (cut.whole, cut.published) == (same.whole, cut.exported)
    assert cut.least_cosine == pytest.approx(1.0)
    turned = queries.copy()
    turned[0] = -turned[0]
    assert "cosine -1.0000" in compare(sample, (passages, queries), (passages, turned)).problem("int8")
    worse = replace(same, exported={"recall@10": 0.0, "mrr@10": 0.0}, published={"recall@10": 0.5, "mrr@10": 0.1})
    assert worse.problem("int8") == "recall@10 on dev falls from 0.500 to 0.000, by more than 0.02"

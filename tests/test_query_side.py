"""``train.sides: query``: passages keep the base model's vectors, from training to search."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hand_made import EVALUATE, INDEX, PROMOTE, TRAIN
from sentence_transformers import SentenceTransformer

from stages import evaluate, index, mine, promote, train
from triptych import Searcher
from triptych.artifacts import read_json
from triptych.corpus.embedded_text import framed_passage
from triptych.corpus.records import read_chunks, read_qrels, read_queries
from triptych.encoding.text_encoder import load_saved
from triptych.errors import UserError
from triptych.evaluation.comparison import read_intervals
from triptych.exporting.export import export_embedder, read_sample
from triptych.exporting.runtimes import ExportedEncoder
from triptych.models.round_loading import load_round
from triptych.params.load import load_params
from triptych.retrieval.vector_index import VectorIndex

pytestmark = pytest.mark.dag

MINE = (
    "--corpus data/corpus --texts data/triplets/texts --tokens data/tokens --round data/triplets/round0"
    " --model models/round0 --mined data/triplets/round1 --metrics metrics/mine/round1.json --vectors data/vectors"
)
SETTINGS = {
    "ingest.sources": [{"path": f"numpy.{name}", "format": "package", "category": name} for name in ("fft", "ma")],
    "split.min_queries": 2,
    "split.min_train_queries": 1,
    "model.base": "./tiny",
    "tokenize.max_length": "auto",
    "tokenize.max_windows": 1,
    "train.sides": "query",
    "train.batch_size": 8,
    "train.precision": "fp32",
    "train.strengths": [1.0],
    "rounds.train": {"round0": {"previous": "base", "steps": 4, "learning_rate": 2.0e-2}},
    "rounds.mine": {"reranker": {"previous": "round0", "examples": "reranker0"}},
    "evaluate.round": "round0",
    "evaluate.bootstrap_samples": 100,
    "promote.unproven": "tuned",
    "promote.min_queries": 1000,
    "index.precision": "float32",
}


@pytest.fixture(scope="module")
def tuned(prepared, tmp_path_factory, write_params):
    """A project whose round tuned queries alone, evaluated, published and indexed; read only."""
    folder = tmp_path_factory.mktemp("queries")
    shutil.copytree(prepared, folder, dirs_exist_ok=True)
    (folder / "models/reranker-candidate").mkdir()
    write_params(folder, **SETTINGS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train.main(TRAIN.split())
        record = read_json(folder / "models/round0/round.json")
        full = json.dumps(record | {"strength": 1.0})  # whatever a dev set of some queries prefers
        (folder / "models/round0/round.json").write_text(full, encoding="utf-8")
        evaluate.main(EVALUATE.split())
        promote.main([*PROMOTE.split(), "models/embedder"])
        index.main(INDEX.split())
    return folder


@pytest.fixture
def project(tuned, monkeypatch):
    monkeypatch.chdir(tuned)
    return tuned


def texts_of(folder):
    """Return the passages of all chunks and the test queries, by id."""
    params, chunks = load_params(), read_chunks(folder / "data/corpus/chunks.parquet")
    queries = read_queries(folder / "data/corpus")
    test = read_qrels(folder / "data/corpus/qrels/test.tsv")
    passages = {chunk.chunk_id: framed_passage(chunk, params.triplets.text_template).text for chunk in chunks}
    return passages, {one: queries[one] for one in test}


def expected(texts, strength):
    """Return the vectors that the round gives at a strength, by plain sentence-transformers."""
    model = load_round(Path("models/round0"), load_params().model)[0].at(strength)
    return model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)


def test_tuned_queries_rank_the_base_models_passages(project):
    passages, queries = texts_of(project)
    of_queries, of_passages = expected([one.text for one in queries.values()], 1.0), expected(passages.values(), 0.0)
    hits = pd.read_parquet(project / "data/runs/runs.parquet").query("system == 'tuned' and rank <= 5")
    run = hits.groupby("query_id")["chunk_id"].agg(list)
    ids = list(passages)
    for query, vector in zip(queries.values(), of_queries, strict=True):
        scores = dict(zip(ids, (of_passages @ vector).tolist(), strict=True))
        best = [one for one in sorted(scores, key=lambda one: -scores[one]) if one not in query.exclude][:5]
        assert [scores[one] for one in run[query.query_id]] == pytest.approx([scores[one] for one in best], abs=1e-4)


def test_plain_sentence_transformers_loads_both_sides(project):
    model = SentenceTransformer("models/embedder", device="cpu")
    words = ["discrete transform", "mask where a condition is met"]
    options = {"normalize_embeddings": True, "show_progress_bar": False}
    assert model.encode_query(words, **options) == pytest.approx(expected(words, 1.0), abs=1e-5)
    assert model.encode_document(words, **options) == pytest.approx(expected(words, 0.0), abs=1e-5)
    assert np.abs(model.encode_query(words, **options) - model.encode_document(words, **options)).max() > 0.01
    with pytest.raises(UserError, match=r"train\.sides: query"):
        load_saved(project / "models/embedder")


def test_the_index_has_the_base_models_vectors_and_search_encodes_questions_with_the_tuned_ones(project):
    passages, _ = texts_of(project)
    vectors = VectorIndex.open(project / "data/index", 4).vectors(np.arange(len(passages)))
    of_base = expected(passages.values(), 0.0)
    assert vectors == pytest.approx(of_base, abs=1e-4)
    question = "mask where a condition is met"
    scores = dict(zip(passages, (of_base @ expected([question], 1.0)[0]).tolist(), strict=True))
    for hit in Searcher().search(question, k=5):
        assert hit.scores.get("dense", scores[hit.chunk.chunk_id]) == pytest.approx(
            scores[hit.chunk.chunk_id], abs=1e-4
        )
    assert read_json(project / "data/index/index.json")["numpy_encoder"] is not None  # without PyTorch, as always


def test_verdict_and_card_name_the_side(project):
    verdict = read_json(project / "metrics/verdict.json")
    assert (verdict["published"], verdict["sides"]) == ("tuned", "query")
    assert read_json(project / "metrics/evaluate.json")["chosen_on_dev"]["sides"] == "query"
    assert "queries alone" in (project / "models/embedder/README.md").read_text(encoding="utf-8")


def test_an_adapter_of_both_sides_is_measured_for_queries_alone_too(tuned, tmp_path, monkeypatch, write_params):
    shutil.copytree(tuned, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path, **SETTINGS | {"train.sides": "both"})
    record = read_json(Path("models/round0/round.json"))
    del record["sides"]
    Path("models/round0/round.json").write_text(json.dumps(record), encoding="utf-8")
    evaluate.main(EVALUATE.split())
    promote.main([*PROMOTE.split(), "models/embedder"])

    def hits(folder, system):
        found = pd.read_parquet(folder / "data/runs/runs.parquet").query(f"system == '{system}'")
        return found.drop(columns="system").reset_index(drop=True)

    for end in ("", "_hybrid"):  # the same weights, once trained for queries, once for both sides
        pd.testing.assert_frame_equal(hits(tmp_path, f"tuned_queries{end}"), hits(tuned, f"tuned{end}"))
    assert not hits(tmp_path, "tuned").equals(hits(tmp_path, "tuned_queries"))
    values = read_json(Path("metrics/evaluate.json"))["measures"]["all"]
    more = values["tuned_hybrid"]["mrr@10"] - values["tuned_queries_hybrid"]["mrr@10"]
    (said,) = [one for one in read_json(Path("metrics/verdict.json"))["reasons"] if one.startswith("for queries alone")]
    assert f"encoding the passages again adds {more:+.3f} [" in said
    assert said in Path("models/embedder/README.md").read_text(encoding="utf-8")
    alone = [one for one in read_intervals(Path("metrics/evaluate/intervals.csv")) if "queries" in one.system]
    assert {one.system for one in alone} == {"tuned_queries", "tuned_queries_hybrid"}


def test_negatives_are_mined_among_the_base_models_passages(project, encoded_counts, tmp_path, write_params):
    encoded_counts()
    mine.main([*MINE.split()[:-6], "--mined", str(tmp_path / "m"), "--metrics", str(tmp_path / "m.json"),
               "--vectors", str(tmp_path / "v")])  # fmt: skip
    passages, anchors = encoded_counts()
    train_chunks = [one for one in read_chunks(project / "data/corpus/chunks.parquet") if one.split == "train"]
    assert passages == len({one.content for one in train_chunks}) or passages <= len(train_chunks)
    assert anchors > 0
    folders = list((tmp_path / "v").iterdir())
    assert len(folders) == 2  # two models have encoded: the base, and the tuned one


def test_rounds_must_tune_the_same_sides(project, tmp_path, write_params, monkeypatch):
    shutil.copytree(project, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    rounds = SETTINGS["rounds.train"] | {"round1": {"previous": "round0", "steps": 2, "learning_rate": 1.0e-3}}
    mined = {"round1": {"previous": "round0", "examples": "round0"},
             "reranker": {"previous": "round1", "examples": "reranker0"}}  # fmt: skip
    changes = {"train.sides": "both", "rounds.train": rounds, "rounds.mine": mined, "evaluate.round": "round1"}
    write_params(tmp_path, **SETTINGS | changes)
    line = TRAIN.replace("models/base", "models/round0").replace("--model models/round0", "--model models/round1")
    with pytest.raises(UserError, match=r"train\.sides: both"):
        train.main(line.split())


@pytest.mark.parametrize("loss", ["softmax", "distill"])
def test_a_batch_encodes_anchors_alone(short_run, loss):
    widths = []

    def touch(model):
        model[0].register_forward_pre_hook(lambda module, given: widths.append(given[0]["input_ids"].shape))

    def texts(sides):
        widths.clear()
        torch.manual_seed(1)
        ran = short_run(steps=2, touch=touch, sides=sides, loss=loss, negatives="batch")
        return sum(rows for rows, _ in widths), ran

    both, _ = texts("both")
    alone, ran = texts("query")
    assert alone < 0.7 * both
    assert all(np.isfinite(ran.trained.losses))
    assert any(bool(one.any()) for name, one in ran.weights.items() if "lora_B" in name)


def test_an_export_has_a_model_for_each_side(project, tmp_path):
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name)
    sample = read_sample(project / "data/corpus", load_params().triplets.text_template)
    out, words = tmp_path / "out", ["discrete transform", "mask where a condition is met"]
    record = export_embedder(project / "models/embedder", "onnx", out, sample, tmp_path / "v", None, print)
    assert record["sides"] == ["query", "document"]
    for side, strength in (("query", 1.0), ("document", 0.0)):
        found = ExportedEncoder("onnx", out / side / "model.onnx", record["prompts"][side], threads=1).encode(words)
        assert found == pytest.approx(expected(words, strength), abs=1e-4)
    assert "in `query` and `document`" in (out / "README.md").read_text(encoding="utf-8")

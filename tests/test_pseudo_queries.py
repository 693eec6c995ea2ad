"""Documentation without questions and links runs through the pipeline, is labeled everywhere, and promotes nothing."""

import json
from dataclasses import asdict

import pandas as pd
import pytest
import yaml
from hand_made import EVALUATE, PROMOTE, TRAIN
from typer.testing import CliRunner

from stages import evaluate, promote, train
from triptych.cli import app
from triptych.corpus.readers.sources import SourceReader
from triptych.retrieval.fusion import PRIOR

pytestmark = pytest.mark.dag


@pytest.fixture(scope="module")
def project(tmp_path_factory, prepare, params_with):
    """A project whose chunks are plain records of two modules' documentation, run up to evaluate."""
    folder = tmp_path_factory.mktemp("unasked")
    sources = [{"path": f"numpy.{name}", "format": "package", "category": name} for name in ("fft", "ma")]
    reader = SourceReader(params_with(**{"ingest.sources": sources}).ingest)
    records = [asdict(chunk) for chunk in reader.chunks(lambda path, one: None)]
    (folder / "chunks.json").write_text(json.dumps(records), encoding="utf-8")
    sources = [{"path": "chunks.json"}]
    prepare(
        folder,
        **{
            "ingest.sources": sources,
            "evaluate.bootstrap_samples": 200,
            "evaluate.round": "round0",
            "rounds.mine.reranker.previous": "round0",
        },
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train.main(TRAIN.split())
        (folder / "models/reranker-candidate").mkdir()
        evaluate.main(EVALUATE.split())
    return folder


def read(project, name):
    return json.loads((project / "metrics" / name).read_text(encoding="utf-8"))


def test_every_table_of_evaluate_carries_the_label(project):
    assert set(read(project, "evaluate.json")["kinds"].values()) == {"pseudo"}
    for name in ("intervals", "recall", "heldout_triplets"):
        assert set(pd.read_csv(project / "metrics/evaluate" / f"{name}.csv")["kinds"]) == {"pseudo"}


def test_train_has_no_pseudo_queries(project):
    kinds = read(project, "split.json")["kinds"]
    assert kinds["train"] == {}
    assert set(kinds["dev"]) == set(kinds["test"]) == {"pseudo"}


def test_the_base_model_is_published_unproven_however_good_the_metrics(project, monkeypatch):
    monkeypatch.chdir(project)
    path = project / "metrics/evaluate/intervals.csv"
    figures = path.read_bytes()
    better = pd.read_csv(path)
    better[["difference", "low", "high", "error", "p_holm"]] = [0.2, 0.1, 0.3, 0.05, 0.001]
    better.to_csv(path, index=False)
    record = project / "models/round0/round.json"
    record.write_text(json.dumps(json.loads(record.read_text(encoding="utf-8")) | {"strength": 1.0}), encoding="utf-8")

    promote.main([*PROMOTE.split(), "models/embedder"])
    verdict = read(project, "verdict.json")
    assert (verdict["verdict"], verdict["promoted"], verdict["published"]) == ("unproven", False, "base")
    assert "nobody asked" in verdict["reason"]
    assert "test questions of your users would settle it" in verdict["reason"]
    assert verdict["free"]["system"] == "base_hybrid"
    assert verdict["fusion"] == asdict(PRIOR)  # what is free is searched with all the same
    assert "kind pseudo" in (project / "models/embedder/README.md").read_text(encoding="utf-8")

    before = (project / "params.yaml").read_text(encoding="utf-8")
    changed = yaml.safe_load(before)
    changed["promote"]["unproven"] = "tuned"
    (project / "params.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")
    promote.main([*PROMOTE.split(), "models/risked"])
    verdict = read(project, "verdict.json")
    assert (verdict["verdict"], verdict["promoted"], verdict["published"]) == ("unproven", False, "tuned")
    (project / "params.yaml").write_text(before, encoding="utf-8")

    better["kinds"] = "crossref"  # the same metrics on queries that people wrote do promote
    better.to_csv(path, index=False)
    promote.main([*PROMOTE.split(), "models/other"])
    assert read(project, "verdict.json")["verdict"] == "promoted"
    path.write_bytes(figures)


def test_the_results_on_the_screen_carry_the_label(project, monkeypatch):
    monkeypatch.chdir(project)
    promote.main([*PROMOTE.split(), "models/embedder"])
    shown = CliRunner().invoke(app, ["results"]).output
    assert "Pseudo-queries, which nobody asked: no proof" in shown
    assert f"and search with its vectors and BM25 ({PRIOR}). nobody asked" in shown

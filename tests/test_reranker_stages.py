"""The reranker in all its stages, on a slice of real documentation with the tiny model."""

import json
import shutil

import numpy as np
import pytest
from hand_made import EVALUATE, PROMOTE, TRAIN
from sentence_transformers import CrossEncoder

from stages import evaluate, mine, promote, train, train_reranker
from triptych.errors import UserError
from triptych.evaluation.comparison import read_intervals
from triptych.evaluators.systems import ABLATIONS
from triptych.triplets.examples import read_examples, read_texts
from triptych.triplets.negatives import STRATEGIES

MINE = (
    "--corpus data/corpus --texts data/triplets/texts --tokens data/tokens"
    " --round data/triplets/reranker0 --model models/round0"
    " --mined data/triplets/reranker --metrics metrics/mine/reranker.json --vectors data/vectors"
)
RERANKER = (
    "--corpus data/corpus --texts data/triplets/texts --tokens data/tokens --round data/triplets/reranker"
    " --retriever models/round0 --reranker models/reranker-candidate"
    " --metrics metrics/train_reranker.json --curve metrics/train_reranker.csv --checkpoints .checkpoints/reranker"
)
CHANGES = {
    "rounds.train": {"round0": {"previous": "base", "steps": 2, "learning_rate": 1.0e-3}},
    "rounds.mine": {"reranker": {"previous": "round0", "examples": "reranker0"}},
    "model.base": "./tiny",
    "tokenize.max_length": "auto",
    "train.batch_size": 8,
    "train.precision": "fp32",
    "train_reranker.steps": 10,
    "train_reranker.batch_size": 4,
    "train_reranker.learning_rate": 1.0e-3,
    "train_reranker.max_length": 48,
    "evaluate.round": "round0",
    "evaluate.late_weights": [0.5, 1.0],
    "evaluate.rerank_weights": [0.5, 1.0],
    "evaluate.bootstrap_samples": 200,
}


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory, write_params):
    """A project with a round, the reranker's examples mined with it, and a reranker."""
    folder = tmp_path_factory.mktemp("reranker")
    shutil.copytree(prepared, folder, dirs_exist_ok=True)
    write_params(folder, **CHANGES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train.main(TRAIN.split())
        mine.main(MINE.split())
        train_reranker.main(RERANKER.split())
        evaluate.main(EVALUATE.split())
    return folder


@pytest.fixture
def project(trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_mining_keeps_anchors_and_replaces_the_hard_negatives_of_the_rerankers_profile(trained):
    before, after = (
        read_examples(trained / f"data/triplets/{name}/examples.parquet") for name in ("reranker0", "reranker")
    )
    for name in ("anchor", "positive", "positive_chunk"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    metrics = read(trained / "metrics/mine/reranker.json")
    assert metrics["mix_wanted"] == {"easy": 0.2, "medium": 0.35, "hard": 0.45}
    hard = after.pool.strategy[after.pool.tier == 2]
    assert np.mean(hard >= STRATEGIES.index("mined")) > 0.5
    assert not (trained / "data/triplets/reranker/end.json").exists()


def test_without_steps_nothing_is_mined_for_the_reranker(project, encoded_counts, write_params, capsys):
    write_params(project, **CHANGES | {"train_reranker.steps": 0})
    mine.main(MINE.split())
    assert encoded_counts() == []
    assert "not mined, train_reranker.steps is 0" in capsys.readouterr().out
    before, after = (
        read_examples(project / f"data/triplets/{name}/examples.parquet") for name in ("reranker0", "reranker")
    )
    np.testing.assert_array_equal(before.pool.chunk, after.pool.chunk)
    assert read(project / "metrics/mine/reranker.json")["examples"] == len(after)


def test_the_reranker_learns_and_loads_as_a_plain_cross_encoder(trained):
    metrics = read(trained / "metrics/train_reranker.json")
    assert metrics["lists"] == 40
    assert metrics["negatives"]["hard"] > metrics["negatives"]["easy"]
    assert metrics["negatives"]["random"] >= 40
    texts = read_texts(trained / "data/triplets/texts")[1][:4]
    scores = CrossEncoder(str(trained / "models/reranker-candidate")).predict([(texts[0], one) for one in texts])
    assert scores.shape == (4,)
    assert np.ptp(scores) > 0


def test_evaluate_reports_the_reranker_beside_the_others_and_what_it_cannot_reach(trained):
    evaluation = read(trained / "metrics/evaluate.json")
    assert "reranked" in evaluation["measures"]["all"]
    assert evaluation["chosen_on_dev"]["reranked"]["depth"] in {20, 50}
    missing = evaluation["missing_from_top_50"]
    assert missing.keys() == {"all", "fft", "ma"}
    within = evaluation["measures"]["fft"]["tuned_hybrid"]["recall@50"]
    assert missing["fft"] == pytest.approx(1 - within)  # one answer each
    added = read_intervals(trained / "metrics/evaluate/added.csv")
    without = {"base_cut", "base_unasked", "base_hybrid_unasked"}  # there are no windows and no written questions
    if not evaluation["chosen_on_dev"]["strength"]:  # queries alone would be the base model again
        without |= {"tuned_queries", "tuned_queries_hybrid"}
    assert {(one.system, one.baseline) for one in added} == {pair for pair in ABLATIONS if pair[1] not in without}


def test_late_interaction_is_evaluated_beside_the_hybrids_and_changes_nothing_where_dev_prefers_so(
    trained, project, write_params
):
    evaluation = read(trained / "metrics/evaluate.json")
    for system in ("base", "tuned"):
        late, hybrid = (evaluation["measures"]["all"][f"{system}_{name}"] for name in ("late", "hybrid"))
        assert evaluation["chosen_on_dev"][f"{system}_late"]["weight"] in {0.5, 1.0}
        assert late["recall@50"] == hybrid["recall@50"]
        assert late["mrr@10"] != hybrid["mrr@10"]
    write_params(project, **CHANGES | {"evaluate.late_weights": [0.0]})
    evaluate.main(EVALUATE.split())
    evaluation = read(project / "metrics/evaluate.json")
    assert {"tuned_late", "base_late"}.isdisjoint(evaluation["measures"]["all"])
    assert evaluation["chosen_on_dev"]["tuned_late"]["weight"] == 0
    added = read_intervals(project / "metrics/evaluate/added.csv")
    of_reranking = {(one.system, one.baseline) for one in added if one.baseline != "base"}
    assert of_reranking == {("reranked", "tuned_hybrid")}
    promote.main([*PROMOTE.split(), "models/embedder"])
    verdict = read(project / "metrics/verdict.json")["late_interaction"]
    assert not verdict["used"]
    assert verdict["reason"].startswith("dev prefers the order as it is")


def test_a_reranker_that_adds_nothing_is_refused_and_its_folder_has_the_reason(project):
    promote.main([*PROMOTE.split(), "models/embedder"])
    verdict = read(project / "metrics/verdict.json")["reranker"]
    assert (verdict["verdict"], verdict["used"]) == ("kept", False)
    assert [one.name for one in (project / "models/reranker").iterdir()] == ["README.md"]
    readme = (project / "models/reranker/README.md").read_text(encoding="utf-8")
    assert verdict["reason"][1:] in readme


def test_without_steps_no_reranker_is_trained(project, write_params):
    write_params(project, **CHANGES | {"train_reranker.steps": 0})
    train_reranker.main(RERANKER.split())
    assert [one.name for one in (project / "models/reranker-candidate").iterdir()] == ["README.md"]
    evaluate.main(EVALUATE.split())
    assert "reranked" not in read(project / "metrics/evaluate.json")["measures"]["all"]
    promote.main([*PROMOTE.split(), "models/embedder"])
    verdict = read(project / "metrics/verdict.json")["reranker"]
    assert (verdict["verdict"], verdict["reason"]) == ("kept", "none was trained: train_reranker.steps is 0")


def test_a_ready_reranker_is_judged_as_it_comes(project, write_params):
    shutil.copytree("models/reranker-candidate", "ready")
    ready = CHANGES | {"train_reranker.steps": 0, "train_reranker.ready": True, "train_reranker.base": "./ready"}
    write_params(project, **ready)
    train_reranker.main(RERANKER.split())
    pairs = [("sort an array", "Return a sorted copy."), ("zeros", "An array of zeros.")]
    expected, found = (CrossEncoder(str(one)).predict(pairs) for one in ("ready", "models/reranker-candidate"))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert read(project / "metrics/train_reranker.json")["ready"] == "./ready"
    evaluate.main(EVALUATE.split())
    assert "reranked" in read(project / "metrics/evaluate.json")["chosen_on_dev"]
    write_params(project, **ready | {"train_reranker.base": "./tiny"})
    with pytest.raises(UserError, match=r"train_reranker\.base: \./tiny is not a reranker"):
        train_reranker.main(RERANKER.split())

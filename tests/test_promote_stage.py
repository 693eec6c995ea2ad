"""Planted models that must not be published: damaged, over-fitted, good in one category and bad in the other."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
import torch
from hand_made import EVALUATE, PROMOTE, TRAIN
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer

from stages import evaluate, promote, train
from triptych.artifacts import write_json
from triptych.corpus.records import Query
from triptych.evaluation.comparison import compare, write_intervals
from triptych.evaluators.systems import ABLATIONS
from triptych.triplets.examples import read_examples, write_examples


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory, write_params):
    """A project whose tiny base model knows words, so that its metrics can fall, and a round trained from it."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(prepared, folder, dirs_exist_ok=True)
    base = SentenceTransformer(str(folder / "tiny"), device="cpu")
    with torch.no_grad():
        for name, weight in base.named_parameters():
            if "output.dense" in name or "position" in name:  # what is left is the sum of a text's words
                weight.zero_()
    base.save_pretrained(str(folder / "tiny"), create_model_card=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        settings(folder, write_params)
        train.main(TRAIN.split())
    full_strength(folder)
    (folder / "models/reranker-candidate").mkdir()
    return folder


@pytest.fixture
def project(trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(folder, write_params, **changes):
    sources = [{"path": f"numpy.{name}", "format": "package", "category": name} for name in ("fft", "ma")]
    fixed = {
        "ingest.sources": sources,
        "model.base": "./tiny",
        "tokenize.max_length": "auto",
        "rounds.train.round0.steps": 2,
        "rounds.train.round0.learning_rate": 1.0e-2,
        "train.batch_size": 8,
        "train.precision": "fp32",
        "evaluate.round": "round0",
        "rounds.mine.reranker.previous": "round0",
        "evaluate.bootstrap_samples": 1000,
    }
    write_params(folder, **fixed | changes)


def full_strength(folder):
    """Set the strength to 1, as a dev set too small or too alike would."""
    path = folder / "models/round0/round.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(record | {"strength": 1.0}), encoding="utf-8")


def promoted(folder):
    promote.main([*PROMOTE.split(), "models/embedder"])
    return json.loads((folder / "metrics/verdict.json").read_text(encoding="utf-8"))


def mrr(folder):
    measures = json.loads((folder / "metrics/evaluate.json").read_text(encoding="utf-8"))["measures"]["all"]
    return measures["base"]["mrr@10"], measures["tuned"]["mrr@10"]


def test_a_damaged_model_is_refused(project):
    weights = project / "models/round0/adapter_model.safetensors"
    noise = np.random.default_rng(1)
    torn = {name: one + one.new_tensor(noise.normal(0, 3, one.shape)) for name, one in load_file(weights).items()}
    save_file(torn, weights)
    evaluate.main(EVALUATE.split())
    base, tuned = mrr(project)
    assert tuned < base
    verdict = promoted(project)
    assert (verdict["verdict"], verdict["promoted"], verdict["published"]) == ("kept", False, "base")


def test_an_over_fitted_model_is_refused(project, write_params):
    """Trained long on few questions whose answers were shuffled: it has memorized them and fails on others."""
    path = project / "data/triplets/round0/examples.parquet"
    examples = read_examples(path)
    few = examples.select(np.sort(np.random.default_rng(1).choice(len(examples), 16, replace=False)))
    dealt = np.random.default_rng(2).permutation(len(few))
    moved = {name: getattr(few, name)[dealt] for name in ("positive", "positive_chunk")}
    write_examples(path, replace(few, **moved))
    changes = {"steps": 90, "learning_rate": 1.0e-2}
    settings(project, write_params, **{f"rounds.train.round0.{key}": value for key, value in changes.items()})
    train.main(TRAIN.split())
    full_strength(project)
    curve = pd.read_csv(project / "metrics/train/round0.csv")["loss"]
    assert curve.iloc[-1] < 0.3 * curve.iloc[0]
    evaluate.main(EVALUATE.split())
    verdict = promoted(project)
    assert (verdict["verdict"], verdict["promoted"], verdict["published"]) == ("kept", False, "base")


@pytest.fixture
def compared(project, params_with):
    """Write the outputs of evaluate for two categories with given ranks of the answers; return promote's verdict."""
    queries = {f"q{number}": Query(f"q{number}", "", "user", "fft" if number < 60 else "ma") for number in range(240)}
    qrels = {one: {"answer": 1} for one in queries}
    documents = {one: int(one[1:]) // 2 for one in queries}
    draw = Random(3)

    def run(ranks):
        def hits(category):
            rank = draw.choice(ranks[category])
            return {f"x{place}": -place for place in range(1, 12) if place != rank} | {"answer": -rank}

        return {one: hits(query.category) for one, query in queries.items()}

    def call(rerank_weight=0.5, late_weight=0.5, tuned_weight=0.5, free="base_hybrid", taught=(), **ranks):
        usual = {"fft": [1, 2, 3], "ma": [1, 2, 3]}
        systems = {name: run(usual) for name in ("base", "bm25", "base_hybrid", "tuned", "tuned_hybrid")}
        systems |= {system: run(usual | found) for system, found in ranks.items()}
        if late_weight:
            systems |= {
                late: systems[first] for late, first in ABLATIONS if late.endswith("_late") and late not in systems
            }
        params = params_with(**{"evaluate.bootstrap_samples": 1000}).evaluate
        found = compare(systems, qrels, queries, documents, free, params, taught)
        write_intervals(project / "metrics/evaluate/intervals.csv", found.intervals)
        added = []
        for system, without in ABLATIONS:
            if {system, without} <= systems.keys():
                both = {name: systems[name] for name in (without, system)}
                added += compare(both, qrels, queries, documents, without, params, taught).intervals
        write_intervals(project / "metrics/evaluate/added.csv", added)
        chosen = {
            "strength": 1.0,
            "windows": False,
            "free": {"system": free, "dev_queries": 90, "dev": {"base": 0.5}},
        } | {
            f"{one}_hybrid": {"method": "zscore", "dense_weight": weight}
            for one, weight in (("base", 0.5), ("tuned", tuned_weight))
        }
        chosen |= {f"{one}_late": {"depth": 50, "weight": late_weight} for one in ("base", "tuned")}
        if "reranked" in systems:
            chosen["reranked"] = {"depth": 50, "weight": rerank_weight}
        write_json(
            project / "metrics/evaluate.json",
            {
                "chosen_on_dev": chosen,
                "measures": found.measures,
                "by_kind": found.by_kind,
                "taught": list(taught),
                "corpus": "f00.dir",
            },
        )
        (project / "models/reranker-candidate/config.json").write_text("{}", encoding="utf-8")
        return promoted(project)

    return call


BETTER, WORSE = [1, 1, 1, 2], [3, 4, 5]


def test_a_model_that_is_good_in_one_category_and_bad_in_the_other_is_refused(compared):
    verdict = compared(tuned_hybrid={"fft": WORSE, "ma": BETTER})
    assert verdict["low"] > 0  # on the whole it is better
    assert (verdict["verdict"], verdict["published"]) == ("kept", "base")
    assert verdict["reason"].startswith("fft: mrr@10 falls by 0.")


def test_the_verdict_tells_whether_the_queries_are_of_a_kind_that_was_taught(compared, capsys):
    better = {"fft": BETTER, "ma": BETTER}
    said = "measured on the kind of question it was taught with"
    verdict = compared(tuned_hybrid=better, taught=["pseudo", "user"])
    assert (verdict["verdict"], verdict["basis"], verdict["taught"]) == ("promoted", "taught", ["pseudo", "user"])
    assert said in capsys.readouterr().out
    assert said in Path("models/embedder/README.md").read_text(encoding="utf-8")
    verdict = compared(tuned_hybrid=better, taught=["pseudo"])
    assert (verdict["verdict"], verdict["basis"], verdict["taught"]) == ("promoted", "untaught", ["pseudo"])
    assert verdict["reason"].endswith(" over 240 queries of a kind that was not taught (user)")
    assert said not in capsys.readouterr().out
    assert said not in Path("models/embedder/README.md").read_text(encoding="utf-8")


def test_a_model_that_is_good_in_both_is_published(compared):
    verdict = compared(tuned_hybrid={"fft": BETTER, "ma": BETTER})
    assert (verdict["verdict"], verdict["promoted"], verdict["published"]) == ("promoted", True, "tuned")
    assert verdict["p_holm"] < 0.05


def test_a_model_that_beats_the_base_model_but_not_what_is_free_is_refused(compared):
    better = {"fft": BETTER, "ma": BETTER}
    verdict = compared(tuned=better, tuned_hybrid=better, base_hybrid=better)
    assert (verdict["verdict"], verdict["published"]) == ("kept", "base")
    assert verdict["free"]["system"] == "base_hybrid"
    assert verdict["free"]["added"]["low"] > 0
    assert verdict["fusion"] == {"method": "zscore", "dense_weight": 0.5}
    assert any(
        reason.startswith("by its vectors alone, against those of the base model, mrr@10 rises by 0.")
        for reason in verdict["reasons"]
    )


def test_the_fusion_is_that_of_the_published_embedder(compared):
    better = {"fft": BETTER, "ma": BETTER}
    assert compared(tuned_weight=0.9)["fusion"]["dense_weight"] == 0.5
    assert compared(tuned_weight=0.9, tuned_hybrid=better)["fusion"]["dense_weight"] == 0.9


def test_late_interaction_that_is_worth_it_on_dev_is_part_of_what_is_free(compared):
    verdict = compared(free="base_late", base_late=GOOD, tuned_late=GOOD, tuned_hybrid=BEST)
    assert (verdict["system"], verdict["published"]) == ("tuned_late", "base")
    assert (verdict["late_interaction"]["system"], verdict["late_interaction"]["used"]) == ("base_late", True)
    verdict = compared(free="base_late", base_late=GOOD, tuned_late=BEST)
    assert (verdict["system"], verdict["published"]) == ("tuned_late", "tuned")
    assert (verdict["late_interaction"]["system"], verdict["late_interaction"]["used"]) == ("tuned_late", True)


GOOD = {"fft": BETTER, "ma": BETTER}
BEST = {"fft": [1], "ma": [1]}


def published(project):
    return sorted(one.name for one in (project / "models/reranker").iterdir())


def test_a_reranker_that_adds_to_the_hybrid_is_published(compared, project):
    verdict = compared(tuned=GOOD, tuned_hybrid=GOOD, reranked=BEST)
    record = verdict["reranker"]
    assert (record["verdict"], record["used"], record["way"]) == ("promoted", True, {"depth": 50, "weight": 0.5})
    assert 0 < record["added"]["low"] < record["added"]["difference"] < record["difference"]
    assert record["reason"].startswith("beside the same search without it, mrr@10 rises by 0.")
    assert published(project) == ["README.md", "config.json"]
    card = (project / "models/reranker/README.md").read_text(encoding="utf-8")
    load = 'CrossEncoder("models/reranker")'
    for text in ("| all (240) | tuned, reranked | 1.000 |", "f00.dir", load, "the best 50 with weight 0.5"):
        assert text in card


def test_a_reranker_that_is_better_than_base_but_adds_nothing_is_refused(compared, project):
    record = compared(tuned=GOOD, tuned_hybrid=GOOD, reranked=GOOD)["reranker"]
    assert record["low"] > 0
    assert (record["verdict"], record["used"]) == ("kept", False)
    assert record["reason"].startswith("beside the same search without it, ")
    assert published(project) == ["README.md"]


def test_a_reranker_that_harms_a_category_is_refused(compared, project):
    record = compared(tuned=GOOD, tuned_hybrid=GOOD, reranked={"fft": WORSE, "ma": [1]})["reranker"]
    assert (record["verdict"], record["used"]) == ("kept", False)
    assert published(project) == ["README.md"]


@pytest.mark.parametrize(
    ("ranks", "changes", "why"),
    [
        ({"tuned": GOOD}, {}, "it orders what the tuned embedder finds, which is not published"),
        ({"tuned": GOOD, "tuned_hybrid": GOOD}, {"rerank_weight": 0.0}, "dev prefers the order as it is"),
    ],
)
def test_a_reranker_without_its_first_stage_is_refused(compared, project, ranks, changes, why):
    record = compared(**changes, **ranks, reranked=BEST)["reranker"]
    assert (record["verdict"], record["used"]) == ("kept", False)
    assert record["reason"].startswith(why)
    assert why[1:] in (project / "models/reranker/README.md").read_text(encoding="utf-8")
    assert published(project) == ["README.md"]


def late(verdict):
    return verdict["late_interaction"]


def test_late_interaction_that_adds_to_the_hybrid_is_used(compared):
    record = late(compared(tuned=GOOD, tuned_hybrid=GOOD, tuned_late=BEST))
    assert (record["verdict"], record["used"], record["system"]) == ("promoted", True, "tuned_late")
    assert record["way"] == {"depth": 50, "weight": 0.5}
    assert 0 < record["added"]["low"] < record["added"]["difference"] < record["difference"]


def test_late_interaction_gets_a_verdict_for_the_base_model_too(compared):
    record = late(compared(base_hybrid=GOOD, base_late=BEST))
    assert (record["used"], record["system"]) == (True, "base_late")


@pytest.mark.parametrize(
    ("ranks", "changes", "why"),
    [
        ({"tuned_hybrid": GOOD}, {"late_weight": 0.0}, "dev prefers the order as it is"),
        ({"tuned_hybrid": GOOD, "tuned_late": GOOD}, {}, "beside the same search without it, mrr@10 "),
    ],
)
def test_late_interaction_that_adds_nothing_is_not_used(compared, ranks, changes, why):
    record = late(compared(**changes, **{"tuned": GOOD, "tuned_late": BEST} | ranks))
    assert (record["verdict"], record["used"]) == ("kept", False)
    assert record["reason"].startswith(why)


def test_a_reranker_is_compared_with_late_interaction_where_that_is_used(compared):
    verdict = compared(tuned=GOOD, tuned_hybrid=GOOD, tuned_late=BEST, reranked=BEST)
    assert late(verdict)["used"] is True
    record = verdict["reranker"]
    assert record["used"] is False
    assert record["reason"].startswith("beside the same search without it, mrr@10 stays the same")


def test_late_interaction_that_alone_adds_nothing_is_used_where_the_reranker_behind_it_is(compared):
    verdict = compared(tuned=GOOD, tuned_hybrid=GOOD, tuned_late=GOOD, reranked=BEST)
    record = late(verdict)
    assert (record["verdict"], record["used"]) == ("promoted", True)
    assert record["reason"].startswith("the reranker orders what it has ordered")
    assert "includes zero" in record["reasons"][1]
    assert verdict["reranker"]["used"] is True

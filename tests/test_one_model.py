"""Stages have one base model in memory at a time, in the form that ``train.load_in`` names, and evaluate on that."""

import gc
import json
import shutil
import weakref

import pytest
import torch
from hand_made import EVALUATE, INDEX, PROMOTE, TRAIN
from sentence_transformers import SentenceTransformer

from stages import evaluate, index, mine, promote, rate, train
from triptych.models.weight_form import form_of

pytestmark = pytest.mark.dag

RATE = (
    "--texts data/triplets/texts --tokens data/tokens --base models/base --embedder data/triplets/embedder"
    " --reranker data/triplets/reranker0 --metrics metrics/rate.json --tables metrics/rate --vectors data/vectors"
)
MINE = (
    "--corpus data/corpus --texts data/triplets/texts --tokens data/tokens --round data/triplets/round0"
    " --model models/round0 --mined data/triplets/round1 --metrics metrics/mine/round1.json --vectors data/vectors"
)


@pytest.fixture
def loads(monkeypatch):
    """Record how many other models were in memory whenever one was loaded, and the form of each that encoded."""
    alive, others, forms = weakref.WeakSet(), [], set()
    load, forward = SentenceTransformer.__init__, SentenceTransformer.forward

    def counting(self, *args, **more):
        others.append(len(alive))
        load(self, *args, **more)
        alive.add(self)

    def recording(self, *args, **more):
        forms.add(form_of(self).load_in)
        return forward(self, *args, **more)

    monkeypatch.setattr(SentenceTransformer, "__init__", counting)
    monkeypatch.setattr(SentenceTransformer, "forward", recording)

    def since():
        gc.collect()  # what a stage leaves behind is gone when its process ends
        result = list(others), set(forms)
        others.clear()
        forms.clear()
        return result

    return since


@pytest.mark.parametrize("load_in", ["4bit", pytest.param("full", marks=pytest.mark.slow)])
def test_one_base_model_is_in_memory_and_everything_is_computed_on_it(
    prepared, tmp_path, monkeypatch, write_params, loads, load_in
):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    rounds = {"round0": {"previous": "base", "steps": 4, "learning_rate": 2.0e-2}}
    rounds["round1"] = rounds["round0"] | {"previous": "round0"}  # is not trained here
    mined = {"round1": {"previous": "round0", "examples": "round0"}}
    mined["reranker"] = {"previous": "round1", "examples": "reranker0"}
    write_params(
        tmp_path,
        **{
            "split.min_queries": 2,
            "split.min_train_queries": 1,
            "model.base": "./tiny",
            "tokenize.max_length": "auto",
            "tokenize.max_windows": 1,
            "train.batch_size": 8,
            "train.precision": "fp32",
            "train.loss": "distill",  # its teacher is the model of the round before
            "train.eval_every": 2,
            "train.load_in": load_in,
            "rounds.train": rounds,
            "rounds.mine": mined,
            "mine.guide": "base",
            "evaluate.round": "round1",
            "evaluate.bootstrap_samples": 100,
            "promote.unproven": "tuned",
            "promote.worthwhile": 0.0001,
        },
    )
    found = {}
    for name, run in (
        ("rate", lambda: rate.main(RATE.split())),
        ("train", lambda: train.main(TRAIN.split())),
        ("mine", lambda: mine.main(MINE.split())),
        ("evaluate", lambda: evaluate.main(EVALUATE.split())),
        ("promote", lambda: promote.main([*PROMOTE.split(), "models/embedder"])),
        ("index", lambda: index.main(INDEX.split())),
    ):
        shutil.rmtree(tmp_path / "data/vectors", ignore_errors=True)  # so that each stage encodes
        if name == "evaluate":
            (tmp_path / "models/reranker-candidate").mkdir()
        run()
        found[name] = loads()
    others = {name: numbers for name, (numbers, _) in found.items()}
    assert {name: max(numbers) for name, numbers in others.items()} == dict.fromkeys(found, 0)
    assert len(others["train"]) == 3  # the teacher, the model that trains, and the one that is judged
    assert [found[name][1] for name in ("rate", "train", "mine", "evaluate")] == [{load_in}] * 4
    record = json.loads((tmp_path / "models/round0/round.json").read_text(encoding="utf-8"))
    assert record.get("weights", {"load_in": "full"})["load_in"] == load_in
    saved = SentenceTransformer(str(tmp_path / "models/embedder"), device="cpu")
    assert saved.dtype == torch.float32  # that of train.precision where the base is quantized
    assert ("saved" in (tmp_path / "models/embedder/README.md").read_text(encoding="utf-8")) == (load_in != "full")

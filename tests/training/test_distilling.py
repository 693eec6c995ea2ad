"""Distilling: the teacher's scores, what is drawn from its ranking, the loss that follows it, and when it is chosen."""

import math
import shutil

import numpy as np
import pytest
import torch

from triptych.params import TrainRound
from triptych.params_file import load_params
from triptych.retrieval.lexical import LexicalIndex
from triptych.tokens.store import open_store, write_store
from triptych.training.adapter import make_trainable
from triptych.training.base import load_base, tokenizer_fingerprint
from triptych.training.distilling import LessonCollator, Teacher, lessons
from triptych.training.losses import DistillLoss
from triptych.training.material import prepare, resolve_loss
from triptych.training.trainer import train
from triptych.triplets.examples import Example, Examples, read_examples
from triptych.triplets.views import VIEWS

WORDS = ["sort a list", "find an item", "keep a value", "drop a row", "join two tables", "sort by value"]
ROWS = np.array([2, 3, 5, 7, 11, 13])  # rows of the corpus; the others are not of the train split


@pytest.fixture
def teacher():
    vectors = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    return Teacher(ROWS, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), LexicalIndex(WORDS, WORDS))


@pytest.fixture
def settings(params_with):
    def of(**changes):
        return params_with(**{f"train.distill.{key}": value for key, value in changes.items()}).train.distill

    return of


def drawn(teacher, params, seed=1):
    vectors = teacher.vectors[[0, 4]]
    texts = ["sort a list", "join tables"]
    return lessons(teacher, np.array([2, 11]), np.array([70, 71]), vectors, texts, params, seed)


def test_teacher_adds_standardized_cosine_and_bm25_by_their_weights(teacher):
    vectors, texts = teacher.vectors[:1], ["sort value"]
    fused, scale = teacher.scores(vectors, texts, 0.7)
    cosine = (teacher.vectors @ vectors[0]).tolist()
    words = teacher.words.scores(texts)[0].tolist()
    expected = [
        0.7 * (near - np.mean(cosine)) / np.std(cosine) + 0.3 * (match - np.mean(words)) / np.std(words)
        for near, match in zip(cosine, words, strict=True)
    ]
    assert fused[0].tolist() == pytest.approx(expected, abs=1e-4)
    assert scale.tolist() == pytest.approx([np.std(cosine)], abs=1e-6)


def test_lexical_scores_are_those_that_a_search_ranks_by(teacher):
    rows, scores = teacher.words.search(["sort a value"], 6)
    assert teacher.words.scores(["sort a value"])[0][rows[0]].tolist() == pytest.approx(scores[0].tolist())


def test_every_lesson_begins_with_the_anchors_own_chunk_and_names_none_twice(teacher, settings):
    rows = drawn(teacher, settings(candidates=3, random=2))
    assert [chunks[0] for chunks in rows["chunks"]] == [2, 11]
    assert rows["anchor"] == [70, 71]
    for chunks in rows["chunks"]:
        assert len(set(chunks)) == len(chunks)
        assert set(chunks) <= set(ROWS.tolist())


def test_candidates_are_of_the_teachers_best(teacher, settings):
    fused, _ = teacher.scores(teacher.vectors[[0, 4]], ["sort a list", "join tables"], 0.7)
    for seed in range(20):
        rows = drawn(teacher, settings(depth=2, candidates=2, random=1), seed)
        for scores, own, chunks in zip(fused, (0, 4), rows["chunks"], strict=True):
            best = [ROWS[place] for place in np.argsort(-scores) if place != own][:2]
            assert set(best) <= set(chunks[1:])


def test_lesson_holds_the_teachers_score_of_each_chunk(teacher, settings):
    rows = drawn(teacher, settings())
    fused, scale = teacher.scores(teacher.vectors[[0, 4]], ["sort a list", "join tables"], 0.7)
    for number, chunks in enumerate(rows["chunks"]):
        assert rows["teacher"][number] == pytest.approx(fused[number][np.searchsorted(ROWS, chunks)].tolist())
    assert rows["scale"] == pytest.approx(scale.tolist())


def test_a_corpus_smaller_than_the_depth_is_taught_whole(teacher, settings):
    rows = drawn(teacher, settings(depth=40, candidates=8))
    assert all(set(chunks) == set(ROWS.tolist()) for chunks in rows["chunks"])


def test_seed_chooses_the_candidates(teacher, settings):
    params = settings(candidates=2)
    assert drawn(teacher, params, 1) == drawn(teacher, params, 1)
    assert len({str(drawn(teacher, params, seed)["chunks"]) for seed in range(6)}) > 1


def test_batch_marks_the_passages_of_each_row(tmp_path):
    metadata = {"max_length": 16, "padding_side": "right", "pad_token_id": 0, "tokenizer_sha256": "abc"}
    write_store(tmp_path, [[100 + number] for number in range(20)], metadata)
    collate = LessonCollator(open_store(tmp_path, "abc"), np.arange(20), fixed=False)
    batch = collate(
        [
            {"anchor": 18, "chunks": [4, 2], "teacher": [1.0, 0.5], "scale": 0.1},
            {"anchor": 17, "chunks": [9, 4], "teacher": [2.0, -1.0], "scale": 0.2},
        ]
    )
    assert batch["passage_input_ids"][:, 0].tolist() == [102, 104, 109]
    assert batch["query_input_ids"][batch["label"]["anchor"], 0].tolist() == [118, 117]
    assert batch["label"]["teacher"].tolist() == [[0.5, 1.0, -math.inf], [-math.inf, -1.0, 2.0]]
    assert batch["label"]["scale"].tolist() == pytest.approx([0.1, 0.2])


QUERIES = torch.tensor([[1.0, 0.0]])
PASSAGES = torch.tensor([[0.8, 0.6], [0.6, 0.8], [0.0, 1.0]])


def rows(teacher, scale=0.2):
    return {"anchor": torch.tensor([0]), "teacher": torch.tensor([teacher]), "scale": torch.tensor([scale])}


def test_distill_loss_by_hand():
    student = np.exp([0.8 / 0.2, 0.6 / 0.2])
    taught = np.exp([1.0, 3.0])
    student, taught = student / student.sum(), taught / taught.sum()
    expected = float((taught * np.log(taught / student)).sum())
    loss = DistillLoss(None, 1.0).of_vectors(QUERIES, PASSAGES, rows([1.0, 3.0, -math.inf]))
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_distill_loss_is_zero_where_the_student_ranks_as_the_teacher_does():
    loss = DistillLoss(None, 1.0).of_vectors(QUERIES, PASSAGES, rows([4.0, 3.0, 0.0]))
    assert loss.item() == pytest.approx(0.0, abs=1e-6)


def test_passages_of_other_rows_get_no_gradient():
    passages = PASSAGES.clone().requires_grad_()
    DistillLoss(None, 1.0).of_vectors(QUERIES, passages, rows([1.0, 3.0, -math.inf])).backward()
    assert torch.isfinite(passages.grad).all()
    assert passages.grad[2].tolist() == [0.0, 0.0]
    assert passages.grad[0].abs().sum() > 0


def examples(*views):
    return Examples.of(Example(0, 1, 0, view, "api", ()) for view in views)


@pytest.mark.parametrize(
    ("views", "shares", "loss"),
    [
        (("lead", "crossref"), {"lead": 0.5, "crossref": 0.5}, "softmax"),
        (("lead", "query"), {"lead": 0.5, "query": 0.5}, "softmax"),
        (("lead", "imported"), {"lead": 0.5, "imported": 0.5}, "softmax"),
        (("lead", "sentence"), {"lead": 0.5, "crossref": 0.5}, "distill"),
        (("lead", "crossref"), {"lead": 1.0}, "distill"),
    ],
)
def test_auto_distills_where_no_person_chose_a_positive(params_with, views, shares, loss):
    params = params_with().triplets
    given = params.model_copy(update={"views": params.views.model_copy(update=dict.fromkeys(VIEWS, 0.0) | shares)})
    assert resolve_loss("auto", examples(*views), given) == loss
    assert resolve_loss("triplet", examples(*views), given) == "triplet"


def test_training_brings_the_student_nearer_to_the_teacher(prepared, tmp_path, write_params, monkeypatch):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    changes = {"model.base": "./tiny", "train.loss": "distill", "train.precision": "fp32", "train.seed": 3}
    params = load_params(write_params(tmp_path, **changes))
    model = load_base(params.model)
    store = open_store(tmp_path / "data/tokens", tokenizer_fingerprint(model))
    found = read_examples(tmp_path / "data/triplets/round0/examples.parquet", "tokenize")
    material = prepare(tmp_path / "data/tokens", store, found, tmp_path / "models/base", params, 60, 1)
    assert len(material.rows["anchor"]) == 60 * params.train.distill.batch_size
    make_trainable(model, params.train, None)
    curve = train(model, material, params.train, TrainRound(previous="base", steps=60, learning_rate=0.01))
    assert curve[-1].loss < 0.8 * curve[0].loss

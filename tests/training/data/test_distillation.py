"""Distillation: the teacher's scores, the batches drawn from its ranking, the loss, and when auto chooses it."""

import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from corpora import Example, examples_of
from scipy.sparse import csr_array

from triptych.errors import UserError
from triptych.models.adapter import make_trainable
from triptych.models.loading import load_base, tokenizer_fingerprint
from triptych.params.load import load_params
from triptych.params.sections import TrainRound
from triptych.retrieval.lexical import LexicalIndex
from triptych.tokens.token_counts import token_counts
from triptych.tokens.token_store import open_store, write_store
from triptych.training.data.distillation import (
    DistillationAnchors,
    DistillationCollator,
    draw_distillation_batches,
    make_teacher,
    visible_before_cut,
)
from triptych.training.data.training_data import prepare_training_data, resolve_loss
from triptych.training.loop.trainer import train
from triptych.training.losses import DistillLoss
from triptych.triplets.examples import read_examples
from triptych.triplets.views import VIEWS

VOCABULARY = 12
SEEN = [[1, 2, 3], [4, 5, 6], [7, 8, 2], [9, 3], [10, 11, 1, 2], [1, 7, 7]]  # tokens of each chunk before the cut
ROWS = np.arange(6)  # each chunk has one window


def counts(rows):
    dense = np.zeros((len(rows), VOCABULARY), np.float32)
    for row, tokens in enumerate(rows):
        for token in tokens:
            dense[row, token] += 1
    return csr_array(dense)


@pytest.fixture
def teacher():
    vectors = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    return make_teacher(ROWS, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), counts(SEEN))


@pytest.fixture
def vectors(teacher):
    """Of the anchors: near those of their chunks."""
    own = np.repeat(np.arange(5), 2)
    return teacher.vectors[own] + np.random.default_rng(2).normal(scale=0.2, size=(10, 4)).astype(np.float32)


@pytest.fixture
def anchors(teacher):
    """Two anchors of each of the first five chunks; anchor 70 + i is of chunk i // 2."""
    own = np.repeat(np.arange(5), 2)
    return DistillationAnchors(70 + np.arange(10), own, counts([SEEN[chunk][:2] for chunk in own]), np.zeros(10, bool))


@pytest.fixture
def settings(params_with):
    def of(**changes):
        given = {"batch_size": 4, "neighborhoods": 2, "candidates": 2, "random": 1, "depth": 3} | changes
        return params_with(**{f"train.distill.{key}": value for key, value in given.items()}).train.distill

    return of


def test_teacher_adds_standardized_cosine_and_bm25_by_their_weights(teacher, anchors, vectors):
    fused, scale = teacher.scores(anchors, np.array([3]), vectors[[3]], 0.7)
    cosine = (teacher.vectors @ vectors[3]).tolist()
    names = [str(row) for row in ROWS]
    index = LexicalIndex(names, [" ".join(f"t{token}" for token in tokens) for tokens in SEEN])
    rows, found = index.search([" ".join(f"t{token}" for token in SEEN[1][:2])], 6)
    words = np.zeros(6)
    words[rows[0]] = found[0]
    expected = [
        0.7 * (near - np.mean(cosine)) / np.std(cosine) + 0.3 * (match - np.mean(words)) / np.std(words)
        for near, match in zip(cosine, words, strict=True)
    ]
    assert fused[0].tolist() == pytest.approx(expected, abs=1e-4)
    assert scale.tolist() == pytest.approx([np.std(cosine)], abs=1e-6)


def test_the_chunk_for_which_a_question_was_written_is_ranked_first(teacher, anchors, vectors):
    told = replace(anchors, told=np.arange(10) == 3)
    (plain, other), _ = teacher.scores(anchors, np.array([3, 4]), vectors[3:5], 0.7)
    (first, same), _ = teacher.scores(told, np.array([3, 4]), vectors[3:5], 0.7)
    assert first[1] == pytest.approx(plain.max() + 1.0, abs=1e-5)  # chunk 1
    assert np.delete(first, 1).tolist() == np.delete(plain, 1).tolist()
    assert same.tolist() == other.tolist()


def test_an_anchor_that_is_truncated_away_is_left_out(monkeypatch):
    anchors = counts([[1, 2], [1, 2, 3, 4, 5], [6, 7]])
    chunks = counts([[1, 2, 3], [1, 2, 9], [1, 2, 3, 4, 9]])
    assert visible_before_cut(anchors, chunks, np.array([1, 2, 0])).tolist() == [True, True, False]
    monkeypatch.setattr("triptych.training.data.distillation._COMPARED", 2)
    assert visible_before_cut(anchors, chunks, np.array([1, 2, 0])).tolist() == [True, True, False]


@pytest.mark.parametrize("copied", [1, 2, 65_536])
def test_tokens_are_counted_before_the_cut(tmp_path, monkeypatch, copied):
    monkeypatch.setattr("triptych.tokens.token_counts._COPIED", copied)
    metadata = {"max_length": 16, "padding_side": "right", "pad_token_id": 0, "tokenizer_sha256": "abc"}
    write_store(tmp_path, [[1, 2, 2], [], [5]], metadata)
    found = token_counts(open_store(tmp_path, "abc"), np.array([2, 0, 1]), 6)
    assert found.toarray().tolist() == [[0, 0, 0, 0, 0, 1], [0, 1, 2, 0, 0, 0], [0] * 6]


@pytest.fixture
def draw(teacher, anchors, vectors):
    def batches(seeds, params, seed=1):
        return draw_distillation_batches(teacher, anchors, vectors.__getitem__, np.array(seeds), params, seed).batches

    return batches


def test_each_drawn_anchor_is_encoded_once_and_no_other(teacher, anchors, vectors, settings):
    asked = []

    def encode(chosen):
        asked.extend(chosen.tolist())
        return vectors[chosen]

    seeds = np.array([8, 0, 8, 2])
    batches = draw_distillation_batches(teacher, anchors, encode, seeds, settings(batch_size=3), 1).batches
    drawn = {anchor - 70 for batch in batches for anchor in batch["anchor"].tolist()}
    assert sorted(asked) == sorted(drawn)
    assert len(drawn) < len(vectors)


def test_every_batch_has_its_size_and_one_list_of_chunks(draw, settings):
    batches = draw([0, 2, 4, 6], settings())
    assert [len(batch["anchor"]) for batch in batches] == [4, 4]
    for batch in batches:
        assert (batch["windows"] == batch["windows"][0]).all()
        assert set(batch["windows"][0]) <= set(ROWS.tolist())
        assert len(set(batch["windows"][0])) == len(batch["windows"][0])


def test_neighborhoods_begin_with_their_seeds_and_contain_their_own_chunks(draw, settings):
    (batch,) = draw([0, 8], settings())
    assert batch["anchor"][:2].tolist() == [70, 78]
    assert {ROWS[0], ROWS[4]} <= set(batch["windows"][0])


def test_other_anchors_are_of_the_chunks_of_the_batch(draw, anchors, settings):
    for seed in range(20):
        (batch,) = draw([0], settings(neighborhoods=1, batch_size=3), seed)
        own = {ROWS[anchors.own[anchor - 70]] for anchor in batch["anchor"]}
        assert own <= set(batch["windows"][0])


def test_candidates_are_of_the_teachers_best(draw, teacher, anchors, vectors, settings):
    params = settings(neighborhoods=1, depth=2, candidates=2)
    fused, _ = teacher.scores(anchors, np.array([5]), vectors[[5]], params.dense_weight)
    best = [ROWS[index] for index in np.argsort(-fused[0]) if index != anchors.own[5]][:2]
    for seed in range(20):
        assert set(best) <= set(draw([5], params, seed)[0]["windows"][0])


def test_a_batch_has_the_teachers_score_of_each_chunk(draw, teacher, anchors, vectors, settings):
    params = settings()
    (batch,) = draw([0, 8], params)
    fused, scale = teacher.scores(anchors, batch["anchor"] - 70, vectors[batch["anchor"] - 70], params.dense_weight)
    for number, chunks in enumerate(batch["windows"]):
        expected = fused[number][np.searchsorted(ROWS, chunks)].tolist()
        assert batch["teacher"][number].tolist() == pytest.approx(expected, abs=1e-5)
    assert batch["scale"].tolist() == pytest.approx(scale.tolist())


def test_a_corpus_smaller_than_the_depth_is_used_whole(draw, settings):
    (batch,) = draw([0], settings(neighborhoods=1, depth=40, candidates=8))
    assert set(batch["windows"][0]) == set(ROWS.tolist())


def test_seed_chooses_the_candidates(draw, settings):
    (one,), (same,) = (draw([0, 2], settings()) for _ in range(2))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert len({str(draw([0, 2], settings(), seed)[0]["windows"]) for seed in range(8)}) > 1


def test_batch_marks_the_passages_of_each_row(tmp_path):
    metadata = {"max_length": 16, "padding_side": "right", "pad_token_id": 0, "tokenizer_sha256": "abc"}
    write_store(tmp_path, [[100 + number] for number in range(20)], metadata)
    collate = DistillationCollator(open_store(tmp_path, "abc"), np.arange(20), fixed=False)
    columns = {
        "anchor": [18, 17],
        "windows": [[4, 2], [9, 4]],
        "teacher": [[1.0, 0.5], [2.0, -1.0]],
        "scale": [0.1, 0.2],
    }
    batch = collate({name: np.array(column) for name, column in columns.items()})
    texts = torch.cat([group["input_ids"][:, 0] for group in batch["features"]])
    assert texts[batch["rows"]["passages"]].tolist() == [102, 104, 109]
    assert texts[batch["rows"]["queries"]][batch["rows"]["anchor"]].tolist() == [118, 117]
    assert batch["rows"]["teacher"].tolist() == [[0.5, 1.0, -math.inf], [-math.inf, -1.0, 2.0]]
    assert batch["rows"]["scale"].tolist() == pytest.approx([0.1, 0.2])


QUERIES = torch.tensor([[1.0, 0.0]])
PASSAGES = torch.tensor([[0.8, 0.6], [0.6, 0.8], [0.0, 1.0]])


def rows(teacher, scale=0.2):
    return {"anchor": torch.tensor([0]), "teacher": torch.tensor([teacher]), "scale": torch.tensor([scale])}


def test_distill_loss_by_hand():
    student = np.exp([0.8 / 0.2, 0.6 / 0.2])
    taught = np.exp([1.0, 3.0])
    student, taught = student / student.sum(), taught / taught.sum()
    expected = float((taught * np.log(taught / student)).sum())
    loss = DistillLoss(1.0).row_losses(QUERIES, PASSAGES, rows([1.0, 3.0, -math.inf])).mean()
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_distill_loss_is_zero_where_the_student_ranks_as_the_teacher_does():
    loss = DistillLoss(1.0).row_losses(QUERIES, PASSAGES, rows([4.0, 3.0, 0.0])).mean()
    assert loss.item() == pytest.approx(0.0, abs=1e-6)


def test_passages_of_other_rows_get_no_gradient():
    passages = PASSAGES.clone().requires_grad_()
    DistillLoss(1.0).row_losses(QUERIES, passages, rows([1.0, 3.0, -math.inf])).mean().backward()
    assert torch.isfinite(passages.grad).all()
    assert passages.grad[2].tolist() == [0.0, 0.0]
    assert passages.grad[0].abs().sum() > 0


def examples(*views):
    return examples_of(Example(0, 1, 0, view, "api", ()) for view in views)


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
def test_auto_distills_where_people_chose_no_positives(params_with, views, shares, loss):
    params = params_with().triplets
    given = params.model_copy(update={"views": params.views.model_copy(update=dict.fromkeys(VIEWS, 0.0) | shares)})
    assert resolve_loss("auto", examples(*views), given, first=False) == loss
    assert resolve_loss("triplet", examples(*views), given, first=True) == "triplet"


def test_auto_distills_first_where_there_are_written_questions(params_with):
    params = params_with().triplets
    shares = {"crossref": 0.5, "generated": 0.5}
    given = params.model_copy(update={"views": params.views.model_copy(update=dict.fromkeys(VIEWS, 0.0) | shares)})
    both = examples("crossref", "generated")
    assert [resolve_loss("auto", both, given, first=first) for first in (True, False)] == ["distill", "softmax"]
    assert resolve_loss("auto", examples("crossref"), given, first=True) == "softmax"


def test_training_brings_the_student_nearer_to_the_teacher(prepared, tmp_path, write_params, monkeypatch):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    changes = {"model.base": "./tiny", "train.loss": "distill", "train.precision": "fp32", "train.seed": 3}
    changes |= {"train.distill.max_steps": 60, "train.distill.batch_size": 24}
    params = load_params(write_params(tmp_path, **changes))
    model = load_base(params.model)
    store = open_store(tmp_path / "data/tokens", tokenizer_fingerprint(model))
    found = read_examples(tmp_path / "data/triplets/round0/examples.parquet")
    round_params = TrainRound(previous="base", steps=70, learning_rate=0.01, negatives="stored")
    training_data = prepare_training_data(
        tmp_path / "data/corpus",
        tmp_path / "data/triplets/texts",
        store,
        found,
        tmp_path / "models/base",
        params,
        round_params,
        1,
    )
    assert len(training_data.schedule) == 60
    assert training_data.steps == 60  # 70 steps were requested; more than 60 do not help
    make_trainable(model, params.train, None)
    curve = train(model, training_data, params.train, 0.01).curve
    assert curve[-1].loss < 0.8 * curve[0].loss


def test_texts_cut_before_any_anchor_are_named_with_the_remedy(prepared, tmp_path, write_params, monkeypatch):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    params = load_params(write_params(tmp_path, **{"model.base": "./tiny", "train.loss": "distill"}))
    store = open_store(tmp_path / "data/tokens", tokenizer_fingerprint(load_base(params.model)))
    blind = replace(
        store, offsets=np.repeat(store.offsets[:1], len(store.offsets))
    )  # as if all texts were empty before the cut
    found = read_examples(tmp_path / "data/triplets/round0/examples.parquet")
    found = found.select(np.flatnonzero(found.view == VIEWS.index("lead")))  # of which the teacher is told nothing
    round_params = TrainRound(previous="base", steps=2, learning_rate=0.01, negatives="stored")
    with pytest.raises(UserError, match=r"tokenize\.max_length"):
        prepare_training_data(
            tmp_path / "data/corpus",
            tmp_path / "data/triplets/texts",
            blind,
            found,
            tmp_path / "models/base",
            params,
            round_params,
            1,
        )

"""Evaluation during a run: dev by category, the best weights, a category that falls, early stopping."""

import json
import shutil
from dataclasses import dataclass, field, replace

import pytest
import torch
from transformers import TrainerState

from triptych.evaluators.retrieval_evaluator import load_evaluator
from triptych.models.adapter import make_trainable
from triptych.models.loading import load_base, tokenizer_fingerprint
from triptych.params.load import load_params
from triptych.params.sections import TrainRound
from triptych.tokens.token_store import open_store
from triptych.training.data.training_data import prepare_training_data
from triptych.training.loop.early_stopping import DevEvaluation
from triptych.training.loop.trainer import train
from triptych.training.loop.training_logs import dev_csv, steps_csv
from triptych.triplets.examples import read_examples


@dataclass
class Scripted:
    """An evaluator with given scores: those of a real model cannot be arranged."""

    real: object
    figures: list[dict[str, float]]
    models: list[dict[str, torch.Tensor]] = field(default_factory=list)

    def __getattr__(self, name):
        return getattr(self.real, name)

    def measured(self, model, metric, label, cache=None):
        self.models.append({name: one.detach().clone() for name, one in model.named_parameters() if one.requires_grad})
        return self.figures[len(self.models) - 1]


@pytest.fixture
def run(prepared, tmp_path, write_params, monkeypatch):
    """Train on the tiny corpus, evaluated every two steps; return the callback, the model and the result."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def call(figures=None, steps=8, free=True, loss="softmax", negatives="stored", metric="mrr@10", **changes):
        settings = {"batch_size": 8, "precision": "fp32", "loss": loss, "resample_every": 2, "eval_every": 2} | changes
        path = write_params(tmp_path, **{"model.base": "./tiny"} | {f"train.{k}": v for k, v in settings.items()})
        params = load_params(path)
        model = load_base(params.model)
        corpus, texts = tmp_path / "data/corpus", tmp_path / "data/triplets/texts"
        store = open_store(tmp_path / "data/tokens", tokenizer_fingerprint(model))
        examples = read_examples(tmp_path / "data/triplets/round0/examples.parquet")
        round_params = TrainRound(previous="base", steps=steps, learning_rate=0.001, negatives=negatives)
        training_data = prepare_training_data(
            corpus, texts, store, examples, tmp_path / "models/base", params, round_params, 1
        )
        evaluator = load_evaluator(corpus, texts, ["dev"], store, "fp32")
        if free:  # dev is one chunk and one query, so that an evaluation costs next to nothing
            evaluator = replace(
                evaluator, passage_ids=evaluator.passage_ids[:1], query_text_ids=evaluator.query_text_ids[:1]
            )
        evaluator = evaluator if figures is None else Scripted(evaluator, figures)
        make_trainable(model, params.train, None)
        watch = DevEvaluation(evaluator, metric, training_data, params.train, tmp_path / "data/vectors")
        return watch, model, train(model, training_data, params.train, 0.001, callbacks=[watch])

    return call


def both(fft, ma):
    return {"fft": fft, "ma": ma}


FLAT = [both(0.5, 0.5)] * 9


def test_dev_is_evaluated_by_category_at_the_start_at_the_end_and_between(run):
    watch, _, _ = run(free=False, steps=120, resample_every=20, eval_every=20)
    assert [point["step"] for point in watch.points] == [0, *watch.steps]
    assert watch.steps[-1] == 120
    assert all(point["dev"].keys() == {"fft", "ma"} for point in watch.points)
    assert len({json.dumps(point["dev"]) for point in watch.points}) > 1


def test_evaluation_takes_at_most_a_quarter_of_the_tokens(run):
    watch, _, _ = run(FLAT, free=False, steps=40, eval_every=2)
    often = len(watch.steps)
    longer, _, _ = run(FLAT * 9, free=False, steps=80, eval_every=2)
    assert often < 20
    assert often < len(longer.steps) < 40
    assert watch.steps[-1] == 40
    assert all(step % 2 == 0 for step in longer.steps)


def test_a_run_too_short_for_an_evaluation_or_without_eval_every_evaluates_nothing(run):
    assert run(FLAT, free=False, steps=2)[0].points == []
    assert run(FLAT, eval_every=0)[0].points == []


def test_the_best_weights_are_kept(run):
    figures = [both(0.5, 0.5), both(0.5, 0.6), both(0.8, 0.8), both(0.6, 0.6), both(0.7, 0.7)]
    watch, model, _ = run(figures)
    found = {name: one.detach() for name, one in model.named_parameters() if one.requires_grad}
    of_step = dict(zip([0, *watch.steps], watch._evaluator.models, strict=True))
    assert all(torch.equal(found[name], of_step[4][name]) for name in found)
    assert not all(torch.equal(found[name], of_step[8][name]) for name in found)


def test_a_run_without_a_new_best_stops_after_its_patience(run):
    figures = [both(0.5, 0.5), both(0.6, 0.6), both(0.55, 0.6), both(0.5, 0.6), both(0.9, 0.9)]
    watch, _, _ = run(figures, patience=2)
    assert [point["step"] for point in watch.points] == [0, 2, 4, 6]
    assert "train.patience" in watch.stop_reason
    assert run(figures)[0].stop_reason is None


def test_the_macro_average_decides_not_the_larger_category(run):
    figures = [both(0.5, 0.5), both(0.9, 0.1), both(0.6, 0.6)]
    watch, _, _ = run(figures, steps=4)
    assert watch._best()["step"] == 4


@pytest.mark.parametrize("negatives", ["stored", "batch"])
def test_a_category_that_falls_while_another_rises_gets_a_larger_share(run, negatives):
    figures = [both(0.5, 0.5), both(0.6, 0.4), both(0.6, 0.45), both(0.6, 0.5), both(0.6, 0.5)]
    watch, _, _ = run(figures, rebalance=True, negatives=negatives)
    assert [point["category_factors"] for point in watch.points] == [
        {},
        {"ma": 1.5},
        {"ma": 2.0},
        {"ma": 2.0},
        {"ma": 2.0},
    ]
    schedule, share = watch._schedule, []
    for batch in range(8):
        rows = [schedule._examples.categories[schedule._examples.category[one]] for one in _examples(schedule, batch)]
        share.append(rows.count("ma") / len(rows))
    assert sum(share[:2]) / 2 == pytest.approx(0.5, abs=0.1)
    assert sum(share[4:]) / 4 == pytest.approx(2 / 3, abs=0.1)


def _examples(schedule, batch):
    segment, index = divmod(batch, schedule._segment_size)
    return schedule._segments[segment].example[index * 8 : index * 8 + 8].tolist()


def test_a_run_stops_where_the_largest_share_does_not_help(run):
    figures = [both(0.5, 0.5), both(0.6, 0.4), both(0.6, 0.4), both(0.6, 0.4), both(0.6, 0.6)]
    watch, _, _ = run(figures, rebalance=True)
    assert watch.stop_reason == "ma fell on dev though its share was raised (train.rebalance)"
    assert watch.points[-1]["step"] == 6


def test_categories_that_fall_together_are_not_rebalanced(run):
    figures = [both(0.5, 0.5), *[both(0.4, 0.3)] * 4]
    watch, _, _ = run(figures, rebalance=True)
    assert watch.stop_reason is None
    assert all(point["category_factors"] == {} for point in watch.points)


def test_a_resumed_run_knows_the_evaluations_and_factors_from_before(run):
    figures = [both(0.5, 0.5), both(0.6, 0.4), both(0.6, 0.45), both(0.6, 0.5), both(0.6, 0.5)]
    before, model, _ = run(figures, rebalance=True)
    after, _, _ = run(FLAT, rebalance=True)
    state = TrainerState(global_step=6, log_history=json.loads(json.dumps([*before.points[:4]])))
    after.on_train_begin(None, state, None, model=model)
    assert after.points == before.points[:4]
    assert after._schedule.category_factors == before._schedule.category_factors[:4]
    assert len(after._evaluator.models) == 5  # nothing was evaluated again


def test_distillation_is_evaluated_too(run):
    watch, _, trained = run(FLAT, loss="distill", steps=4, rebalance=True)
    assert [point["step"] for point in watch.points] == [0, 2, 4]
    assert trained.steps == []


def test_the_log_of_steps_shows_the_active_share_and_the_weight_of_each_tier(run):
    _, _, trained = run(eval_every=0, steps=20, curriculum=0.5)
    lines = steps_csv(trained.steps).splitlines()
    assert lines[0] == (
        "step,loss,learning_rate,cosine,active_easy,active_medium,active_hard,weight_easy,weight_medium,weight_hard"
    )
    assert len(lines) == 3
    cells = [[float(cell) for cell in line.split(",")] for line in lines[1:]]
    assert [row[0] for row in cells] == [10, 20]
    assert all(-1.0 < row[3] < 1.0 for row in cells)
    assert cells[0][3] != cells[1][3]
    assert all(0.0 <= share <= 1.0 for row in cells for share in row[4:7])
    assert cells[0][7] > 0.3 > cells[1][7]
    assert sum(cells[0][7:]) == pytest.approx(1.0)


def test_dev_as_a_table_has_a_row_for_each_step_and_category():
    points = [
        {"step": 0, "dev": both(0.5, 0.25), "category_factors": {}},
        {"step": 2, "dev": both(1.0, 0.0), "category_factors": {"ma": 1.5}},
    ]
    assert dev_csv(points, "mrr@10").splitlines() == [
        "step,category,mrr@10,weight",
        "0,fft,0.5,1",
        "0,ma,0.25,1",
        "2,fft,1,1",
        "2,ma,0,1.5",
    ]

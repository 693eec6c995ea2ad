"""Evaluation during a run: dev by category, the best weights, a category that falls, early stopping."""

import json
import shutil
from dataclasses import dataclass, field, replace
from functools import partial

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
    """An evaluator with given scores: those of a real model cannot be arranged.

    The scores of an evaluation are by category, the same for all metrics, or by metric and category.
    """

    real: object
    figures: list[dict]
    models: list[dict[str, torch.Tensor]] = field(default_factory=list)
    depth: int = 0

    def __getattr__(self, name):
        return getattr(self.real, name)

    def dev_run(self, model, depth, label, cache=None):
        self.models.append({name: one.detach().clone() for name, one in model.named_parameters() if one.requires_grad})
        self.depth = depth
        return {}

    def by_category(self, run, metric):
        figures = self.figures[len(self.models) - 1]
        return figures.get(metric, figures)


@pytest.fixture
def run(prepared, tmp_path, write_params, monkeypatch):
    """Train on the tiny corpus, evaluated every two steps; return the callback, the model and the result.

    With ``only_plan`` nothing is trained, and only the callback is returned.
    """
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def call(
        figures=None,
        steps=8,
        free=True,
        loss="softmax",
        negatives="stored",
        metric="mrr@10",
        only_plan=False,
        **changes,
    ):
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
        if only_plan:
            return watch
        return watch, model, train(model, training_data, params.train, 0.001, callbacks=[watch])

    return call


def both(fft, ma):
    return {"fft": fft, "ma": ma}


FLAT = [both(0.5, 0.5)] * 9


def test_dev_is_evaluated_by_category_at_the_start_at_the_end_and_between(run):
    watch, _, _ = run(free=False, steps=120, resample_every=20, eval_every=20)
    assert [point["step"] for point in watch.points] == [0, *watch.steps]
    assert watch.steps[-1] == 120
    for point in watch.points:
        assert list(point["dev"]) == ["mrr@10", "recall@10"]
        assert all(values.keys() == {"fft", "ma"} for values in point["dev"].values())
    assert len({json.dumps(point["dev"]) for point in watch.points}) > 1


def test_evaluation_takes_at_most_its_share_of_the_tokens_which_is_logged(run, caplog):
    plan = partial(run, free=False, steps=80, eval_every=2, only_plan=True)
    watch = plan()
    (line,) = [message for message in caplog.messages if message.startswith("train.eval_every")]
    assert line.startswith(f"train.eval_every: 2 asks for 40 evaluations on dev, of which {len(watch.steps)} fit into")
    assert f"evaluated after steps {', '.join(map(str, watch.steps))}, which is " in line
    assert 2 < len(watch.steps) < 40
    assert watch.steps[-1] == 80
    percent = int(line.partition("which is ")[2].partition("%")[0])
    assert 15 < percent <= 25
    caplog.clear()
    assert len(watch.steps) < len(plan(eval_share=0.4).steps) < 40
    caplog.clear()
    assert plan(eval_share=1.0).steps == list(range(2, 82, 2))
    assert caplog.messages == []


def test_a_run_that_affords_no_evaluation_is_evaluated_at_half_and_at_the_end(run, caplog):
    assert run(free=False, steps=6, eval_every=1, only_plan=True).steps == [3, 6]
    assert "asks for 6 evaluations on dev, of which 0 fit" in caplog.text


@pytest.mark.parametrize(("loss", "steps"), [("softmax", 35), ("distill", 40)])
def test_settings_that_stop_and_rebalance_evaluate_more_than_once(run, loss, steps):
    given = {"eval_every": 5, "patience": 1, "rebalance": True, "resample_every": 20}
    watch, _, _ = run(FLAT, free=False, steps=steps, loss=loss, **given)
    assert len(watch.steps) > 1
    assert watch.stop_reason
    assert [point["step"] for point in watch.points] == [0, watch.steps[0]]


def test_without_eval_every_nothing_is_evaluated(run):
    assert run(eval_every=0, only_plan=True).steps == []


def test_without_rebalance_any_step_is_evaluated_and_no_batch_waits_for_it(run):
    watch = run(eval_every=3, resample_every=20, only_plan=True)
    assert watch.steps == [3, 6, 8]
    assert watch._rebalanced is None


def test_each_evaluation_can_change_the_rows_that_follow(run):
    watch = run(eval_every=3, resample_every=20, rebalance=True, only_plan=True)
    assert watch.steps == watch._rebalanced.segment_ends == [3, 6, 8]


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
    schedule, share = watch._rebalanced, []
    for batch in range(8):
        rows = [schedule.examples.categories[schedule.examples.category[one]] for one in _examples(schedule, batch)]
        share.append(rows.count("ma") / len(rows))
    assert sum(share[:2]) / 2 == pytest.approx(0.5, abs=0.1)
    assert sum(share[4:]) / 4 == pytest.approx(2 / 3, abs=0.1)


def _examples(schedule, batch):
    segment, index = divmod(batch, 2)
    return schedule._segments[segment]["example"][index * 8 : index * 8 + 8].tolist()


def by_metric(mrr, recall):
    return {"mrr@10": mrr, "recall@10": recall}


@pytest.mark.parametrize(
    ("now", "factors"),
    [
        (by_metric(both(0.6, 0.5), both(0.5, 0.4)), {"ma": 1.5}),  # recall falls
        (by_metric(both(0.5, 0.4), both(0.6, 0.5)), {"ma": 1.5}),  # mrr falls
        (by_metric(both(0.5, 0.6), both(0.5, 0.4)), {}),  # ma falls, and no category only rises
        (by_metric(both(0.6, 0.5), both(0.5, 0.6)), {}),  # none falls
    ],
)
def test_a_category_falls_if_recall_or_mrr_does(run, now, factors):
    watch, _, _ = run([both(0.5, 0.5), now, now], steps=4, rebalance=True)
    assert watch.points[1]["category_factors"] == factors


def test_recall_counts_for_the_best_weights_and_for_the_patience(run):
    flat = both(0.5, 0.5)
    figures = [flat, by_metric(flat, both(0.6, 0.6)), by_metric(flat, both(0.7, 0.7)), by_metric(both(0.6, 0.6), flat)]
    watch, _, _ = run(figures, steps=6, patience=1)
    assert [point["step"] for point in watch.points] == [0, 2, 4, 6]
    assert watch._best()["step"] == 4
    assert "train.patience" in watch.stop_reason


def test_metrics_that_decide_can_be_chosen_and_that_of_promotion_is_among_them(run):
    watch, _, _ = run(FLAT, steps=2, metric="success@1", eval_metrics=["recall@50", "success@1"])
    assert list(watch.points[0]["dev"]) == ["success@1", "recall@50"]
    assert watch._evaluator.depth == 50


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
    assert after._rebalanced.category_factors == before._rebalanced.category_factors[:4]
    assert len(after._evaluator.models) == 5  # nothing was evaluated again


def test_distillation_is_evaluated_too_and_not_rebalanced_with_a_warning(run, caplog):
    watch, _, trained = run(FLAT, loss="distill", steps=4, rebalance=True)
    assert [point["step"] for point in watch.points] == [0, 2, 4]
    assert "train.rebalance: the rows of loss distill are drawn before training" in caplog.text
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
        {"step": 0, "dev": by_metric(both(0.5, 0.25), both(1.0, 0.75)), "category_factors": {}},
        {"step": 2, "dev": by_metric(both(1.0, 0.0), both(1.0, 0.5)), "category_factors": {"ma": 1.5}},
    ]
    assert dev_csv(points, "mrr@10").splitlines() == [
        "step,category,mrr@10,recall@10,weight",
        "0,fft,0.5,1,1",
        "0,ma,0.25,0.75,1",
        "2,fft,1,1,1",
        "2,ma,0,0.5,1.5",
    ]
    assert dev_csv([], "ndcg@10") == "step,category,ndcg@10,weight\n"

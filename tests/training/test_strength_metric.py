"""Strength, best weights and round are chosen by `promote.measure`."""

import csv
import json
import shutil

import numpy as np
import pytest
from hand_made import TRAIN

from stages import train
from triptych.corpus.records import Query
from triptych.evaluators.retrieval_evaluator import RetrievalEvaluator, choose_strength
from triptych.training.recovery import checkpoints

QUERIES = [Query(f"q{number}", "text", "user", "api") for number in range(3)]
# At strength 0.5 one of three answers is first and the others are not found; at 1 all are second.
RANKS = {0.0: (None, None, None), 0.5: (1, None, None), 1.0: (2, 2, 2)}


class Blend:
    """A blend whose model is its strength."""

    def at(self, strength):
        return strength


def ranked_by_strength(self, model, depth, label, cache=None):
    """Return a run whose answers have the ranks of a strength."""
    hits = {}
    for query, rank in zip(QUERIES, RANKS[model], strict=True):
        ids = [f"other{number}" for number in range(10)]
        if rank is not None:
            ids.insert(rank - 1, "answer")
        hits[query.query_id] = {one: 1.0 - number / 100 for number, one in enumerate(ids[:depth])}
    return hits


@pytest.mark.parametrize(("metric", "strength"), [("mrr@10", 1.0), ("ndcg@10", 1.0), ("recall@1", 0.5)])
def test_the_strength_is_the_best_by_the_metric(monkeypatch, metric, strength):
    monkeypatch.setattr(RetrievalEvaluator, "dev_run", ranked_by_strength)
    no_windows = np.empty(0, np.int64)
    monkeypatch.setattr(RetrievalEvaluator, "dev_windows", lambda *args: (ranked_by_strength(*args), no_windows))
    monkeypatch.setattr(RetrievalEvaluator, "among", lambda self, _: self)
    qrels = {query.query_id: {"answer": 1} for query in QUERIES}
    evaluator = RetrievalEvaluator([], np.empty(0, np.int64), QUERIES, None, qrels, None, "fp32")
    chosen, by_strength = choose_strength(Blend(), [0.5, 1.0], evaluator, metric)
    assert chosen == strength
    assert by_strength[0.5] == {"api": pytest.approx(1 / 3)}


@pytest.mark.dag
def test_the_stage_trains_evaluates_and_records_by_the_metric(prepared, tmp_path, write_params, monkeypatch):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    keys = []
    monkeypatch.setattr(train, "run_key", lambda *given: keys.append(checkpoints.run_key(*given)) or keys[-1])
    written = {}
    for metric in ("mrr@10", "recall@1"):
        settings = {"model.base": "./tiny", "split.min_queries": 2, "train.batch_size": 8, "train.precision": "fp32"}
        settings |= {"train.eval_every": 20, "rounds.train.round0.steps": 120, "promote.measure": metric}
        write_params(tmp_path, **settings)
        train.main(TRAIN.split())
        (name,) = json.loads((tmp_path / "metrics/train/round0.json").read_text(encoding="utf-8"))["dev"]
        for table in ("dev", "strengths"):
            with (tmp_path / f"metrics/train/round0/{table}.csv").open(encoding="utf-8") as lines:
                rows = list(csv.DictReader(lines))
            assert rows
            assert all(float(row[metric]) >= 0 for row in rows)
        written[metric] = name
    assert written == {"mrr@10": "mrr@10", "recall@1": "recall@1"}
    assert len(set(keys)) == 2

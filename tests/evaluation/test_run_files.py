"""What systems found, written and read back."""

import numpy as np
import pytest

from triptych.evaluation.run_files import read_hits, write_runs

QRELS = {"q1": {"a": 1, "b": 2, "x": 0}, "q0": {"c": 1}}
RUNS = {
    "base": {"q1": {"x": 0.9, "b": 0.5, "a": 0.5}, "q0": {"x": 1.0}},
    "tuned": {"q1": {"b": 3.0, "a": 2.0}, "q0": {"a": 4.0, "b": 3.0, "c": 2.0}},
}


@pytest.fixture
def path(tmp_path):
    write_runs(tmp_path / "runs.parquet", RUNS)
    return tmp_path / "runs.parquet"


def test_hits_are_ranked_as_the_measures_rank_them_and_answers_are_found(path):
    hits = read_hits(path, QRELS, ["x", "a", "b", "c"], 2)
    assert hits.systems == ["base", "tuned"]
    assert hits.ranks.tolist() == [[2, 0], [1, 3]]  # equal scores: a before b; x is no answer; no c for base
    assert hits.top.tolist() == [[[0, 1], [0, -1]], [[2, 1], [1, 2]]]


def test_queries_that_nobody_judged_and_chunks_that_are_gone_are_left_out(path):
    hits = read_hits(path, {"q0": {"c": 1}}, ["c", "b"], 3)
    assert hits.ranks.tolist() == [[0], [3]]
    assert hits.top.tolist() == [[[-1, -1, -1]], [[-1, 1, 0]]]


def test_a_file_of_several_batches_reads_the_same(tmp_path):
    draw = np.random.default_rng(1)
    run = {f"q{n}": {f"c{one}": float(-rank) for rank, one in enumerate(draw.permutation(60))} for n in range(2500)}
    write_runs(tmp_path / "runs.parquet", {"base": run, "tuned": run})
    qrels = {query: {"c7": 1, "c8": 1} for query in run}
    hits = read_hits(tmp_path / "runs.parquet", qrels, [f"c{n}" for n in range(60)], 5)
    expected = [1 + min(list(found).index("c7"), list(found).index("c8")) for found in run.values()]
    assert hits.ranks.tolist() == [expected, expected]
    best = [[int(chunk[1:]) for chunk in list(found)[:5]] for found in run.values()]
    assert hits.top.tolist() == [best, best]


def test_equal_runs_are_equal_bytes(path, tmp_path):
    write_runs(tmp_path / "again.parquet", RUNS)
    assert (tmp_path / "again.parquet").read_bytes() == path.read_bytes()

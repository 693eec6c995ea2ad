"""The bootstrap against cases whose answer is known."""

import numpy as np
import pytest

from triptych.evaluation import significance
from triptych.evaluation.significance import paired_bootstrap


def interval(differences, clusters, samples=2000, confidence=0.95, seed=7):
    differences = np.asarray(differences, dtype=np.float64)
    return paired_bootstrap(differences, np.zeros_like(differences), np.asarray(clusters), samples, confidence, seed)


def test_two_clusters_by_hand():
    # Resamples: {a, a} 1/4, {a, b} 1/2, {b, b} 1/4, with means 1, (1 + 0 + 0) / 3 and 0.
    found = interval([1.0, 0.0, 0.0], [5, 9, 9], samples=20_000, confidence=0.4)
    assert (found.queries, found.clusters) == (3, 2)
    assert found.difference == pytest.approx(1 / 3)
    assert (found.low, found.high) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    wide = interval([1.0, 0.0, 0.0], [5, 9, 9], samples=20_000, confidence=0.6)
    assert (wide.low, wide.high) == (0.0, 1.0)


def test_close_to_the_normal_interval():
    differences = np.random.default_rng(1).normal(0.1, 0.5, size=900)
    found = interval(differences, np.arange(900), samples=5000)
    half = 1.96 * differences.std() / 30
    assert found.difference == pytest.approx(differences.mean())
    assert found.low == pytest.approx(differences.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(differences.mean() + half, abs=0.15 * half)


def test_covers_the_truth_as_often_as_promised():
    generator = np.random.default_rng(2)
    clusters = np.repeat(np.arange(60), 4)
    covered = 0
    for trial in range(200):
        shared = generator.normal(0.0, 1.0, size=60)[clusters]
        found = interval(0.3 + shared + generator.normal(0.0, 0.3, size=240), clusters, 400, 0.9, trial)
        covered += found.low <= 0.3 <= found.high
    assert 0.83 <= covered / 200 <= 0.96  # 0.9 with four standard errors at most


def test_copies_within_a_cluster_add_no_certainty():
    differences = np.random.default_rng(3).normal(0.0, 1.0, size=50)
    copies, clusters = np.repeat(differences, 9), np.repeat(np.arange(50), 9)
    clustered, naive = interval(copies, clusters), interval(copies, np.arange(450))
    alone = interval(differences, np.arange(50))
    assert clustered.high - clustered.low > 2.0 * (naive.high - naive.low)
    assert (clustered.low, clustered.high) == (pytest.approx(alone.low), pytest.approx(alone.high))


def test_pairs_cancel_what_both_systems_share():
    difficulty = np.random.default_rng(4).random(40)
    found = paired_bootstrap(difficulty + 0.25, difficulty, np.arange(40), 500, 0.95, 7)
    assert (found.low, found.high) == (pytest.approx(0.25), pytest.approx(0.25))


def test_ups_and_downs_that_cancel_are_exactly_zero():
    system, baseline = np.array([0.1, 0.7, 1 / 3, 0.0]), np.array([0.7, 0.1, 0.0, 1 / 3])
    assert interval(system - baseline, np.arange(4)).difference == 0.0


def test_the_seed_decides(monkeypatch):
    differences, clusters = np.random.default_rng(5).normal(size=90), np.arange(90) // 3
    assert interval(differences, clusters) == interval(differences, clusters)
    assert interval(differences, clusters) != interval(differences, clusters, seed=8)
    whole = interval(differences, clusters)
    monkeypatch.setattr(significance, "_BLOCK_CELLS", 70)
    assert interval(differences, clusters) == whole  # blocks bound the memory and nothing else


def test_cluster_ids_need_not_be_consecutive():
    assert interval([1.0, 0.0, 2.0], [0, 1, 0]) == interval([1.0, 0.0, 2.0], [40, 70, 40])


@pytest.mark.parametrize(
    ("system", "clusters", "message"),
    [
        ([], [], "zero queries"),
        ([1.0, 2.0], [3, 3], "all 2 queries are of one cluster"),
        ([1.0, 2.0], [3], "one shape"),
        ([1.0, np.nan], [3, 4], "finite"),
    ],
)
def test_what_cannot_be_bounded_is_refused(system, clusters, message):
    with pytest.raises(ValueError, match=message):
        interval(system, np.asarray(clusters, dtype=np.int64))


@pytest.mark.parametrize("settings", [{"samples": 0}, {"confidence": 1.0}, {"confidence": 0.0}])
def test_senseless_settings_are_refused(settings):
    with pytest.raises(ValueError, match="expected samples"):
        interval([1.0, 2.0], [1, 2], **settings)

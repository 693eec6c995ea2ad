"""The bootstrap against cases whose answer is known."""

import numpy as np
import pytest

from triptych.evaluation import significance
from triptych.evaluation.significance import Interval, holm, paired_bootstrap, queries_needed, unbounded


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


def coverage(worlds, effect, clustered):
    """Return the share of worlds whose 95 % interval holds the planted effect; queries of a document share a part."""
    generator = np.random.default_rng(2)
    documents = np.repeat(np.arange(120), 5)
    ids = documents if clustered else np.arange(len(documents))
    covered = 0
    for world in range(worlds):
        shared = generator.normal(0.0, 0.2, size=120)[documents]
        found = interval(effect + shared + generator.normal(0.0, 0.2, size=len(ids)), ids, 500, 0.95, world)
        covered += found.low <= effect <= found.high
    return covered / worlds


@pytest.mark.parametrize("effect", [0.0, 0.05])
def test_clustered_intervals_cover_a_planted_effect_as_often_as_promised(effect):
    assert 0.93 <= coverage(2000, effect, clustered=True) <= 0.97


def test_intervals_that_ignore_documents_cover_too_seldom():
    assert coverage(400, 0.05, clustered=False) < 0.85


def test_where_nothing_changed_p_is_below_five_percent_in_five_percent_of_worlds():
    generator = np.random.default_rng(8)
    documents = np.repeat(np.arange(100), 2)
    draws = [generator.normal(0.0, 1.0, 100)[documents] + generator.normal(0.0, 1.0, 200) for _ in range(1000)]
    found = [interval(one, documents, 400, seed=world).p for world, one in enumerate(draws)]
    assert 0.03 <= np.mean(np.array(found) < 0.05) <= 0.075


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


def test_p_by_hand():
    # Resamples of two documents: {a, a} 1/4, {a, b} 1/2, {b, b} 1/4; a quarter is not above zero.
    assert interval([1.0, 0.0], [1, 2], samples=20_000).p == pytest.approx(0.5, abs=0.02)
    assert interval([1.0, 1.0], [1, 2], samples=399).p == 2 / 400
    assert interval([-1.0, -1.0], [1, 2], samples=399).p == 2 / 400
    assert interval([0.0, 0.0], [1, 2]).p == 1.0
    assert interval([0.1 + 0.2 - 0.3, -5e-17], [1, 2]).p == 1.0  # rounding errors are no difference


def test_p_is_small_just_where_the_interval_leaves_zero_out():
    generator = np.random.default_rng(6)
    for shift in np.linspace(0.0, 0.4, 40):
        found = interval(generator.normal(shift, 1.0, size=100), np.arange(100), samples=4000)
        assert (found.p < 0.05) == (found.low > 0.0 or found.high < 0.0) or 0.048 < found.p < 0.052


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == [pytest.approx(0.03), pytest.approx(0.06), pytest.approx(0.06)]
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


def test_the_error_and_with_it_the_queries_needed_grow_with_what_documents_share():
    differences, documents = np.random.default_rng(9).normal(0.0, 0.5, size=400), np.arange(400)
    alone = interval(differences, documents)
    assert alone.error == pytest.approx(0.5 / 20, rel=0.1)
    # Cohen 1988: (1.960 + 0.842)² σ² / rise² = 7.85 · 0.25 / 0.0025
    assert queries_needed(alone, 0.05, 0.95) == pytest.approx(785, rel=0.2)
    copies = interval(np.repeat(differences, 4), np.repeat(documents, 4))
    assert queries_needed(copies, 0.05, 0.95) == pytest.approx(4 * queries_needed(alone, 0.05, 0.95), rel=0.05)
    assert queries_needed(alone, 0.1, 0.95) == pytest.approx(queries_needed(alone, 0.05, 0.95) / 4, abs=1)
    with pytest.raises(ValueError, match="above 0"):
        queries_needed(alone, 0.0, 0.95)


def test_the_queries_needed_do_show_the_rise_as_often_as_promised():
    generator = np.random.default_rng(10)
    number = queries_needed(interval(generator.normal(0.0, 1.0, size=500), np.arange(500)), 0.2, 0.95)
    shown = [
        interval(generator.normal(0.2, 1.0, size=number), np.arange(number), 400, seed=world).low > 0
        for world in range(300)
    ]
    assert 0.7 <= np.mean(shown) <= 0.9


def test_queries_of_one_document_bound_nothing():
    found = unbounded(np.array([0.5, 1.0]), np.array([0.25, 0.25]))
    assert found == Interval(0.5, -1.0, 1.0, 1.0, 1.0, 2, 1)


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
        ([], [], "no queries to compare"),
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

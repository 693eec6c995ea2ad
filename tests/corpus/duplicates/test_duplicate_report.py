"""The report on near-duplicates: metrics, the largest clusters, a representative of each."""

import numpy as np
from hand_made import stored

from triptych.corpus.duplicates.duplicate_report import near_duplicate_metrics, near_duplicate_table
from triptych.corpus.duplicates.near_duplicates import NearDuplicateClusters
from triptych.corpus.records import Chunk

ROWS = [("e", "x", 0), ("b", "y", 0), ("c", "x", 1), ("a", "x", 2), ("d", "x", 0), ("f", "z", 2), ("g", "x", 3)]


def example(rows=ROWS):
    chunks = [Chunk(name, category, f"{name}.md", (), name, f"Text {name}.", name) for name, category, _ in rows]
    clusters = np.array([number for *_, number in rows], dtype=np.int32)
    return stored(chunks)[1], NearDuplicateClusters(np.array([0, 0, 1, 2, 3, 4, 5], dtype=np.int32), clusters, 2)


def test_figures_count_what_repeats_the_rest():
    metrics = near_duplicate_metrics(*example())
    assert (metrics["clusters"], metrics["redundant"], metrics["equal_texts"]) == (2, 3, 1)
    assert metrics["redundant_share"] == 3 / 7
    assert metrics["partly_compared"] == 2


def test_clusters_across_categories_are_reported_with_the_categories():
    assert near_duplicate_metrics(*example())["across_categories"] == {
        "clusters": 2,
        "chunks": 5,
        "categories": [{"names": ["x", "y"], "clusters": 1}, {"names": ["x", "z"], "clusters": 1}],
    }


def test_largest_clusters_come_first_with_their_ids():
    assert near_duplicate_metrics(*example())["largest"] == [
        {"size": 3, "representative": "b", "chunk_ids": ["b", "d", "e"]},
        {"size": 2, "representative": "a", "chunk_ids": ["a", "f"]},
    ]


def test_ten_clusters_are_shown():
    rows = [(f"c{row:02}", "x", row // 2) for row in range(24)]
    columns, _ = example(rows)
    clusters = np.arange(24, dtype=np.int32) // 2
    metrics = near_duplicate_metrics(columns, NearDuplicateClusters(np.arange(24, dtype=np.int32), clusters, 0))
    assert [one["representative"] for one in metrics["largest"]] == [f"c{row:02}" for row in range(0, 20, 2)]


def test_table_has_one_representative_per_cluster_in_any_order_of_rows():
    table = near_duplicate_table(*example())
    assert table.to_pylist() == [
        {"cluster_id": 0, "chunk_id": "b", "category": "y", "representative": True},
        {"cluster_id": 0, "chunk_id": "d", "category": "x", "representative": False},
        {"cluster_id": 0, "chunk_id": "e", "category": "x", "representative": False},
        {"cluster_id": 2, "chunk_id": "a", "category": "x", "representative": True},
        {"cluster_id": 2, "chunk_id": "f", "category": "z", "representative": False},
    ]


def test_a_corpus_that_repeats_nothing_has_an_empty_table():
    columns, _ = example()
    apart = np.arange(7, dtype=np.int32)
    assert near_duplicate_table(columns, NearDuplicateClusters(apart, apart, 0)).num_rows == 0
    assert near_duplicate_metrics(columns, NearDuplicateClusters(apart, apart, 0))["largest"] == []

"""Report on near-duplicate clusters: a table with a representative of each, and metrics."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from triptych.corpus.chunk_table import CorpusColumns
from triptych.corpus.duplicates.near_duplicates import NearDuplicateClusters

_SHOWN = 10  # clusters, ids of a cluster, sets of categories


def near_duplicate_table(columns: CorpusColumns, clusters: NearDuplicateClusters) -> pa.Table:
    """Return a row for each member of a cluster of several chunks; the representative (the smallest id) comes first."""
    order = np.lexsort((columns.rank(), clusters.cluster))
    cluster = clusters.cluster[order]
    starts = np.searchsorted(cluster, cluster)
    several = np.bincount(clusters.cluster)[cluster] > 1
    rows, first = order[several], (np.arange(len(order)) == starts)[several]
    return pa.table(
        {
            "cluster_id": pa.array(cluster[several], pa.int32()),
            "chunk_id": columns.chunk_id.take(pa.array(rows)),
            "category": pa.array([columns.categories[index] for index in columns.category[rows].tolist()], pa.string()),
            "representative": pa.array(first),
        }
    )


def near_duplicate_metrics(columns: CorpusColumns, clusters: NearDuplicateClusters) -> dict[str, Any]:
    """Return how many chunks are redundant, the clusters across categories, and the ten largest clusters."""
    sizes = np.bincount(clusters.cluster)
    redundant = len(columns) - len(sizes)
    pairs = np.unique(clusters.cluster.astype(np.int64) * len(columns.categories) + columns.category)
    cluster_of_pair, category_of_pair = np.divmod(pairs, len(columns.categories))
    across = np.bincount(cluster_of_pair) > 1
    mixed = across[cluster_of_pair]
    categories: dict[int, list[str]] = {}
    for cluster, category in zip(cluster_of_pair[mixed].tolist(), category_of_pair[mixed].tolist(), strict=True):
        categories.setdefault(cluster, []).append(columns.categories[category])
    frequency = Counter(map(tuple, categories.values()))
    return {
        "clusters": int((sizes > 1).sum()),
        "redundant": redundant,
        "redundant_share": redundant / len(columns),
        "equal_texts": len(columns) - int(clusters.text.max()) - 1,
        "partly_compared": clusters.partly_compared,
        "across_categories": {
            "clusters": int(across.sum()),
            "chunks": int(sizes[across].sum()),
            "categories": [
                {"names": list(names), "clusters": number}
                for names, number in sorted(frequency.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
            ],
        },
        "largest": _largest(columns, clusters, sizes),
    }


def _largest(columns: CorpusColumns, clusters: NearDuplicateClusters, sizes: np.ndarray) -> list[dict[str, Any]]:
    """Return size and first ids of the largest clusters; ties are sorted by the smallest id."""
    smallest = np.full(len(sizes), len(columns))
    np.minimum.at(smallest, clusters.cluster, columns.rank())
    largest = []
    for cluster in np.lexsort((smallest, -sizes))[:_SHOWN].tolist():
        if sizes[cluster] > 1:
            ids = sorted(columns.chunk_id.take(pa.array(np.flatnonzero(clusters.cluster == cluster))).to_pylist())
            largest.append({"size": int(sizes[cluster]), "representative": ids[0], "chunk_ids": ids[:_SHOWN]})
    return largest

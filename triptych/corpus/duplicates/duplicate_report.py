"""What is said more than once: the near-duplicate clusters with a representative each, and figures about them."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from triptych.corpus.chunk_table import Columns
from triptych.corpus.duplicates.near_duplicates import NearDuplicateClusters

_SHOWN = 10  # clusters, ids of a cluster, sets of categories


def near_duplicate_table(columns: Columns, found: NearDuplicateClusters) -> pa.Table:
    """Return the members of each cluster of several chunks, a row each, the representative (the smallest id) first."""
    order = np.lexsort((columns.rank(), found.cluster))
    cluster = found.cluster[order]
    starts = np.searchsorted(cluster, cluster)
    several = np.bincount(found.cluster)[cluster] > 1
    rows, first = order[several], (np.arange(len(order)) == starts)[several]
    return pa.table(
        {
            "cluster_id": pa.array(cluster[several], pa.int32()),
            "chunk_id": columns.chunk_id.take(pa.array(rows)),
            "category": pa.array([columns.categories[one] for one in columns.category[rows].tolist()], pa.string()),
            "representative": pa.array(first),
        }
    )


def near_duplicate_metrics(columns: Columns, found: NearDuplicateClusters) -> dict[str, Any]:
    """Return how much of the corpus repeats the rest, across which categories, and the ten largest clusters."""
    sizes = np.bincount(found.cluster)
    redundant = len(columns) - len(sizes)
    pairs = np.unique(found.cluster.astype(np.int64) * len(columns.categories) + columns.category)
    clusters, categories = np.divmod(pairs, len(columns.categories))
    across = np.bincount(clusters) > 1
    mixed = across[clusters]
    together: dict[int, list[str]] = {}
    for cluster, category in zip(clusters[mixed].tolist(), categories[mixed].tolist(), strict=True):
        together.setdefault(cluster, []).append(columns.categories[category])
    common = Counter(map(tuple, together.values()))
    return {
        "clusters": int((sizes > 1).sum()),
        "redundant": redundant,
        "redundant_share": redundant / len(columns),
        "equal_texts": len(columns) - int(found.text.max()) - 1,
        "partly_compared": found.partly_compared,
        "across_categories": {
            "clusters": int(across.sum()),
            "chunks": int(sizes[across].sum()),
            "categories": [
                {"names": list(names), "clusters": number}
                for names, number in sorted(common.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
            ],
        },
        "largest": _largest(columns, found, sizes),
    }


def _largest(columns: Columns, found: NearDuplicateClusters, sizes: np.ndarray) -> list[dict[str, Any]]:
    """Return size and first ids of the largest clusters; of equal size the one with the smaller id comes first."""
    least = np.full(len(sizes), len(columns))
    np.minimum.at(least, found.cluster, columns.rank())
    shown = []
    for cluster in np.lexsort((least, -sizes))[:_SHOWN].tolist():
        if sizes[cluster] > 1:
            ids = sorted(columns.chunk_id.take(pa.array(np.flatnonzero(found.cluster == cluster))).to_pylist())
            shown.append({"size": int(sizes[cluster]), "representative": ids[0], "chunk_ids": ids[:_SHOWN]})
    return shown

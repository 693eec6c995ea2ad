"""Dense search: inner product over unit vectors with FAISS, exact up to a number of passages."""

import faiss
import numpy as np

_PROBED = 1 / 16  # share of the lists that an approximate search looks into
_TRAINED = 64  # passages per list that its centers are made of


class DenseIndex:
    """Passages that can be searched block after block; exact, or by inverted lists where there are too many.

    The exact search computes all products and keeps no copy of the passages (``IndexFlatIP`` would); where this
    build of FAISS has a GPU it runs there. Above ``exact_up_to`` passages they are put into √n lists around centers
    found by k-means with a fixed seed (``IndexIVFFlat``), and a sixteenth of the lists is searched.
    """

    def __init__(self, passages: np.ndarray, exact_up_to: int = 1_000_000) -> None:
        self._passages = np.ascontiguousarray(passages)
        self._gpu = faiss.StandardGpuResources() if getattr(faiss, "get_num_gpus", lambda: 0)() else None
        self._lists = None if len(passages) <= exact_up_to else self._approximate()

    def search(self, queries: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the best passages of each query: rows (int64) and cosine similarities (float32).

        ``queries`` are float32 of shape (queries, dimensions) with rows of length 1, like the passages. Both outputs
        are of shape (queries, min(depth, passages)), best first, ties by row. An approximate search that finds fewer
        fills up with row -1 and score -inf.
        """
        queries, depth = np.ascontiguousarray(queries), min(depth, len(self._passages))
        if self._lists is not None:
            scores, rows = self._lists.search(queries, depth)
            scores[rows < 0] = -np.inf
        elif self._gpu is not None:
            scores, rows = faiss.knn_gpu(self._gpu, queries, self._passages, depth, metric=faiss.METRIC_INNER_PRODUCT)
        else:
            scores, rows = faiss.knn(queries, self._passages, depth, metric=faiss.METRIC_INNER_PRODUCT)
        order = np.lexsort((rows, -scores), axis=-1)
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)

    def _approximate(self) -> faiss.IndexIVFFlat:
        number, dimensions = self._passages.shape
        lists = max(int(number**0.5), 1)
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dimensions), dimensions, lists, faiss.METRIC_INNER_PRODUCT)
        index.cp.max_points_per_centroid = _TRAINED
        index.train(self._passages)
        index.add(self._passages)
        index.nprobe = max(round(lists * _PROBED), 1)
        return index


def search(queries: np.ndarray, passages: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Search passages once and exactly; see `DenseIndex.search`."""
    return DenseIndex(passages, len(passages)).search(queries, depth)

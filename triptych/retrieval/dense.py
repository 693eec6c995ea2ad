"""Dense search: inner product of unit vectors with FAISS, exact up to a number of passages."""

import faiss
import numpy as np

from triptych.ids import Vectors

_PROBED = 1 / 16  # share of the inverted lists that an approximate search visits
_TRAINED = 64  # passages per list that its centers are trained on


class DenseIndex:
    """A dense index in memory: exact, or with inverted lists above ``exact_up_to`` passages.

    The exact search computes all products without a copy of the passages (``IndexFlatIP`` would keep one), on the GPU
    if this build of FAISS has one. The approximate search puts passages into √n lists around centers found by k-means
    with a fixed seed (``IndexIVFFlat``), and visits a sixteenth of the lists.
    """

    def __init__(self, passage_vectors: Vectors | np.ndarray, exact_up_to: int = 1_000_000) -> None:
        self._passages = np.ascontiguousarray(passage_vectors)
        self._gpu = faiss.StandardGpuResources() if getattr(faiss, "get_num_gpus", lambda: 0)() else None
        self._lists = None if len(passage_vectors) <= exact_up_to else self._approximate()

    def search(self, query_vectors: Vectors | np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the best passages of each query: rows (int64) and cosine similarities (float32).

        ``query_vectors`` are float32 of shape (queries, dimensions) with rows of length 1, like the passages. Both
        outputs have shape (queries, min(depth, passages)), best first, ties by row. If an approximate search finds
        fewer, the rest are row -1 and score -inf.
        """
        queries, depth = np.ascontiguousarray(query_vectors), min(depth, len(self._passages))
        if self._lists is not None:
            scores, rows = self._lists.search(queries, depth)
            scores[rows < 0] = -np.inf
        elif self._gpu is not None:
            scores, rows = faiss.knn_gpu(self._gpu, queries, self._passages, depth, metric=faiss.METRIC_INNER_PRODUCT)
        else:
            scores, rows = faiss.knn(queries, self._passages, depth, metric=faiss.METRIC_INNER_PRODUCT)
        order = np.lexsort((rows, -scores), axis=-1)
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """Return the vectors of some passages, float32 of shape (rows, dimensions)."""
        return self._passages[rows]

    def _approximate(self) -> faiss.IndexIVFFlat:
        number, dimensions = self._passages.shape
        lists = max(int(number**0.5), 1)
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dimensions), dimensions, lists, faiss.METRIC_INNER_PRODUCT)
        index.cp.max_points_per_centroid = _TRAINED
        index.train(self._passages)
        index.add(self._passages)
        index.nprobe = max(round(lists * _PROBED), 1)
        return index


def search(
    query_vectors: Vectors | np.ndarray, passage_vectors: Vectors | np.ndarray, depth: int
) -> tuple[np.ndarray, np.ndarray]:
    """Search passages once and exactly; see `DenseIndex.search`."""
    return DenseIndex(passage_vectors, len(passage_vectors)).search(query_vectors, depth)

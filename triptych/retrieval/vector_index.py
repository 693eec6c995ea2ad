"""Dense search over a memory-mapped FAISS file: float32, float16, int8, or binary with rescoring."""

from pathlib import Path
from typing import Literal, Self

import faiss
import numpy as np

from triptych.ids import Vectors
from triptych.retrieval.quantization import LEVELS, Scales

IndexPrecision = Literal["float32", "float16", "int8", "binary"]
VECTORS, BITS = "vectors.faiss", "bits.faiss"
_BLOCK = 65_536  # vectors quantized at once


class VectorIndex:
    """Passage vectors in some precision, searched exhaustively by the inner product with a float32 query.

    ``int8`` is a standard FAISS `IndexScalarQuantizer` with the steps of `Scales`, which plain FAISS can read.
    ``binary`` keeps the sign of each value in an `IndexBinaryFlat` (Hamming distance), retrieves ``rescore`` times as
    many passages as requested, and reranks them by their float16 vectors, of which only those few are read from disk.
    (int8 vectors would bound the recall: of a million passages the tenth hit and the eleventh are closer than a step.)
    """

    def __init__(self, vectors: faiss.Index, bits: faiss.IndexBinary | None = None, rescore: int = 1) -> None:
        self._vectors, self._bits, self._rescore = vectors, bits, rescore

    @classmethod
    def build(
        cls, passage_vectors: Vectors | np.ndarray, precision: IndexPrecision, percentile: float, rescore: int
    ) -> Self:
        """Build an index of passage vectors; ``percentile`` is that of `Scales.calibrate`."""
        scales = Scales.calibrate(passage_vectors, percentile)
        dimensions = passage_vectors.shape[1]
        index = _empty(dimensions, precision, scales)
        bits = faiss.IndexBinaryFlat(-(-dimensions // 8) * 8) if precision == "binary" else None
        for start in range(0, len(passage_vectors), _BLOCK):
            block = passage_vectors[start : start + _BLOCK]
            index.add(scales.vectors(scales.codes(block)) if precision == "int8" else block)
            if bits is not None:
                bits.add(_signs(block))
        return cls(index, bits, rescore)

    @classmethod
    def open(cls, folder: Path, rescore: int) -> Self:
        """Open what `save` wrote, memory-mapped."""
        vectors = faiss.read_index(str(folder / VECTORS), faiss.IO_FLAG_MMAP_IFC)
        has_bits = (folder / BITS).exists()
        bits = faiss.read_index_binary(str(folder / BITS), faiss.IO_FLAG_MMAP_IFC) if has_bits else None
        return cls(vectors, bits, rescore)

    def save(self, folder: Path) -> int:
        """Write into an existing folder; return the number of bytes."""
        faiss.write_index(self._vectors, str(folder / VECTORS))
        if self._bits is not None:
            faiss.write_index_binary(self._bits, str(folder / BITS))
        return sum(path.stat().st_size for path in folder.glob("*.faiss"))

    def __len__(self) -> int:
        return self._vectors.ntotal

    def search(
        self, query_vectors: Vectors | np.ndarray, depth: int, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the best passages of each query: rows (int64) and cosine similarities (float32).

        ``query_vectors`` are float32 of shape (queries, dimensions) with rows of length 1; ``among`` restricts the
        search to some rows. Both outputs have shape (queries, min(depth, rows)), best first, ties by row.
        """
        queries = np.ascontiguousarray(query_vectors, np.float32)
        params, _bitmap = _restricted_to(among, len(self))  # the bitmap must outlive the search
        candidates = len(self) if among is None else len(among)
        depth = min(depth, candidates)
        if self._bits is None:
            scores, rows = self._vectors.search(queries, depth, params=params)
        else:
            _, rows = self._bits.search(_signs(queries), min(depth * self._rescore, candidates), params=params)
            scores = self._rescored(queries, rows)
        order = np.lexsort((rows, -scores), axis=-1)[:, :depth]
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """Return the vectors of some rows as they are stored, decoded to float32 of shape (rows, dimensions)."""
        return self._vectors.reconstruct_batch(rows)

    def _rescored(self, queries: np.ndarray, hits: np.ndarray) -> np.ndarray:
        scores = [self._vectors.reconstruct_batch(rows) @ query for query, rows in zip(queries, hits, strict=True)]
        return np.array(scores, np.float32).reshape(hits.shape)


def _empty(dimensions: int, precision: IndexPrecision, scales: Scales) -> faiss.Index:
    if precision == "float32":
        return faiss.IndexFlatIP(dimensions)
    kind = faiss.ScalarQuantizer.QT_8bit if precision == "int8" else faiss.ScalarQuantizer.QT_fp16
    index = faiss.IndexScalarQuantizer(dimensions, kind, faiss.METRIC_INNER_PRODUCT)
    if precision == "int8":
        # FAISS decodes c as low + width (c + ½) / 255: with these values, c - 128 steps, rounded to the nearest.
        low, width = -(LEVELS + 1.5) * scales.step, 255 * scales.step
        faiss.copy_array_to_vector(np.concatenate([low, width]).astype(np.float32), index.sq.trained)
        index.is_trained = True
    return index


def _signs(vectors: np.ndarray) -> np.ndarray:
    return np.packbits(vectors > 0, axis=1)


def _restricted_to(rows: np.ndarray | None, number: int) -> tuple[faiss.SearchParameters | None, np.ndarray | None]:
    """Return parameters that restrict a search to some rows, and the bitmap that they point into."""
    if rows is None:
        return None, None
    mask = np.zeros(number, bool)
    mask[rows] = True
    bitmap = np.packbits(mask, bitorder="little")
    selector = faiss.IDSelectorBitmap(len(bitmap), faiss.swig_ptr(bitmap))
    return faiss.SearchParameters(sel=selector), bitmap  # type: ignore[call-arg]

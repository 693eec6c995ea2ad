"""Dense search over a FAISS file that is opened memory-mapped: float32, float16, int8, or bits with rescoring."""

from pathlib import Path
from typing import Literal, Self

import faiss
import numpy as np

from triptych.retrieval.quantization import LEVELS, Scales

IndexPrecision = Literal["float32", "float16", "int8", "binary"]
VECTORS, BITS = "vectors.faiss", "bits.faiss"
_BLOCK = 65_536  # vectors coded at once


class StoredIndex:
    """Passages in some precision, searched one by one and in full by the inner product with a float32 query.

    ``int8`` is `IndexScalarQuantizer` with our scales in place of its own: it finds what `Scales` gives back, and
    plain FAISS reads it. ``binary`` holds the sign of each number in `IndexBinaryFlat` (Hamming distance), takes
    ``rescore`` times as many passages as are wanted, and orders them by their int8 vectors, which stay on the disk
    but for those few. A search looks at all passages.
    """

    def __init__(self, vectors: faiss.Index, bits: faiss.IndexBinary | None = None, rescore: int = 1) -> None:
        self._vectors, self._bits, self._rescore = vectors, bits, rescore

    @classmethod
    def build(cls, passages: np.ndarray, precision: IndexPrecision, percentile: float, rescore: int) -> Self:
        """Code passages, float32 of shape (passages, dimensions) with rows of length 1; see `Scales.calibrate`."""
        scales = Scales.calibrate(passages, percentile)
        index = _empty(passages.shape[1], precision, scales)
        bits = faiss.IndexBinaryFlat(-(-passages.shape[1] // 8) * 8) if precision == "binary" else None
        for start in range(0, len(passages), _BLOCK):
            block = passages[start : start + _BLOCK]
            index.add(scales.vectors(scales.codes(block)) if precision in ("int8", "binary") else block)
            if bits is not None:
                bits.add(_signs(block))
        return cls(index, bits, rescore)

    @classmethod
    def open(cls, folder: Path, rescore: int) -> Self:
        """Open what `save` wrote; pages are read when a search touches them."""
        vectors = faiss.read_index(str(folder / VECTORS), faiss.IO_FLAG_MMAP_IFC)
        has_bits = (folder / BITS).exists()
        bits = faiss.read_index_binary(str(folder / BITS), faiss.IO_FLAG_MMAP_IFC) if has_bits else None
        return cls(vectors, bits, rescore)

    def save(self, folder: Path) -> int:
        """Write into an existing folder; return how many bytes."""
        faiss.write_index(self._vectors, str(folder / VECTORS))
        if self._bits is not None:
            faiss.write_index_binary(self._bits, str(folder / BITS))
        return sum(path.stat().st_size for path in folder.glob("*.faiss"))

    def __len__(self) -> int:
        return self._vectors.ntotal

    def search(self, queries: np.ndarray, depth: int, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the best passages of each query: rows (int64) and cosine similarities (float32).

        ``queries`` are float32 of shape (queries, dimensions) with rows of length 1; ``among`` are the rows to choose
        from, all by default. Both outputs are of shape (queries, min(depth, rows)), best first, ties by row.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        params, _held = _only(among, len(self))
        width = len(self) if among is None else len(among)
        depth = min(depth, width)
        if self._bits is None:
            scores, rows = self._vectors.search(queries, depth, params=params)
        else:
            _, near = self._bits.search(_signs(queries), min(depth * self._rescore, width), params=params)
            rows, scores = self._rescored(queries, near)
        order = np.lexsort((rows, -scores), axis=-1)[:, :depth]
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)

    def _rescored(self, queries: np.ndarray, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = [self._vectors.reconstruct_batch(rows) @ query for query, rows in zip(queries, near, strict=True)]
        return near, np.array(found, np.float32).reshape(near.shape)


def _empty(dimensions: int, precision: IndexPrecision, scales: Scales) -> faiss.Index:
    if precision == "float32":
        return faiss.IndexFlatIP(dimensions)
    kind = faiss.ScalarQuantizer.QT_fp16 if precision == "float16" else faiss.ScalarQuantizer.QT_8bit
    index = faiss.IndexScalarQuantizer(dimensions, kind, faiss.METRIC_INNER_PRODUCT)
    if precision != "float16":
        # FAISS reads code c as low + width (c + ½) / 255: so code c is c - 128 steps, and it rounds to the nearest.
        low, width = -(LEVELS + 1.5) * scales.step, 255 * scales.step
        faiss.copy_array_to_vector(np.concatenate([low, width]).astype(np.float32), index.sq.trained)
        index.is_trained = True
    return index


def _signs(vectors: np.ndarray) -> np.ndarray:
    return np.packbits(vectors > 0, axis=1)


def _only(rows: np.ndarray | None, number: int) -> tuple[faiss.SearchParameters | None, np.ndarray | None]:
    """Return what keeps a search to some rows, and the array it points into, which must outlive the search."""
    if rows is None:
        return None, None
    mask = np.zeros(number, bool)
    mask[rows] = True
    bits = np.packbits(mask, bitorder="little")
    selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
    return faiss.SearchParameters(sel=selector), bits  # type: ignore[call-arg]

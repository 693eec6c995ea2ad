"""Compare an exported embedder with the published one: text by text, and as search on the dev queries."""

from dataclasses import dataclass

import numpy as np

from triptych.corpus.records import Qrels, Query
from triptych.evaluation.metrics import mean_metric
from triptych.ids import Vectors
from triptych.retrieval.dense import DenseIndex
from triptych.retrieval.rankings import search_depth, to_run

_METRICS = ("recall@10", "mrr@10")
_LEAST_COSINE = {"float32": 0.9999, "int8": 0.9}  # of a text's two vectors
_MOST_LOST = {"float32": 0.002, "int8": 0.02}  # of each metric on dev
_DEPTH = 10


@dataclass(frozen=True, slots=True)
class Sample:
    """The texts that are compared: chunks, the dev queries, and which chunks answer them."""

    chunk_ids: list[str]
    passages: list[str]
    queries: list[Query]
    qrels: Qrels


@dataclass(frozen=True, slots=True)
class Parity:
    """How an exported file compares with the published embedder."""

    texts: int
    queries: int
    least_cosine: float  # of a text's two vectors
    mean_cosine: float
    whole: dict[str, float]  # metric → value on dev, of the published vectors
    published: dict[str, float]  # of these cut to the dimensions of the exported ones
    exported: dict[str, float]

    def problem(self, precision: str) -> str | None:
        """Return what is not kept of the published embedder, or None."""
        least, most = _LEAST_COSINE[precision], _MOST_LOST[precision]
        if self.least_cosine < least:
            return f"a text's vector has cosine {self.least_cosine:.4f} with the published one, less than {least:g}"
        for metric, before in self.published.items():
            if before - self.exported[metric] > most:
                return f"{metric} on dev falls from {before:.3f} to {self.exported[metric]:.3f}, by more than {most:g}"
        return None


def compare(
    sample: Sample,
    published: tuple[Vectors | np.ndarray, Vectors | np.ndarray],
    exported: tuple[np.ndarray, np.ndarray],
) -> Parity:
    """Compare the vectors of passages and of queries, in this order, of both embedders; rows have length 1.

    Where the exported ones have fewer dimensions, the published ones are cut to as many.
    """
    size = exported[0].shape[1]
    cut = [one[:, :size] / np.linalg.norm(one[:, :size], axis=1, keepdims=True) for one in published]
    cosines = np.concatenate([(ours * theirs).sum(axis=1) for ours, theirs in zip(cut, exported, strict=True)])
    return Parity(
        texts=len(cosines),
        queries=len(sample.qrels),
        least_cosine=float(cosines.min()),
        mean_cosine=float(cosines.mean()),
        whole=_metrics(sample, *published),
        published=_metrics(sample, *cut),
        exported=_metrics(sample, *exported),
    )


def _metrics(sample: Sample, passages: Vectors | np.ndarray, queries: Vectors | np.ndarray) -> dict[str, float]:
    depth = search_depth(sample.queries, _DEPTH)
    rows, scores = DenseIndex(passages, len(passages)).search(np.ascontiguousarray(queries, np.float32), depth)
    run = to_run(sample.queries, sample.chunk_ids, rows, scores, _DEPTH)
    return {metric: mean_metric(metric, sample.qrels, run) for metric in _METRICS}

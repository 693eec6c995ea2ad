"""How sure a difference between two systems is, when queries come in clusters."""

import math
from dataclasses import dataclass

import numpy as np

_BLOCK_CELLS = 1 << 21  # draws held at once; 16 MiB for each of the arrays of a block


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean difference, system minus baseline, with its confidence interval."""

    difference: float
    low: float
    high: float
    queries: int
    clusters: int


def paired_bootstrap(
    system: np.ndarray, baseline: np.ndarray, clusters: np.ndarray, samples: int, confidence: float, seed: int
) -> Interval:
    """Bound the mean of ``system - baseline`` by a percentile bootstrap over whole clusters.

    ``system`` and ``baseline`` are a measure's values for the same queries, float arrays of shape
    (queries,); ``clusters`` names each query's document, int of the same shape. Queries about one document
    succeed and fail together, so documents are drawn with replacement, as many as there are, and with them
    all their queries; a resample's statistic is its sum of differences over its number of queries. Equal
    inputs and ``seed`` give equal bits. Raise ValueError on fewer than two clusters, and on values that are
    not finite or do not pair.

    Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13 (percentile interval);
    Field & Welsh 2007, "Bootstrapping clustered data", JRSS B 69(3) (cluster bootstrap).
    """
    _check(system, baseline, clusters, samples, confidence)
    differences = system.astype(np.float64) - baseline.astype(np.float64)
    members, of_query = np.unique(clusters, return_inverse=True)
    sums = np.bincount(of_query, weights=differences)
    counts = np.bincount(of_query)
    means = _resampled_means(sums, counts, samples, np.random.default_rng(seed))
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    # An exact sum: ups and downs that cancel must give 0, and not a rounding error that reads as a fall.
    difference = math.fsum(differences.tolist()) / differences.size
    return Interval(difference, float(low), float(high), int(differences.size), int(members.size))


def _resampled_means(sums: np.ndarray, counts: np.ndarray, samples: int, generator: np.random.Generator) -> np.ndarray:
    """Draw as many clusters as there are, ``samples`` times, and return each resample's mean."""
    clusters = sums.size
    block = max(1, _BLOCK_CELLS // clusters)
    means = np.empty(samples, dtype=np.float64)
    for start in range(0, samples, block):
        end = min(start + block, samples)
        drawn = generator.integers(0, clusters, size=(end - start, clusters))
        means[start:end] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return means


def _check(system: np.ndarray, baseline: np.ndarray, clusters: np.ndarray, samples: int, confidence: float) -> None:
    if system.ndim != 1 or not system.shape == baseline.shape == clusters.shape:
        shapes = f"{system.shape}, {baseline.shape} and {clusters.shape}"
        raise ValueError(f"system, baseline and clusters must be of one shape (queries,), got {shapes}")
    if not system.size:
        raise ValueError("zero queries: there is nothing to compare")
    if np.unique(clusters).size < 2:
        raise ValueError(f"all {system.size} queries are of one cluster: an interval needs two documents or more")
    if not (np.isfinite(system).all() and np.isfinite(baseline).all()):
        raise ValueError("values of a measure must be finite")
    if samples < 1 or not 0.0 < confidence < 1.0:
        raise ValueError(f"expected samples >= 1 and confidence in (0, 1), got {samples} and {confidence}")

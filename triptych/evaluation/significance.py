"""Significance of the difference between two systems on clustered queries, and the number of queries needed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

ROUNDING = 1e-9  # sums of metrics have errors of about 1e-16, which are not a gain or a loss
_BLOCK_CELLS = 1 << 21  # draws in memory at once; 16 MiB per array


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean difference, system minus baseline, with its confidence interval."""

    difference: float
    low: float
    high: float
    error: float  # standard deviation of the difference over the resamples
    p: float  # two-sided p-value of no difference
    queries: int
    clusters: int


def paired_bootstrap(
    system: np.ndarray, baseline: np.ndarray, clusters: np.ndarray, samples: int, confidence: float, seed: int
) -> Interval:
    """Bound the mean of ``system - baseline`` by a percentile bootstrap over whole clusters.

    ``system`` and ``baseline`` are a metric's values for the same queries, float arrays of shape
    (queries,); ``clusters`` names each query's document, int of the same shape. Queries about one document
    are correlated, so documents are drawn with replacement, as many as there are, each with all its queries;
    a resample's statistic is its sum of differences over its number of queries. Equal inputs and ``seed``
    give equal bits. Raise ValueError on fewer than two clusters, on NaN or Inf, and on unequal shapes.

    ``p`` inverts the interval: twice the smaller share of resamples that are not on one side of zero, each share with
    one added to both counts, so that it is never 0.

    Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapters 13 (percentile interval) and 15
    (significance from it); Davison & Hinkley 1997, "Bootstrap Methods and their Application", 4.2 (the one added);
    Field & Welsh 2007, "Bootstrapping clustered data", JRSS B 69(3) (cluster bootstrap).
    """
    (interval,) = paired_bootstraps(system[None], baseline[None], clusters, samples, confidence, seed)
    return interval


def paired_bootstraps(
    systems: np.ndarray, baselines: np.ndarray, clusters: np.ndarray, samples: int, confidence: float, seed: int
) -> list[Interval]:
    """Return what `paired_bootstrap` returns for each row of values, from the same draws: shape (rows, queries)."""
    for system, baseline in zip(systems, baselines, strict=True):
        _check(system, baseline, clusters, samples, confidence)
    differences = systems.astype(np.float64) - baselines.astype(np.float64)
    members, of_query = np.unique(clusters, return_inverse=True)
    sums = np.stack([np.bincount(of_query, weights=row) for row in differences], axis=1)
    counts = np.bincount(of_query)
    means = _resampled_means(sums, counts, samples, np.random.default_rng(seed))
    tail = (1.0 - confidence) / 2.0
    intervals = []
    for row, of_row in zip(differences, np.ascontiguousarray(means.T), strict=True):
        low, high = np.quantile(of_row, [tail, 1.0 - tail])
        # An exact sum: differences that cancel must give 0, not a rounding error that reads as a fall.
        difference = math.fsum(row.tolist()) / row.size
        # Rounding errors of the sums count as zero.
        not_above, not_below = (1 + np.sum(side <= ROUNDING) for side in (of_row, -of_row))
        p = min(1.0, 2.0 * float(min(not_above, not_below)) / (1 + samples))
        error = float(of_row.std())
        intervals.append(Interval(difference, float(low), float(high), error, p, int(row.size), int(members.size)))
    return intervals


def unbounded(system: np.ndarray, baseline: np.ndarray) -> Interval:
    """Return the interval where all queries are about one document: [-1, 1], since there are no clusters to draw."""
    difference = math.fsum((system.astype(np.float64) - baseline).tolist()) / system.size
    return Interval(difference, -1.0, 1.0, 1.0, 1.0, int(system.size), 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for multiple comparisons, in the order given: the step-down method of Holm 1979.

    The i-th smallest of m is multiplied by m - i + 1, and made monotone and at most 1. Calling those below 0.05
    significant keeps the chance of any false positive at 5 %.
    """
    corrected, least = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = least
    return corrected


def queries_needed(interval: Interval, rise: float, confidence: float, power: float = 0.8) -> int:
    """Return how many queries like these would show a true difference of ``rise`` with the given ``power``.

    n = v · ((z((1 + confidence) / 2) + z(power)) / rise)², z being quantiles of the normal distribution (Cohen 1988,
    "Statistical Power Analysis", 2.4), and v the variance per query: the squared ``error`` times the number of
    queries, which includes the correlation within documents (the design effect: Kish 1965, "Survey Sampling", 5.4).
    Raise ValueError on a rise that is not above 0.
    """
    if rise <= 0.0:
        raise ValueError(f"expected a rise above 0, got {rise}")
    deviations = norm.ppf((1.0 + confidence) / 2.0) + norm.ppf(power)
    return math.ceil(interval.error**2 * interval.queries * (deviations / rise) ** 2)


def _resampled_means(sums: np.ndarray, counts: np.ndarray, samples: int, generator: np.random.Generator) -> np.ndarray:
    """Draw as many clusters as there are, ``samples`` times, and return each resample's means.

    ``sums`` has the shape (clusters, rows), the means (samples, rows).
    """
    clusters = counts.size
    block = max(1, _BLOCK_CELLS // clusters)
    means = np.empty((samples, sums.shape[1]), dtype=np.float64)
    for start in range(0, samples, block):
        end = min(start + block, samples)
        drawn = generator.integers(0, clusters, size=(end - start, clusters))
        drawn += np.arange(end - start)[:, None] * clusters
        times = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)
        totals = np.zeros((sums.shape[1], end - start))
        # Cluster by cluster, not as a product of matrices, whose bits depend on the number of rows.
        for of_cluster, drawn_times in zip(sums, np.ascontiguousarray(times.T), strict=True):
            totals += of_cluster[:, None] * drawn_times
        means[start:end] = (totals / (times @ counts)).T
    return means


def _check(system: np.ndarray, baseline: np.ndarray, clusters: np.ndarray, samples: int, confidence: float) -> None:
    if system.ndim != 1 or not system.shape == baseline.shape == clusters.shape:
        shapes = f"{system.shape}, {baseline.shape} and {clusters.shape}"
        raise ValueError(f"system, baseline and clusters must have one shape (queries,), got {shapes}")
    if not system.size:
        raise ValueError("there are no queries to compare")
    if np.unique(clusters).size < 2:
        raise ValueError(f"all {system.size} queries are of one cluster; an interval needs at least two documents")
    if not (np.isfinite(system).all() and np.isfinite(baseline).all()):
        raise ValueError("values of a metric must be finite")
    if samples < 1 or not 0.0 < confidence < 1.0:
        raise ValueError(f"expected samples >= 1 and confidence in (0, 1), got {samples} and {confidence}")

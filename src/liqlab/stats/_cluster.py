"""The mean of values that depend on one another within known clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class ClusterMean:
    """A mean with its cluster-robust standard error; NaN where undefined."""

    mean: float
    standard_error: float
    t: float
    n_values: int
    n_clusters: int


def cluster_mean_t(values: npt.ArrayLike, clusters: npt.ArrayLike) -> ClusterMean:
    """Mean of `values` and its t statistic against zero, errors clustered by `clusters`; both of shape (n,).

    With residuals e = x - mean(x), their sums s_g over each of the G clusters and n values, the standard error is
    sqrt(G / (G - 1) * sum_g s_g^2) / n: Liang and Zeger (1986) for a regression on a constant, with the small-sample
    factor of Stata. With one value per cluster it is the familiar sd / sqrt(n), sd with n - 1.

    Null hypothesis of t: the mean is zero, values of different clusters being independent. NaN values are left out with
    their clusters. Without values everything is NaN; with one cluster, or no spread at all, the error or t is.
    """
    sample = np.asarray(values, dtype=np.float64)
    labels = np.asarray(clusters)
    if sample.shape != labels.shape or sample.ndim != 1:
        raise ValueError(
            f"values and clusters must be one-dimensional and alike, got {sample.shape} and {labels.shape}"
        )
    present = ~np.isnan(sample)
    sample, labels = sample[present], labels[present]
    if sample.size == 0:
        return ClusterMean(np.nan, np.nan, np.nan, 0, 0)
    mean = float(sample.mean())
    _, cluster_of = np.unique(labels, return_inverse=True)
    sums = np.bincount(cluster_of, weights=sample - mean)
    n_clusters = sums.size
    if n_clusters < 2:
        return ClusterMean(mean, np.nan, np.nan, sample.size, n_clusters)
    error = float(np.sqrt(n_clusters / (n_clusters - 1) * (sums @ sums)) / sample.size)
    t = mean / error if error > 0.0 else float("nan")
    return ClusterMean(mean, error, t, sample.size, n_clusters)

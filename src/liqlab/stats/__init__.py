"""Statistics that know no market: arrays in, results out."""

from liqlab.stats._cluster import ClusterMean, cluster_mean_t
from liqlab.stats._descriptive import autocorrelation, group_sums, linear_quantile

__all__ = ["ClusterMean", "autocorrelation", "cluster_mean_t", "group_sums", "linear_quantile"]

"""Statistics that know no market: arrays in, results out."""

from liqlab.stats._bootstrap import BootstrapMeans, bootstrap_means, choose_block_length, studentised_bootstrap
from liqlab.stats._cluster import ClusterMean, cluster_mean_t
from liqlab.stats._descriptive import autocorrelation, group_sums, linear_quantile
from liqlab.stats._forecasts import OutOfSampleR2, diebold_mariano, out_of_sample_r2
from liqlab.stats._granger import COVARIANCES, GrangerConfig, GrangerTest, compute_granger
from liqlab.stats._hac import (
    LeastSquares,
    MeanInference,
    MeanInferences,
    choose_cosines,
    fixed_b_mean,
    fixed_b_means,
    newey_west_mean,
    newey_west_regression,
)
from liqlab.stats._hawkes import (
    HawkesCheck,
    HawkesEvents,
    HawkesParameters,
    diagnose_hawkes,
    hawkes_log_likelihood,
    prepare_hawkes,
)
from liqlab.stats._hawkes_fit import ExcitationTest, HawkesConfig, HawkesFit, compare_excitation, fit_hawkes
from liqlab.stats._hmm import filter_states
from liqlab.stats._intervals import (
    Estimate,
    bootstrap_clusters,
    compare_means,
    compute_range_p,
    compute_wilson,
    estimate_by_influence,
    make_estimate,
)
from liqlab.stats._leadlag import CrossCorrelation, compute_cross_correlation
from liqlab.stats._matching import Balance, Matches, compute_balance, find_far_moments, match_controls
from liqlab.stats._multiple import adjust_benjamini_hochberg, adjust_benjamini_yekutieli, adjust_bonferroni, adjust_holm
from liqlab.stats._probabilities import BrierScore, compute_auc, compute_brier
from liqlab.stats._ranks import rank_average, rank_columns, spearman_matrix
from liqlab.stats._rolling import (
    RollingMoments,
    rolling_correlation,
    rolling_count,
    rolling_max,
    rolling_moments,
    rolling_sum,
)
from liqlab.stats._survival import (
    LogRank,
    SurvivalCurve,
    SurvivalQuantile,
    compare_restricted_means,
    compute_log_rank,
    compute_survival,
    restricted_mean,
    survival_quantile,
)

__all__ = [
    "COVARIANCES",
    "Balance",
    "BootstrapMeans",
    "BrierScore",
    "ClusterMean",
    "CrossCorrelation",
    "Estimate",
    "ExcitationTest",
    "GrangerConfig",
    "GrangerTest",
    "HawkesCheck",
    "HawkesConfig",
    "HawkesEvents",
    "HawkesFit",
    "HawkesParameters",
    "LeastSquares",
    "LogRank",
    "Matches",
    "MeanInference",
    "MeanInferences",
    "OutOfSampleR2",
    "RollingMoments",
    "SurvivalCurve",
    "SurvivalQuantile",
    "adjust_benjamini_hochberg",
    "adjust_benjamini_yekutieli",
    "adjust_bonferroni",
    "adjust_holm",
    "autocorrelation",
    "bootstrap_clusters",
    "bootstrap_means",
    "choose_block_length",
    "choose_cosines",
    "cluster_mean_t",
    "compare_excitation",
    "compare_means",
    "compare_restricted_means",
    "compute_auc",
    "compute_balance",
    "compute_brier",
    "compute_cross_correlation",
    "compute_granger",
    "compute_log_rank",
    "compute_range_p",
    "compute_survival",
    "compute_wilson",
    "diagnose_hawkes",
    "diebold_mariano",
    "estimate_by_influence",
    "filter_states",
    "find_far_moments",
    "fit_hawkes",
    "fixed_b_mean",
    "fixed_b_means",
    "group_sums",
    "hawkes_log_likelihood",
    "linear_quantile",
    "make_estimate",
    "match_controls",
    "newey_west_mean",
    "newey_west_regression",
    "out_of_sample_r2",
    "prepare_hawkes",
    "rank_average",
    "rank_columns",
    "restricted_mean",
    "rolling_correlation",
    "rolling_count",
    "rolling_max",
    "rolling_moments",
    "rolling_sum",
    "spearman_matrix",
    "studentised_bootstrap",
    "survival_quantile",
]

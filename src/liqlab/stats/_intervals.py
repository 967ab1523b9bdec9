"""Shares, differences of means and claims of a range, with intervals that hold when values cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liqlab.stats._bootstrap import MIN_BLOCKS, MIN_RESAMPLES
from liqlab.stats._bootstrap import _invert as invert_resamples

Floats = npt.NDArray[np.float64]
#: Maps totals (r, k) to one number for each row (r,).
Statistic = Callable[[Floats], Floats]

_95_PERCENT = 1.959963984540054
_TAIL = 0.025
#: Rows of totals that a bootstrap holds at a time.
_ROWS_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error, two-sided p and 95 % interval; NaN where undefined.

    `degrees_of_freedom` are those of Student's t behind p and interval, NaN where a bootstrap made them.
    """

    estimate: float
    standard_error: float
    p: float
    ci_low: float
    ci_high: float
    degrees_of_freedom: float
    n_values: int
    n_clusters: int


def compute_wilson(successes: int, trials: int) -> tuple[float | None, float | None, float | None]:
    """The share of successes and its 95 % score interval; all None without a trial.

    (s + z^2 / 2 +- z sqrt(s (n - s) / n + z^2 / 4)) / (n + z^2) with s successes of n and z = 1.96, within [0, 1]:
    Wilson (1927), "Probable inference, the law of succession, and statistical inference", J. Am. Stat. Assoc. 22. The
    trials must be independent. More successes than trials, or fewer than none, are a ValueError.

    >>> [round(value, 3) for value in compute_wilson(8, 10)]
    [0.8, 0.49, 0.943]
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must lie in [0, {trials}], got {successes}")
    if trials == 0:
        return None, None, None
    share, squared = successes / trials, _95_PERCENT**2
    centre = (share + squared / (2 * trials)) / (1 + squared / trials)
    half = _95_PERCENT / (1 + squared / trials) * (share * (1 - share) / trials + squared / (4 * trials**2)) ** 0.5
    return share, max(centre - half, 0.0), min(centre + half, 1.0)


def compare_means(
    values: npt.ArrayLike,
    clusters: npt.ArrayLike,
    other_values: npt.ArrayLike,
    other_clusters: npt.ArrayLike,
) -> Estimate:
    """The mean of `values` less that of `other_values`, errors clustered over both samples together.

    Null hypothesis: the means are equal; alternative: they differ. A label that occurs in both samples is one cluster,
    so a pair in one cluster is a pair. With deviations e from their own mean, sample sizes n and m, and the sum
    s_g = sum_g e / n - sum_g e' / m of each of the G clusters, the standard error is sqrt(G / (G - 1) sum_g s_g^2), and
    the difference over it has about Student's t with G - 1 degrees of freedom: Liang and Zeger (1986), "Longitudinal
    data analysis using generalized linear models", Biometrika 73; Bell and McCaffrey (2002) on the degrees. With one
    value in each cluster it is Welch's test but for the factor n / (n - 1).

    Each pair of arrays has one shape, (n,) and (m,). NaN values are left out with their clusters. An empty side gives
    NaN, fewer than two clusters or no spread an estimate without error.
    """
    left, left_labels = _values_and_labels(values, clusters)
    right, right_labels = _values_and_labels(other_values, other_clusters)
    if not left.size or not right.size:
        return make_estimate(float("nan"), float("nan"), float("nan"), left.size + right.size, 0)
    influence = np.concatenate([(left - left.mean()) / left.size, (right.mean() - right) / right.size])
    difference = float(left.mean() - right.mean())
    return estimate_by_influence(difference, influence, np.concatenate([left_labels, right_labels]))


def estimate_by_influence(estimate: float, influence: Floats, clusters: npt.ArrayLike, null: float = 0.0) -> Estimate:
    """An estimate whose error comes from the influence (n,) that each value has on it, summed by cluster.

    Null hypothesis of p: the truth is `null`. The standard error is sqrt(G / (G - 1) sum_g (sum of influence in g)^2),
    with Student's t of G - 1 degrees of freedom; NaN with fewer than two clusters or without spread.
    """
    _, cluster_of = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(cluster_of, weights=influence)
    error = float(np.sqrt(sums.size / (sums.size - 1) * (sums @ sums))) if sums.size > 1 else float("nan")
    return make_estimate(estimate, error, sums.size - 1.0, influence.size, sums.size, null)


def make_estimate(
    estimate: float, error: float, degrees_of_freedom: float, n_values: int, n_clusters: int, null: float = 0.0
) -> Estimate:
    """p against `null` and the 95 % interval by Student's t; NaN where the error is not above zero."""
    from scipy.special import stdtr, stdtrit

    if not error > 0.0 or not np.isfinite(error):
        nan = float("nan")
        return Estimate(estimate, nan, nan, nan, nan, nan, n_values, n_clusters)
    reach = float(stdtrit(degrees_of_freedom, 1.0 - _TAIL)) * error
    p = 2.0 * float(stdtr(degrees_of_freedom, -abs(estimate - null) / error))
    return Estimate(estimate, error, p, estimate - reach, estimate + reach, degrees_of_freedom, n_values, n_clusters)


def bootstrap_clusters(
    totals: npt.ArrayLike, statistic: Statistic, n_resamples: int, seed: int, null: float = 0.0
) -> Estimate:
    """Any smooth statistic of cluster totals, by resampling whole clusters.

    Row g of `totals` (G, k) holds what cluster g adds up to (counts, sums, sums of squares and products), `statistic`
    maps rows of totals (r, k) to numbers (r,): means, ratios, slopes, correlations. Null hypothesis of p: the truth is
    `null`; the clusters are independent and alike. G clusters are drawn with replacement; each resample is studentised
    by its own jackknife over clusters, s*^2 = (G - 1) / G sum (theta_(-g) - mean)^2. t* = (theta* - theta) / s*, the
    interval is [theta - q(0.975) s, theta - q(0.025) s], and p = 2 min(#{t* >= t} + 1, #{t* <= t} + 1) / (R + 1):
    Hall (1992), "The bootstrap and Edgeworth expansion", section 3.2; Efron and Tibshirani (1993), chapters 11 and 12.

    The statistic may be NaN where undefined (0 / 0, without a warning). Resamples without a finite t* count against
    the claim in both tails. Rows with a NaN are left out. Fewer than 8 clusters or a statistic without spread give an
    estimate alone. With about 10 clusters the tails hang on few of them: prefer `estimate_by_influence` there.

    >>> days = np.column_stack([np.arange(10.0, 20.0), np.arange(10.0)])
    >>> round(bootstrap_clusters(days, lambda total: total[:, 1] / total[:, 0], 999, seed=1).estimate, 6)
    0.310345
    """
    table = np.asarray(totals, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"totals must be two-dimensional, got shape {table.shape}")
    if n_resamples < MIN_RESAMPLES:
        raise ValueError(f"n_resamples must be at least {MIN_RESAMPLES}, got {n_resamples}")
    table = table[~np.isnan(table).any(axis=1)]
    n_clusters, nan = len(table), float("nan")
    estimate = float(statistic(table.sum(axis=0, keepdims=True))[0]) if n_clusters else nan
    _, error = _jackknife(table[None], statistic)
    if n_clusters < MIN_BLOCKS or not error[0] > 0.0 or not np.isfinite(estimate):
        return Estimate(estimate, nan, nan, nan, nan, nan, n_clusters, n_clusters)
    t = _resample_t(table, statistic, estimate, n_resamples, np.random.default_rng(seed))
    upper, lower, p = invert_resamples(t[:, None], (estimate - null) / error)
    return Estimate(
        estimate=estimate,
        standard_error=float(error[0]),
        p=float(p[0]),
        ci_low=float(estimate - upper[0] * error[0]),
        ci_high=float(estimate - lower[0] * error[0]),
        degrees_of_freedom=nan,
        n_values=n_clusters,
        n_clusters=n_clusters,
    )


def compute_range_p(
    estimate: float, standard_error: float, low: float, high: float, degrees_of_freedom: float = np.inf
) -> float:
    """p of the claim that the truth lies in [low, high], by two one-sided tests.

    Null hypothesis: the truth lies outside, at or below `low` or at or above `high`; alternative: within. The larger p
    of t1 = (estimate - low) / error and t2 = (high - estimate) / error, each one-sided by Student's t: Schuirmann
    (1987), "A comparison of the two one-sided tests procedure and the power approach", J. Pharmacokinet. Biopharm. 15.
    It is below 0.05 when the 90 % interval lies inside the range. NaN where the error is not above zero. `low` above
    `high` is a ValueError.

    >>> round(compute_range_p(-0.5, 0.1, -1.0, 0.0), 9)
    2.87e-07
    """
    from scipy.special import stdtr

    if not low <= high:
        raise ValueError(f"low must be at most high, got {low} and {high}")
    if not standard_error > 0.0:
        return float("nan")
    nearest = min(estimate - low, high - estimate) / standard_error
    return float(stdtr(degrees_of_freedom, -nearest))


def _values_and_labels(values: npt.ArrayLike, clusters: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.generic]]:
    sample, labels = np.asarray(values, dtype=np.float64), np.asarray(clusters)
    if sample.shape != labels.shape or sample.ndim != 1:
        raise ValueError(
            f"values and clusters must be one-dimensional and alike, got {sample.shape} and {labels.shape}"
        )
    present = ~np.isnan(sample)
    return sample[present], labels[present]


def _jackknife(tables: Floats, statistic: Statistic) -> tuple[Floats, Floats]:
    """The statistic and its jackknife error for each of the tables (r, G, k)."""
    n_tables, n_clusters, n_columns = tables.shape
    if n_clusters < 2:
        return np.full(n_tables, np.nan), np.full(n_tables, np.nan)
    totals = tables.sum(axis=1)
    without = (totals[:, None, :] - tables).reshape(-1, n_columns)
    left_out = statistic(without).reshape(n_tables, n_clusters)
    spread = ((left_out - left_out.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    return statistic(totals), np.sqrt((n_clusters - 1) / n_clusters * spread)


def _resample_t(
    table: Floats, statistic: Statistic, estimate: float, n_resamples: int, random: np.random.Generator
) -> Floats:
    size = max(1, _ROWS_AT_ONCE // len(table))
    found = np.full(n_resamples, np.nan)
    for start in range(0, n_resamples, size):
        part = slice(start, min(start + size, n_resamples))
        drawn = random.integers(0, len(table), (part.stop - part.start, len(table)))
        values, errors = _jackknife(table[drawn], statistic)
        np.divide(values - estimate, errors, out=found[part], where=errors > 0.0)
    return found

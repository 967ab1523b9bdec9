"""Quantiles, autocorrelation and sums by group, with the rules for missing values said aloud."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def linear_quantile(values: npt.ArrayLike, probability: float) -> float:
    """The `probability` quantile of a one-dimensional sample, with linear interpolation.

    With the sorted sample x[0..n-1] and h = (n - 1) probability it is x[floor h] + (h - floor h)(x[floor h + 1] -
    x[floor h]): definition 7 of Hyndman and Fan (1996), "Sample quantiles in statistical packages", the default of
    NumPy and pandas. NaN values are left out; an empty sample gives NaN. `probability` outside [0, 1] is a ValueError.

    >>> linear_quantile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.5
    """
    sample = np.asarray(values, dtype=np.float64)
    sample = sample[~np.isnan(sample)]
    return float(np.quantile(sample, probability)) if sample.size else float("nan")


def autocorrelation(values: npt.ArrayLike, lag: int) -> float:
    """Pearson correlation of x[i] and x[i - lag], each side with the mean and variance of its own n - lag values.

    The definition of `pandas.Series.autocorr`; it differs from the Box-Jenkins estimate, which divides by the variance
    of the whole series. `values` has shape (n,), equally spaced. Pairs with a NaN are left out. NaN when fewer than two
    pairs remain or one side does not vary. `lag` below 1 is a ValueError.
    """
    if lag < 1:
        raise ValueError(f"lag must be at least 1, got {lag}")
    series = np.asarray(values, dtype=np.float64)
    later, earlier = series[lag:], series[:-lag]
    complete = ~(np.isnan(later) | np.isnan(earlier))
    return _pearson(later[complete], earlier[complete])


def group_sums(groups: npt.NDArray[np.integer], values: npt.ArrayLike, n_groups: int) -> npt.NDArray[np.float64]:
    """The sum of the values of each group 0..n_groups-1, added in the order given; 0.0 for a group without any.

    `groups` and `values` have shape (n,), the result (n_groups,), or more when `groups` holds a larger number. NaN
    makes its group NaN. Unlike `numpy.bincount` it gives floats for an empty input too.

    >>> group_sums(np.array([0, 2, 2]), [1.0, 2.0, 3.0], 4).tolist()
    [1.0, 0.0, 5.0, 0.0]
    """
    return np.bincount(groups, weights=np.asarray(values), minlength=n_groups).astype(np.float64)


def _pearson(left: npt.NDArray[np.float64], right: npt.NDArray[np.float64]) -> float:
    if left.size < 2 or np.ptp(left) == 0.0 or np.ptp(right) == 0.0:
        return float("nan")
    left, right = left - left.mean(), right - right.mean()
    return float(left @ right / np.sqrt((left @ left) * (right @ right)))

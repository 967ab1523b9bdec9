"""Realised volatility over a trailing window of a one-minute grid, and the trailing quantile it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
from numba import njit

from liqlab.core.time import MS_PER_MINUTE

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Function = TypeVar("Function", bound=Callable[..., Any])

_MINUTES_PER_HOUR = 60
_BPS = 1e4


def _compiled(function: Function) -> Function:
    """`function` compiled at its first call, cached on disk, run without the interpreter lock."""
    compiled: Function = njit(cache=True, nogil=True)(function)
    return compiled


def compute_returns(times_ms: IntArray, prices: FloatArray, step_minutes: int) -> FloatArray:
    """Log returns over `step_minutes`, shape (n,): at each multiple of the step since 1970 the return that ends there.

    NaN elsewhere, and where either price is NaN, infinite or not positive.
    """
    usable = np.isfinite(prices) & (prices > 0.0)
    logs = np.full(prices.shape, np.nan)
    logs[usable] = np.log(prices[usable])
    returns = np.full(prices.shape, np.nan)
    returns[step_minutes:] = logs[step_minutes:] - logs[:-step_minutes]
    returns[(times_ms // MS_PER_MINUTE) % step_minutes != 0] = np.nan
    return returns


def compute_volatility(
    returns: FloatArray, step_minutes: int, window_minutes: int, min_present_frac: float
) -> FloatArray:
    """Realised volatility over the trailing window at each minute, in bps per square root of an hour; shape (n,).

    10,000 sqrt(H / step * sum r^2 / m), with the m returns r present among those that end in (t - window, t] and H one
    hour: the sum of squared returns (Andersen and Bollerslev, 1998), scaled up for those missing and to one hour. NaN
    where m is below `min_present_frac` of the returns that the window has room for.
    """
    sums, counts = _sum_trailing_squares(returns, window_minutes)
    enough = (counts > 0) & (counts >= min_present_frac * (window_minutes // step_minutes))
    volatility = np.full(returns.shape, np.nan)
    volatility[enough] = _BPS * np.sqrt(sums[enough] / counts[enough] * (_MINUTES_PER_HOUR / step_minutes))
    return volatility


def compute_thresholds(
    volatility: FloatArray, quantile: float, window_minutes: int, min_history_minutes: int
) -> FloatArray:
    """The `quantile` (linear interpolation) of the volatilities in [t - window, t): strictly before t; shape (n,).

    NaN volatilities are left out. NaN while fewer than `min_history_minutes` of them are there.
    """
    before = pl.Series(volatility).fill_nan(None).shift(1)
    return (
        before.rolling_quantile(quantile, "linear", window_size=window_minutes, min_samples=min_history_minutes)
        .fill_null(float("nan"))
        .to_numpy()
    )


@_compiled
def _sum_trailing_squares(returns: Any, window: int) -> Any:
    """Sum and number of the squares present in each window of rows.

    Added afresh for each row: a running sum would carry the rounding of an old spike forever.
    """
    sums = np.zeros(len(returns))
    counts = np.zeros(len(returns), np.int64)
    for row in range(len(returns)):
        for place in range(max(0, row - window + 1), row + 1):
            value = returns[place]
            if not np.isnan(value):
                sums[row] += value * value
                counts[row] += 1
    return sums, counts

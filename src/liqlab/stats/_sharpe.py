"""Sharpe ratios and what they are worth: trials, length, skewness; drawdowns. Returns in, numbers out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

EULER_MASCHERONI = 0.5772156649015329
#: A spread below this share of the values is rounding.
_ROUNDING = 1e-14
_NAN = float("nan")


@dataclass(frozen=True)
class Moments:
    """What the Sharpe family needs of a series of returns; NaN where undefined.

    `sharpe` is per period; `kurtosis` is not the excess (normal = 3).
    """

    n_values: int
    mean: float
    deviation: float
    sharpe: float
    skewness: float
    kurtosis: float


@dataclass(frozen=True)
class Drawdown:
    """The deepest fall of an equity curve from its highest value before.

    `depth` is a fraction at most 0. `peak`, `trough` and `recovery` are positions in the curve, `recovery` being that
    of the first value at or above the peak again, or None. `longest` is the largest number of steps from a peak to its
    recovery, or to the end of the curve, over all falls.
    """

    depth: float
    peak: int
    trough: int
    recovery: int | None
    longest: int


def expected_maximum(n_trials: int, exact: bool = False) -> float:
    """Expected maximum of `n_trials` independent standard normals.

    (1 - g) z(1 - 1/N) + g z(1 - 1/(N e)) with g the Euler-Mascheroni constant and z the normal quantile: Bailey and
    Lopez de Prado (2014), "The deflated Sharpe ratio", J. Portfolio Management 40, from the limit law of extremes. It
    is high by 3 % at N = 7 and 0.7 % at N = 1000. `exact` integrates N x phi(x) Phi(x)^(N - 1) instead. One
    trial has the expectation 0 either way. Fewer than one is a ValueError.

    >>> round(expected_maximum(100), 10), round(expected_maximum(100, exact=True), 6)
    (2.5306028932, 2.507594)
    """
    from scipy.special import log_ndtr, ndtri

    if n_trials < 1:
        raise ValueError(f"n_trials must be at least 1, got {n_trials}")
    if n_trials == 1:
        return 0.0
    if not exact:
        common = float(ndtri(1.0 - 1.0 / n_trials))
        return (1.0 - EULER_MASCHERONI) * common + EULER_MASCHERONI * float(ndtri(1.0 - math.exp(-1.0) / n_trials))
    # The trapezoid rule converges exponentially for a smooth integrand that vanishes at both ends.
    x, step = np.linspace(-12.0, 14.0 + math.sqrt(2.0 * math.log(n_trials)), 4001, retstep=True)
    log_density = -0.5 * x**2 - 0.5 * math.log(2.0 * math.pi) + (n_trials - 1) * log_ndtr(x)
    return float((n_trials * x * np.exp(log_density)).sum() * step)


def compute_moments(returns: npt.ArrayLike) -> Moments:
    """Mean, deviation (n - 1), Sharpe ratio per period, skewness and kurtosis of returns (n,).

    Skewness and kurtosis are m3 / m2^1.5 and m4 / m2^2 with m_k the k-th central moment over n. NaN returns are left
    out. Fewer than two values or no spread beyond rounding give NaN but for the mean; infinite ones a ValueError.
    """
    values = _finite(returns)
    if values.size == 0:
        return Moments(0, _NAN, _NAN, _NAN, _NAN, _NAN)
    mean = float(values.mean())
    centred = values - mean
    second = float((centred**2).mean())
    if values.size < 2 or not math.sqrt(second) > _ROUNDING * float(np.abs(values).max()):
        return Moments(values.size, mean, _NAN, _NAN, _NAN, _NAN)
    deviation = math.sqrt(second * values.size / (values.size - 1))
    scaled = centred / math.sqrt(second)
    third, fourth = float((scaled**3).mean()), float((scaled**4).mean())
    return Moments(values.size, mean, deviation, mean / deviation, third, fourth)


def sharpe_ratio(returns: npt.ArrayLike, periods_per_year: float = 1.0, benchmark: float = 0.0) -> float:
    """(mean - benchmark) / deviation * sqrt(periods_per_year) of returns (n,); `benchmark` is a return per period.

    Sharpe (1994), "The Sharpe ratio", J. Portfolio Management 21; the deviation divides by n - 1. NaN returns are left
    out. Fewer than two values or no spread give NaN: a riskless return has no ratio.

    >>> annual = [0.259, 0.198, 0.364, -0.081, 0.057, 0.055, 0.188, 0.317, 0.24, 0.184, -0.01, 0.526]
    >>> round(sharpe_ratio(annual, benchmark=0.05), 6)
    0.834364
    """
    return compute_moments(np.asarray(returns, dtype=np.float64) - benchmark).sharpe * math.sqrt(periods_per_year)


def sortino_ratio(returns: npt.ArrayLike, periods_per_year: float = 1.0, target: float = 0.0) -> float:
    """(mean - target) / downside deviation * sqrt(periods_per_year) of returns (n,); `target` is a return per period.

    The downside deviation is sqrt(mean(min(r - target, 0)^2)) over all n: Sortino and Price (1994), "Performance
    measurement in a downside risk framework", J. Investing 3. NaN returns are left out. NaN without any return below
    the target: no downside was seen, which is not the same as none.

    >>> round(sortino_ratio([0.17, 0.15, 0.23, -0.05, 0.12, 0.09, 0.13, -0.04]), 6)
    4.417261
    """
    excess = _finite(returns) - target
    downside = math.sqrt(float((np.minimum(excess, 0.0) ** 2).mean())) if excess.size else 0.0
    return float(excess.mean()) / downside * math.sqrt(periods_per_year) if downside > 0.0 else _NAN


def probabilistic_sharpe_ratio(
    sharpe: float, n_values: int, skewness: float = 0.0, kurtosis: float = 3.0, benchmark: float = 0.0
) -> float:
    """Probability that the true Sharpe ratio exceeds `benchmark`, both per period, given one of `n_values` returns.

    Phi((SR - SR*) sqrt(n - 1) / sqrt(1 - g3 SR + (g4 - 1) / 4 SR^2)): Bailey and Lopez de Prado (2012), "The Sharpe
    ratio efficient frontier", J. Risk 15, with the error of Mertens (2002). `kurtosis` is not the excess (normal = 3).
    The returns are taken as independent. NaN with fewer than two values, or NaN input. Moments that no distribution
    has, g4 < 1 + g3^2, are a ValueError.

    >>> round(probabilistic_sharpe_ratio(1.585 / 12**0.5, 24, -2.448, 10.164), 12)
    0.913234306885
    """
    from scipy.special import ndtr

    if math.isnan(sharpe) or n_values < 2:
        return _NAN
    error = math.sqrt(_variance_factor(sharpe, skewness, kurtosis) / (n_values - 1))
    return float(ndtr((sharpe - benchmark) / error)) if error > 0.0 else float(sharpe > benchmark)


def deflated_sharpe_benchmark(trial_variance: float, n_trials: int) -> float:
    """The Sharpe ratio that the best of `n_trials` would have without skill: sqrt(trial_variance) E[max of N normals].

    `trial_variance` is that of the trials' Sharpe ratios, per period. Bailey and Lopez de Prado (2014), equation 1. A
    negative variance is a ValueError.

    >>> round(deflated_sharpe_benchmark(0.5 / 250, 100), 7)
    0.113172
    """
    if not trial_variance >= 0.0:
        raise ValueError(f"trial_variance must be at least 0, got {trial_variance}")
    return math.sqrt(trial_variance) * expected_maximum(n_trials)


def deflated_sharpe_ratio(
    sharpe: float,
    n_values: int,
    trial_variance: float,
    n_trials: int,
    skewness: float = 0.0,
    kurtosis: float = 3.0,
) -> float:
    """Probability that the true Sharpe ratio exceeds what luck alone gives the best of `n_trials`, all per period.

    The probabilistic Sharpe ratio against `deflated_sharpe_benchmark`: Bailey and Lopez de Prado (2014), "The deflated
    Sharpe ratio", J. Portfolio Management 40. The trials are taken as independent; correlated ones count as fewer.

    >>> round(deflated_sharpe_ratio(2.5 / 250**0.5, 1250, 0.5 / 250, 100, -3.0, 10.0), 12)
    0.900396834449
    """
    threshold = deflated_sharpe_benchmark(trial_variance, n_trials)
    return probabilistic_sharpe_ratio(sharpe, n_values, skewness, kurtosis, threshold)


def minimum_track_record_length(
    sharpe: float, benchmark: float = 0.0, skewness: float = 0.0, kurtosis: float = 3.0, confidence: float = 0.95
) -> float:
    """Returns needed until a Sharpe ratio of `sharpe` exceeds `benchmark` with `confidence`, both per period.

    1 + (1 - g3 SR + (g4 - 1) / 4 SR^2) (z / (SR - SR*))^2 with z the normal quantile of `confidence`: Bailey and Lopez
    de Prado (2012), "The Sharpe ratio efficient frontier". Infinite where `sharpe` is not above `benchmark`.
    `confidence` outside (0.5, 1) is a ValueError.

    >>> daily = minimum_track_record_length(2.0 / 250**0.5, 1.0 / 250**0.5)
    >>> round(daily / 250, 6)
    2.731188
    """
    from scipy.special import ndtri

    if not 0.5 < confidence < 1.0:
        raise ValueError(f"confidence must lie in (0.5, 1), got {confidence}")
    if math.isnan(sharpe):
        return _NAN
    if not sharpe > benchmark:
        return math.inf
    needed = float(ndtri(confidence)) / (sharpe - benchmark)
    return 1.0 + _variance_factor(sharpe, skewness, kurtosis) * needed**2


def minimum_backtest_length(n_trials: int, target_sharpe: float = 1.0) -> float:
    """Years below which the best of `n_trials` without skill is expected to reach an annual Sharpe of `target_sharpe`.

    (E[max of N normals] / target)^2: Bailey, Borwein, Lopez de Prado and Zhu (2014), "Pseudo-mathematics and financial
    charlatanism", Notices of the AMS 61. A target that is not above zero is a ValueError.

    >>> round(minimum_backtest_length(45), 6)
    4.998087
    """
    if not target_sharpe > 0.0:
        raise ValueError(f"target_sharpe must be above 0, got {target_sharpe}")
    return (expected_maximum(n_trials) / target_sharpe) ** 2


def compute_drawdowns(equity: npt.ArrayLike) -> Floats:
    """Fall of an equity curve (n,) from its running maximum, as a fraction at most 0: equity / peak - 1.

    The curve begins with the starting capital. An equity of zero or below is a fall of 1 or more. A first value that
    is not above zero, or a NaN, is a ValueError.

    >>> compute_drawdowns([100.0, 120.0, 90.0, 130.0]).tolist()
    [0.0, 0.0, -0.25, 0.0]
    """
    curve = np.asarray(equity, dtype=np.float64)
    if curve.ndim != 1 or not np.isfinite(curve).all() or (curve.size and curve[0] <= 0.0):
        raise ValueError("an equity curve must be one-dimensional, finite and begin above zero")
    falls: Floats = curve / np.maximum.accumulate(curve) - 1.0 if curve.size else curve.copy()
    return falls


def find_max_drawdown(equity: npt.ArrayLike) -> Drawdown:
    """The deepest fall of an equity curve (n,), the first of equals, and the longest time under water, in steps.

    An empty curve is a ValueError, like what `compute_drawdowns` refuses. Without a fall everything stands at 0.
    """
    falls = compute_drawdowns(equity)
    if not falls.size:
        raise ValueError("an equity curve needs at least one value")
    trough = int(falls.argmin())
    at_peak = np.flatnonzero(falls == 0.0)
    later = at_peak[at_peak > trough]
    peak = int(at_peak[at_peak <= trough][-1])
    if falls[trough] == 0.0:
        return Drawdown(0.0, 0, 0, 0, 0)
    below = np.flatnonzero(falls < 0.0)
    ends = np.append(at_peak, falls.size - 1)
    longest = int((ends[np.searchsorted(at_peak, below)] - at_peak[np.searchsorted(at_peak, below) - 1]).max())
    return Drawdown(float(falls[trough]), peak, trough, int(later[0]) if later.size else None, longest)


def calmar_ratio(annual_return: float, max_drawdown: float) -> float:
    """Annual return over the depth of the deepest fall; both fractions, `max_drawdown` at most 0 or its absolute value.

    Young (1991), "Calmar ratio: a smoother tool", Futures 20. NaN without a fall: none was seen.

    >>> calmar_ratio(0.5, -0.25)
    2.0
    """
    depth = abs(max_drawdown)
    return annual_return / depth if depth > 0.0 else _NAN


def _finite(returns: npt.ArrayLike) -> Floats:
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 1 or np.isinf(values).any():
        raise ValueError("returns must be one-dimensional and not infinite")
    return values[~np.isnan(values)]


def _variance_factor(sharpe: float, skewness: float, kurtosis: float) -> float:
    """1 - g3 SR + (g4 - 1) / 4 SR^2: never negative for moments that a distribution can have."""
    if kurtosis < (1.0 + skewness**2) * (1.0 - 1e-9):
        raise ValueError(f"no distribution has skewness {skewness} and kurtosis {kurtosis} (normal is 3, not 0)")
    return max(1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2, 0.0)

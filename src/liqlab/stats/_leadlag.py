"""Who comes first: the cross-correlation of two series over lags, with bands that hold when both are autocorrelated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liqlab.stats._bootstrap import MIN_BLOCKS, choose_block_length

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_95_PERCENT = 1.959963984540054
_ALPHA = 0.05
#: Deviations below this share of the largest value are rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class CrossCorrelation:
    """Correlations of x at t with y at t + lag for the `lags` -L..L: at a positive lag x comes first.

    Arrays have shape (2 L + 1,). `pointwise_band` is half the width of Bartlett's band for one lag, `band` that of the
    band which all lags together leave in 5 % of cases when the series are independent, and `p` belongs to the largest
    absolute correlation. `peak_lag` has that one, `peak_low` to `peak_high` is the bootstrap's 95 % interval for it and
    `peak_frac` the share of resamples with this very lag. NaN where undefined, see `compute_cross_correlation`.
    """

    lags: Integers
    correlation: Floats
    n_pairs: Integers
    pointwise_band: float
    band: float
    p: float
    n_shifts: int
    peak_lag: int | None
    peak_correlation: float
    peak_low: float
    peak_high: float
    peak_frac: float
    block_length: int


def compute_cross_correlation(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    max_lag: int,
    n_resamples: int = 4_999,
    seed: int = 0,
    block_length: int | None = None,
) -> CrossCorrelation:
    """The cross-correlations of two regular time series (n,) at the lags from -`max_lag` to `max_lag`.

    r(k) = mean over the complete pairs of (x_t - mean x)(y_{t+k} - mean y) / (sd x sd y). NaN are missing times: they
    take part in no pair, and time stays calendar time.

    Null hypothesis of `band` and `p`: the series are independent, each stationary with whatever autocorrelation and
    tails; alternative: they correlate at some of these lags. Turning y round against x by a multiple of 2 L + 1 steps,
    the series being closed to circles, leaves the joint distribution under the null as it is, so the largest |r| of the
    lags at hand is one of m = n / (2 L + 1) equally likely ones; `p` is its rank from above over m, and `band` is what
    it must exceed for p to be at most 0.05: a randomisation test over a group, Lehmann and Romano (2005), section 15.2.
    `pointwise_band` is 1.96 sqrt(sum_h r_x(h) r_y(h) / n): Bartlett (1946), "On the theoretical specification and
    sampling properties of autocorrelated time-series", J. R. Stat. Soc. Suppl. 8, the sum ending where a product is no
    longer positive. Neither is a test of cause: a common factor or a common daily season makes series dependent.

    The peak's interval comes from resampling blocks of time of both series together (Künsch 1989), `block_length` of
    them chosen from the products at the peak unless given, at least 2 L + 1; its limits are quantiles of the resampled
    peaks. It says where a peak is, not whether there is one.

    With fewer than 20 shifts band and p are NaN; with fewer than 8 blocks the peak's interval. A series without spread
    or fewer than 3 complete pairs at a lag make everything NaN. Unlike shapes are a ValueError.
    """
    left, right = _standardise(x), _standardise(y)
    if left.shape != right.shape:
        raise ValueError(f"x and y must have one shape, got {left.shape} and {right.shape}")
    if max_lag < 0:
        raise ValueError(f"max_lag must be at least 0, got {max_lag}")
    lags = np.arange(-max_lag, max_lag + 1)
    sums, pairs = _sum_products(left, right, lags)
    if left.size <= max_lag or pairs.min() < 3 or np.isnan(left).all() or np.isnan(right).all():
        return _nothing(lags, pairs)
    correlation = sums / pairs
    place = int(np.argmax(np.abs(correlation)))
    largest = float(np.abs(correlation[place]))
    others = _turned_maxima(left, right, max_lag)
    n_shifts = others.size + 1
    rank = int(_ALPHA * n_shifts + 1e-9)
    length = block_length or _choose_block(left, right, int(lags[place]), max_lag)
    low, high, share = _resample_peak(left, right, lags, length, place, n_resamples, seed)
    return CrossCorrelation(
        lags=lags,
        correlation=correlation,
        n_pairs=pairs,
        pointwise_band=_bartlett_band(left, right),
        band=float(np.sort(others)[-rank]) if rank else float("nan"),
        p=float((1 + (others >= largest).sum()) / n_shifts) if rank else float("nan"),
        n_shifts=n_shifts,
        peak_lag=int(lags[place]),
        peak_correlation=float(correlation[place]),
        peak_low=low,
        peak_high=high,
        peak_frac=share,
        block_length=length,
    )


def _standardise(values: npt.ArrayLike) -> Floats:
    """The series with mean 0 and variance 1 over what is there; all NaN where that cannot be."""
    series = np.asarray(values, dtype=np.float64)
    if series.ndim != 1:
        raise ValueError(f"series must be one-dimensional, got shape {series.shape}")
    present = series[~np.isnan(series)]
    if present.size < 3 or not np.isfinite(present).all():
        return np.full(series.shape, np.nan)
    centred = series - present.mean()
    widest = float(np.nanmax(np.abs(centred)))
    if not widest > _ROUNDING * float(np.abs(present).max()):
        return np.full(series.shape, np.nan)
    centred /= widest
    return np.asarray(centred / np.nanstd(centred))


def _slices(lag: int, size: int) -> tuple[slice, slice]:
    """The parts of x and y that make the pairs (t, t + lag)."""
    return slice(max(-lag, 0), size - max(lag, 0)), slice(max(lag, 0), size - max(-lag, 0))


def _sum_products(left: Floats, right: Floats, lags: Integers) -> tuple[Floats, Integers]:
    sums, pairs = np.zeros(lags.size), np.zeros(lags.size, np.int64)
    own, other = np.nan_to_num(left), np.nan_to_num(right)
    mine, theirs = (~np.isnan(left)).astype(np.float64), (~np.isnan(right)).astype(np.float64)
    for place, lag in enumerate(lags.tolist()):
        if abs(lag) < left.size:
            first, second = _slices(lag, left.size)
            sums[place] = own[first] @ other[second]
            pairs[place] = round(float(mine[first] @ theirs[second]))
    return sums, pairs


def _turned_maxima(left: Floats, right: Floats, max_lag: int) -> Floats:
    """The largest |r| within each window of 2 L + 1 turns of the circle that holds none of the lags -L..L."""
    from scipy.fft import irfft, rfft

    size, width = left.size, 2 * max_lag + 1

    def turn(first: Floats, second: Floats) -> Floats:
        return np.asarray(irfft(np.conj(rfft(first)) * rfft(second), size))

    sums = turn(np.nan_to_num(left), np.nan_to_num(right))
    if np.isnan(left).any() or np.isnan(right).any():
        pairs = np.rint(turn((~np.isnan(left)).astype(np.float64), (~np.isnan(right)).astype(np.float64)))
    else:
        pairs = np.full(size, float(size))
    turned = np.abs(np.divide(sums, pairs, out=np.zeros(size), where=pairs >= 3.0))
    n_windows = max(size // width - 1, 0)
    start = max_lag + 1
    return np.asarray(turned[start : start + n_windows * width].reshape(n_windows, width).max(axis=1, initial=0.0))


def _bartlett_band(left: Floats, right: Floats) -> float:
    products = _autocorrelations(left)[1:] * _autocorrelations(right)[1:]
    ends = np.flatnonzero(~(products > 0.0))
    total = 1.0 + 2.0 * float(products[: ends[0] if ends.size else None].sum())
    n = min(int((~np.isnan(left)).sum()), int((~np.isnan(right)).sum()))
    return float(_95_PERCENT * np.sqrt(total / n))


def _autocorrelations(series: Floats) -> Floats:
    """At the lags 0, 1, ..; the divisor is n at every lag, and missing values count as the mean."""
    from scipy.fft import irfft, next_fast_len, rfft

    size = series.size
    length = next_fast_len(2 * size, real=True)
    power = np.abs(rfft(np.nan_to_num(series), length)) ** 2
    return np.asarray(irfft(power, length)[: size // 2] / size)


def _choose_block(left: Floats, right: Floats, lag: int, max_lag: int) -> int:
    first, second = _slices(lag, left.size)
    return max(choose_block_length(np.nan_to_num(left[first] * right[second])), 2 * max_lag + 1)


def _resample_peak(
    left: Floats, right: Floats, lags: Integers, length: int, place: int, n_resamples: int, seed: int
) -> tuple[float, float, float]:
    """The 2.5 and 97.5 % quantiles of the peak over resampled blocks, and the share of those at `place`."""
    n_blocks = left.size // length
    if n_blocks < MIN_BLOCKS:
        return float("nan"), float("nan"), float("nan")
    sums, pairs = np.zeros((n_blocks, lags.size)), np.zeros((n_blocks, lags.size))
    starts = np.arange(n_blocks) * length
    for column, lag in enumerate(lags.tolist()):
        first, second = _slices(lag, left.size)
        products = np.zeros(left.size)
        present = np.zeros(left.size)
        found = left[first] * right[second]
        products[first], present[first] = np.nan_to_num(found), ~np.isnan(found)
        # What is left over behind the last whole block belongs to it.
        sums[:, column] = np.add.reduceat(products, starts)
        pairs[:, column] = np.add.reduceat(present, starts)
    times = np.random.default_rng(seed).multinomial(n_blocks, np.full(n_blocks, 1.0 / n_blocks), n_resamples)
    counts = times @ pairs
    means = np.divide(times @ sums, counts, out=np.zeros(counts.shape), where=counts > 0.0)
    peaks = np.argmax(np.abs(means), axis=1)
    low, high = np.quantile(lags[peaks], [_ALPHA / 2.0, 1.0 - _ALPHA / 2.0], method="inverted_cdf")
    return float(low), float(high), float((peaks == place).mean())


def _nothing(lags: Integers, pairs: Integers) -> CrossCorrelation:
    nan = float("nan")
    return CrossCorrelation(
        lags=lags,
        correlation=np.full(lags.size, nan),
        n_pairs=pairs,
        pointwise_band=nan,
        band=nan,
        p=nan,
        n_shifts=0,
        peak_lag=None,
        peak_correlation=nan,
        peak_low=nan,
        peak_high=nan,
        peak_frac=nan,
        block_length=0,
    )

"""Resampling in blocks, and leaving them out: means of autocorrelated series, intervals for means over blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liqlab.stats._rolling import rolling_sum

Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95
#: Blocks below which a percentile-t interval says nothing.
MIN_BLOCKS = 8
MIN_RESAMPLES = 39
#: Values below which no block length is estimated.
SHORTEST_SERIES = 10
#: A standard error below this share of the mean is rounding.
_ROUNDING = 1e-14
#: Numbers held at a time.
_CELLS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class BootstrapMeans:
    """Means with intervals (95 %) and two-sided p-values against zero; arrays of shape (k,).

    `n_blocks` counts the blocks that hold values.
    """

    mean: Floats
    standard_error: Floats
    p: Floats
    ci_low: Floats
    ci_high: Floats
    n_blocks: npt.NDArray[np.int64]


def bootstrap_means(values: npt.ArrayLike, block_length: int, n_resamples: int, seed: int) -> Floats:
    """Means of `n_resamples` circular block resamples of a series (n,); the result has shape (n_resamples,).

    Blocks of `block_length` consecutive values start anywhere, the series being closed to a circle, and are joined
    until n values are reached, the last block being cut: Politis and Romano (1992), "A circular block-resampling
    procedure for stationary data". The sum of the block from every start is computed once, so that a resample costs
    n / block_length additions. NaN values hold their place and are left out of the means. A series without values
    gives NaN. `block_length` outside 1..n is a ValueError.
    """
    series = np.asarray(values, dtype=np.float64)
    present = ~np.isnan(series)
    if not present.any():
        return np.full(n_resamples, np.nan)
    centre = float(series[present].mean())
    columns = [np.where(present, series - centre, 0.0)]
    if not present.all():
        columns.append(present.astype(np.float64))
    sums = resample_sums(np.stack(columns), block_length, n_resamples, seed)
    count = sums[1] if len(columns) == 2 else np.full(n_resamples, float(series.size))
    means: Floats = centre + _ratio(sums[0], count)
    return means


def resample_sums(series: Floats, block_length: int, n_resamples: int, seed: int) -> Floats:
    """Sums over circular block resamples of the rows of `series` (k, n), drawn together: (k, n_resamples)."""
    n_values = series.shape[1]
    if not 1 <= block_length <= n_values:
        raise ValueError(f"block_length must lie in [1, {n_values}], got {block_length}")
    n_whole, rest = divmod(n_values, block_length)
    whole = [_circular_sums(row, block_length) for row in series]
    last = [_circular_sums(row, rest) for row in series] if rest else []
    result = np.zeros((len(series), n_resamples))
    random = np.random.default_rng(seed)
    for part in _parts(n_resamples, n_whole + 1):
        starts = random.integers(0, n_values, (n_whole + 1, part.stop - part.start), dtype=np.int32)
        for row, sums in enumerate(whole):
            result[row, part] = sums[starts[:n_whole]].sum(axis=0)
        for row, sums in enumerate(last):
            result[row, part] += sums[starts[n_whole]]
    return result


def studentised_bootstrap(
    block_sums: npt.ArrayLike, block_counts: npt.ArrayLike, n_resamples: int, seed: int
) -> BootstrapMeans:
    """Percentile-t inference on means, from sums S (G, k) and counts N (G, k) or (G,) over G blocks of time.

    Null hypothesis: the mean is zero, blocks being independent; alternative: it is not. Values that overlap over h
    steps are nearly independent between blocks of 2 h or more. With m = sum S / sum N and

        se(m) = sqrt(G / (G - 1) sum_g (S_g - m N_g)^2) / sum N                    (delta method for a ratio)

    whole blocks are drawn with replacement, the same for all columns, and t* = (m* - m) / se*(m*). The interval is
    [m - q(0.975) se, m - q(0.025) se], q the quantiles of t*, and p = 2 min(#{t* >= t} + 1, #{t* <= t} + 1) / (R + 1)
    with t = m / se and R resamples: where R + 1 is a multiple of 40, the interval excludes zero exactly when p is at
    most 0.05. Hall (1992), "The bootstrap and Edgeworth expansion", section 3.2; Davison and Hinkley (1997), "Bootstrap
    methods and their application", section 4.4. A resample without values or spread is counted in both tails.

    NaN sums are blocks without values. Fewer than 8 blocks with values, or no spread between them, give NaN but for
    the mean. `n_resamples` below 39 is a ValueError. Beyond its input it holds some tens of megabytes.
    """
    sums, counts = _blocks(block_sums, block_counts)
    if n_resamples < MIN_RESAMPLES:
        raise ValueError(f"n_resamples must be at least {MIN_RESAMPLES} for a 95 % interval, got {n_resamples}")
    total, n_blocks = counts.sum(axis=0), (counts > 0.0).sum(axis=0)
    mean = _ratio(sums.sum(axis=0), total)
    deviations = sums - np.where(total > 0.0, mean, 0.0) * counts
    error = _delta_error((deviations**2).sum(axis=0), total, len(sums))
    usable = np.flatnonzero((n_blocks >= MIN_BLOCKS) & (error > _ROUNDING * np.abs(mean)))
    unknown = np.full(mean.shape, np.nan)
    result = BootstrapMeans(mean, unknown, unknown.copy(), unknown.copy(), unknown.copy(), n_blocks)
    result.standard_error[usable] = error[usable]
    for part in _parts(usable.size, n_resamples):
        column = usable[part]
        t = _resample_t(deviations[:, column], counts[:, column], n_resamples, seed)
        upper, lower, result.p[column] = _invert(t, mean[column] / error[column])
        result.ci_low[column] = mean[column] - upper * error[column]
        result.ci_high[column] = mean[column] - lower * error[column]
    return result


def jackknife_t(block_sums: npt.ArrayLike, block_counts: npt.ArrayLike) -> BootstrapMeans:
    """Student's t on means by leaving out blocks, from sums S (G, k) and counts N (G, k) or (G,) over G blocks of time.

    Null hypothesis: the mean is zero, blocks being independent; alternative: it is not. With m = sum S / sum N and m_-g
    that of all blocks but g, the standard error is sqrt((G - 1) / G sum_g (m_-g - m)^2), which errs to the large side
    where blocks differ in size: Efron and Stein (1981), "The jackknife estimate of variance", Ann. Stat. 9; the CV3 of
    MacKinnon, Nielsen and Webb (2023). Degrees of freedom are those of as many equal blocks as the counts amount to,
    (sum N)^2 / sum N^2, less one, at least one: Carter, Schnepel and Steigerwald (2017), "Asymptotic behavior of a
    t-test robust to cluster heterogeneity", Rev. Econ. Stat. 99.

    NaN sums are blocks without values. Fewer than two blocks with values, or no spread, give NaN but for the mean.

    >>> found = jackknife_t([[1.0], [2.0], [3.0], [6.0]], [1.0, 1.0, 1.0, 1.0])
    >>> round(float(found.standard_error[0]), 6), round(float(found.p[0]), 6)
    (1.080123, 0.069099)
    """
    from scipy.special import stdtr, stdtrit

    sums, counts = _blocks(block_sums, block_counts)
    total, n_blocks = counts.sum(axis=0), (counts > 0.0).sum(axis=0)
    mean = _ratio(sums.sum(axis=0), total)
    shift = _ratio(np.where(total > 0.0, mean, 0.0) * counts - sums, total - counts)
    shift = np.where((counts > 0.0) & np.isfinite(shift), shift, 0.0)
    error = np.sqrt(_ratio((n_blocks - 1.0) * (shift**2).sum(axis=0), n_blocks.astype(np.float64)))
    usable = (n_blocks > 1) & (error > _ROUNDING * np.abs(mean))
    error = np.where(usable, error, np.nan)
    degrees = np.maximum(_ratio(total**2, (counts**2).sum(axis=0)) - 1.0, 1.0)
    reach = stdtrit(degrees, (1.0 + CONFIDENCE) / 2.0) * error
    p = 2.0 * stdtr(degrees, -np.abs(mean / error))
    return BootstrapMeans(mean, error, p, mean - reach, mean + reach, n_blocks)


def choose_block_length(values: npt.ArrayLike) -> int:
    """Block length for a circular block bootstrap of the mean of a series (n,), rounded up, at most a third of n.

    The rule of Politis and White (2004), "Automatic block-length selection for the dependent bootstrap", Econometric
    Reviews 23, with the correction of Patton, Politis and White (2009); computed by `arch`. NaN values are left out and
    the rest is taken as consecutive; infinite values are a ValueError. 1 for fewer than 10 values or without spread.
    """
    series = np.asarray(values, dtype=np.float64)
    series = series[~np.isnan(series)]
    if np.isinf(series).any():
        raise ValueError("a block length needs finite values, found an infinite one; remove it first")
    if series.size < SHORTEST_SERIES or np.ptp(series) == 0.0:
        return 1
    from arch.bootstrap import optimal_block_length

    # In a short series, or one that ends in equal values, nothing is left by which arch could divide its longest lags.
    with np.errstate(divide="ignore", invalid="ignore"):
        length = float(optimal_block_length(series)["circular"].iloc[0])
    return int(min(max(math.ceil(length), 1), series.size // 3)) if math.isfinite(length) else 1


def _circular_sums(row: Floats, length: int) -> Floats:
    """Sum of the `length` values from each start onwards, the row being a circle."""
    return rolling_sum(np.concatenate([row, row[: length - 1]]), length)[length - 1 :]


def _parts(count: int, width: int) -> Iterator[slice]:
    """0..count-1 in slices of a bounded number of cells, each item having `width` of them."""
    step = max(1, _CELLS_AT_ONCE // max(width, 1))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def _blocks(block_sums: npt.ArrayLike, block_counts: npt.ArrayLike) -> tuple[Floats, Floats]:
    sums, counts = np.asarray(block_sums, dtype=np.float64), np.asarray(block_counts, dtype=np.float64)
    if sums.ndim != 2 or counts.shape not in (sums.shape, sums.shape[:1]):
        raise ValueError(
            f"block_sums must be (G, k) and block_counts (G, k) or (G,), got {sums.shape} and {counts.shape}"
        )
    counts = np.broadcast_to(counts[:, None] if counts.ndim == 1 else counts, sums.shape)
    present = (counts > 0.0) & ~np.isnan(sums)
    return np.where(present, sums, 0.0), np.where(present, counts, 0.0)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """NaN where nothing was counted."""
    ratio: Floats = np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0.0)
    return ratio


def _delta_error(squares: Floats, total: Floats, n_blocks: int) -> Floats:
    return _ratio(np.sqrt(np.maximum(squares, 0.0) * (n_blocks / max(n_blocks - 1, 1))), total)


def _resample_t(deviations: Floats, counts: Floats, n_resamples: int, seed: int) -> Floats:
    """t* (n_resamples, k); NaN where a resample has no values, or neither spread nor a different mean.

    `deviations` are S - m N, so their ratio is m* - m directly and the squares suffer no cancellation.
    """
    n_blocks, n_columns = deviations.shape
    random = np.random.default_rng(seed)
    parts = np.concatenate([deviations, counts, deviations**2, deviations * counts, counts**2], axis=1)
    t = np.empty((n_resamples, n_columns))
    for part in _parts(n_resamples, n_blocks):
        n_drawn = part.stop - part.start
        drawn = random.integers(0, n_blocks, (n_drawn, n_blocks)) + n_blocks * np.arange(n_drawn)[:, None]
        times = np.bincount(drawn.ravel(), minlength=n_drawn * n_blocks).reshape(n_drawn, n_blocks).astype(np.float64)
        deviation, total, squares, products, squared_counts = np.split(times @ parts, 5, axis=1)
        shift = _ratio(deviation, total)
        error = _delta_error(squares - 2.0 * shift * products + shift**2 * squared_counts, total, n_blocks)
        with np.errstate(divide="ignore", invalid="ignore"):
            t[part] = shift / error
    return t


def _invert(t: Floats, observed: Floats) -> tuple[Floats, Floats, Floats]:
    """Upper and lower quantile of t* and the p-value of `observed`; an undefined t* is extreme in both tails."""
    n_resamples = len(t)
    place = max(int((1.0 - CONFIDENCE) / 2.0 * (n_resamples + 1) + 1e-9), 1)
    undefined = np.isnan(t)
    largest, smallest = np.where(undefined, np.inf, t), np.where(undefined, -np.inf, t)
    upper = np.partition(largest, n_resamples - place, axis=0)[n_resamples - place]
    lower = np.partition(smallest, place - 1, axis=0)[place - 1]
    beyond = np.minimum((largest >= observed).sum(axis=0), (smallest <= observed).sum(axis=0))
    return upper, lower, np.minimum(2.0 * (beyond + 1.0) / (n_resamples + 1.0), 1.0)

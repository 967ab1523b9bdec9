"""Is one forecast better than another: tests and measures out of sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liqlab.stats._bootstrap import choose_block_length, resample_sums
from liqlab.stats._hac import MeanInference, choose_cosines, fixed_b_mean

CONFIDENCE = 0.95
MIN_BLOCKS = 8


@dataclass(frozen=True)
class OutOfSampleR2:
    """1 - the ratio of squared errors, its 95 % bootstrap interval, values used and their block length."""

    r2: float
    ci_low: float
    ci_high: float
    n: int
    block_length: int


def diebold_mariano(loss_a: npt.ArrayLike, loss_b: npt.ArrayLike, overlap: int) -> MeanInference:
    """Whether forecast a loses less than forecast b, from their losses (n,) at the same regular times.

    Null hypothesis: both have the same expected loss; alternative: they have not. The mean of loss_a - loss_b, negative
    where a is better, is tested by `fixed_b_mean` with `choose_cosines(n, overlap)`, n the times that are not missing
    and `overlap` the length of a target in steps (1 when targets share nothing). Diebold and Mariano (1995), "Comparing
    predictive accuracy", Journal of Business and Economic Statistics 13; with fixed-smoothing critical values Coroneo
    and Iacone (2020), "Comparing predictive accuracy in small samples using fixed-smoothing asymptotics", Journal of
    Applied Econometrics 35. The test compares the forecasts as made, estimation error included: a larger nested model
    may lose although its additional variables matter.

    A time with a NaN on either side is missing. All but mean and n are NaN when the series is shorter than 12 overlaps,
    or the difference does not vary. Unlike shapes are a ValueError.
    """
    first, second = np.asarray(loss_a, dtype=np.float64), np.asarray(loss_b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"the losses must be one-dimensional and alike, got {first.shape} and {second.shape}")
    difference = first - second
    n_cosines = choose_cosines(int((~np.isnan(difference)).sum()), overlap)
    return fixed_b_mean(difference, n_cosines or 0)


def out_of_sample_r2(
    y: npt.ArrayLike,
    forecast: npt.ArrayLike,
    baseline: npt.ArrayLike,
    min_block_length: int = 1,
    n_resamples: int = 4999,
    seed: int = 0,
) -> OutOfSampleR2:
    """R2 = 1 - sum (y - forecast)^2 / sum (y - baseline)^2, over times where all three (n,) are finite.

    Positive where the forecast beats the baseline: Campbell and Thompson (2008), "Predicting excess stock returns out
    of sample", Review of Financial Studies 21. The interval holds the middle 95 % of circular block resamples of both
    sums together; blocks have the length that `choose_block_length` finds for the difference of squared errors, at
    least `min_block_length` (give twice the overlap of the targets). It is NaN with fewer than 8 such blocks, and all
    is NaN when the baseline makes no error. Times are in order; those left out are taken as if they had not been.
    """
    columns = [np.asarray(column, dtype=np.float64) for column in (y, forecast, baseline)]
    if len({column.shape for column in columns}) != 1 or columns[0].ndim != 1:
        raise ValueError(f"y, forecast and baseline must be alike, got {[column.shape for column in columns]}")
    target, predicted, reference = (column[np.isfinite(columns).all(axis=0)] for column in columns)
    errors = np.stack([(target - predicted) ** 2, (target - reference) ** 2])
    total = errors.sum(axis=1)
    if not total[1] > 0.0:
        return OutOfSampleR2(np.nan, np.nan, np.nan, target.size, 0)
    length = max(min_block_length, choose_block_length(errors[0] - errors[1]))
    low, high = np.nan, np.nan
    if target.size >= MIN_BLOCKS * length:
        sums = resample_sums(errors, length, n_resamples, seed)
        ratios = sums[0][sums[1] > 0.0] / sums[1][sums[1] > 0.0]
        low, high = 1.0 - np.quantile(ratios, [0.5 + CONFIDENCE / 2.0, 0.5 - CONFIDENCE / 2.0])
    return OutOfSampleR2(float(1.0 - total[0] / total[1]), float(low), float(high), target.size, length)

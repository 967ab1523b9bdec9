"""Measures of the daily returns and of the equity curve: Sharpe and its family, Sortino, Calmar, drawdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.backtest._blocks import LEAST_BLOCKS, block_days
from liqlab.backtest._metrics_record import Metric, Resampling, from_bootstrap, from_estimate, make_metric
from liqlab.core.time import MS_PER_DAY
from liqlab.stats import (
    Moments,
    bootstrap_clusters,
    calmar_ratio,
    choose_block_length,
    compute_drawdowns,
    compute_moments,
    deflated_sharpe_ratio,
    find_max_drawdown,
    make_estimate,
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
    sortino_ratio,
    studentised_bootstrap,
)

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

DAYS_PER_YEAR = 365.0
#: Days from which the Sharpe ratio's interval comes from a bootstrap; with 9 days it covers 88 to 90 % instead of 95.
BOOTSTRAP_DAYS = 30

_FEW_DAYS = "fewer than 2 days, or no spread between them"


def measure_days(
    equity: pl.DataFrame,
    capital_usd: float,
    gross_usd: tuple[Integers, Floats],
    n_trials: int,
    trial_sharpes: Sequence[float] | None,
    resampling: Resampling,
) -> dict[str, Metric]:
    """The measures of an equity curve (table EQUITY); `gross_usd` are exit times and gross results of the trades."""
    time_ms, curve = equity["time"].to_physical().to_numpy(), equity["equity"].to_numpy()
    first_day = int(time_ms[0]) // MS_PER_DAY
    returns = split_by_day(time_ms, curve) / capital_usd
    exit_day = np.clip((gross_usd[0] - 1) // MS_PER_DAY - first_day, 0, returns.size - 1)
    gross = np.bincount(exit_day, weights=gross_usd[1], minlength=returns.size) / capital_usd
    years = float(time_ms[-1] - time_ms[0]) / MS_PER_DAY / DAYS_PER_YEAR
    return {
        "n_days": make_metric(float(returns.size), note=_partial_days(time_ms)),
        "net_return": _total(returns, resampling),
        "gross_return": _total(gross, resampling),
        **_measure_sharpe(returns, n_trials, trial_sharpes, resampling),
        **_measure_falls(time_ms, curve, returns, years, resampling),
    }


def split_by_day(time_ms: Integers, equity: Floats) -> Floats:
    """Change of equity on each UTC day from the first to the last (days,), in USD; days without rows are zero.

    `time_ms` ascends. A row at midnight belongs to the day that ends then, but for the first row, which begins its day.
    """
    first_day = int(time_ms[0]) // MS_PER_DAY
    day = np.maximum((time_ms - 1) // MS_PER_DAY, first_day) - first_day
    n_days = int(day[-1]) + 1
    last = np.searchsorted(day, np.arange(n_days), side="right") - 1
    changes: Floats = np.diff(np.concatenate([[equity[0]], equity[last]]))
    return changes


def _partial_days(time_ms: Integers) -> str:
    partial = int(time_ms[0] % MS_PER_DAY != 0) + int(time_ms[-1] % MS_PER_DAY != 0)
    return "" if not partial else "the first or last day is not whole"


def _total(daily: Floats, resampling: Resampling) -> Metric:
    """The sum over all days; its interval is that of the daily mean, times the days."""
    blocks = block_days(daily)
    sums, counts = np.bincount(blocks, weights=daily), np.bincount(blocks).astype(np.float64)
    found = studentised_bootstrap(sums[:, None] * daily.size, counts, resampling.n_resamples, resampling.seed)
    return from_bootstrap(found, f"studentised bootstrap over {found.n_blocks[0]} {_block_words(blocks)}")


def _measure_sharpe(
    returns: Floats, n_trials: int, trial_sharpes: Sequence[float] | None, resampling: Resampling
) -> dict[str, Metric]:
    moments = compute_moments(returns)
    names = ("sharpe", "probabilistic_sharpe", "deflated_sharpe", "minimum_track_record", "sortino")
    if math.isnan(moments.sharpe):
        return dict.fromkeys(names, make_metric(math.nan, note=_FEW_DAYS))
    shape = (moments.skewness, moments.kurtosis)
    variance, trials_note = _trial_variance(trial_sharpes, n_trials, returns.size)
    length = minimum_track_record_length(moments.sharpe, 0.0, *shape)
    has = f"until the Sharpe ratio exceeds 0 with 95 % confidence, were it to stay; there are {returns.size}"
    return {
        "sharpe": _sharpe(returns, moments, resampling),
        "probabilistic_sharpe": make_metric(
            probabilistic_sharpe_ratio(moments.sharpe, returns.size, *shape),
            note="probability that the true Sharpe ratio is above 0; one trial, independent days",
        ),
        "deflated_sharpe": make_metric(
            deflated_sharpe_ratio(moments.sharpe, returns.size, variance, n_trials, *shape), note=trials_note
        ),
        "minimum_track_record": make_metric(
            length, note=has if math.isfinite(length) else "never: the Sharpe ratio is not above 0"
        ),
        "sortino": _sortino(returns, resampling),
    }


def _trial_variance(trial_sharpes: Sequence[float] | None, n_trials: int, n_days: int) -> tuple[float, str]:
    """Variance of the trials' Sharpe ratios per day, and the note that says where it is from."""
    known = np.asarray([] if trial_sharpes is None else trial_sharpes, dtype=np.float64)
    known = known[np.isfinite(known)] / math.sqrt(DAYS_PER_YEAR)
    counted = f"against the best of {n_trials:,} trial{'s' if n_trials > 1 else ''} without skill"
    if n_trials == 1:
        return 0.0, counted
    if known.size >= 2:
        return float(known.var(ddof=1)), f"{counted}, by the spread of {known.size:,} trials"
    return 1.0 / (n_days - 1), f"{counted}, their spread unknown: taken as that of independent ones"


def _sharpe(returns: Floats, moments: Moments, resampling: Resampling) -> Metric:
    """Below 30 days by the error of Mertens (2002) with Student's t, which covers 95 % with 9 days too."""
    year = math.sqrt(DAYS_PER_YEAR)
    if returns.size < BOOTSTRAP_DAYS:
        square = 1.0 - moments.skewness * moments.sharpe + (moments.kurtosis - 1.0) / 4.0 * moments.sharpe**2
        error = math.sqrt(max(square, 0.0) / (returns.size - 1))
        found = make_estimate(moments.sharpe, error, returns.size - 1.0, returns.size, returns.size)
        note = f"{returns.size} days only: the interval is the message, not the number"
        method = "Student's t with the error of Mertens, independent days"
        return make_metric(year * moments.sharpe, year * found.ci_low, year * found.ci_high, method, note)
    blocks, totals = _day_totals(returns, returns**2)
    drawn = bootstrap_clusters(totals, _sharpe_of, resampling.n_resamples, resampling.seed)
    return from_estimate(drawn, f"studentised bootstrap over {_count_words(blocks)}", lambda value: year * value)


def _sortino(returns: Floats, resampling: Resampling) -> Metric:
    value = sortino_ratio(returns, DAYS_PER_YEAR)
    if math.isnan(value):
        return make_metric(math.nan, note="no losing day: the ratio is not defined")
    year = math.sqrt(DAYS_PER_YEAR)
    blocks, totals = _day_totals(returns, np.minimum(returns, 0.0) ** 2)
    drawn = bootstrap_clusters(totals, _sortino_of, resampling.n_resamples, resampling.seed)
    return from_estimate(drawn, f"studentised bootstrap over {_count_words(blocks)}", lambda value: year * value)


def _day_totals(returns: Floats, squares: Floats) -> tuple[Integers, Floats]:
    """Blocks of the days, and by block the number of days, the sum of returns and of their squares."""
    blocks = block_days(returns)
    columns = [np.bincount(blocks, weights=values) for values in (np.ones(returns.size), returns, squares)]
    return blocks, np.column_stack(columns)


def _sharpe_of(totals: Floats) -> Floats:
    count, total, squares = totals.T
    mean = total / count
    variance = (squares - count * mean**2) / np.maximum(count - 1.0, 1.0)
    spread = variance > 1e-12 * squares / count
    ratio: Floats = np.full(mean.shape, np.nan)
    np.divide(mean, np.sqrt(np.maximum(variance, 0.0)), out=ratio, where=spread)
    return ratio


def _sortino_of(totals: Floats) -> Floats:
    count, total, squares = totals.T
    downside = np.sqrt(squares / count)
    ratio: Floats = np.full(count.shape, np.nan)
    np.divide(total / count, downside, out=ratio, where=downside > 0.0)
    return ratio


def _measure_falls(
    time_ms: Integers, curve: Floats, returns: Floats, years: float, resampling: Resampling
) -> dict[str, Metric]:
    """Depth and length of drawdowns, and Calmar; intervals by resampling the days, whose ends give shallower falls."""
    depth = find_max_drawdown(curve).depth
    method = "percentile circular block bootstrap of days"
    falls, ratios = _resample_falls(returns, years, resampling)
    annual = float(returns.sum()) / years
    calmar = calmar_ratio(annual, depth)
    return {
        "calmar": _measure_calmar(calmar, _percentiles(ratios), method),
        "max_drawdown": make_metric(
            depth, *_percentiles(falls), method, "falls within a day count, not in the interval"
        ),
        "drawdown_length": make_metric(
            _longest_fall_ms(time_ms, curve) / MS_PER_DAY, note="from a peak to its recovery, or to the end"
        ),
    }


def _measure_calmar(value: float, ends: tuple[float, float], method: str) -> Metric:
    """The ratio; without its interval where resampled days do not reach it, as for a curve that falls all the time."""
    if math.isnan(value):
        return make_metric(value, note="no fall: the ratio is not defined")
    if not ends[0] <= value <= ends[1] and not math.isnan(ends[0] + ends[1]):
        return make_metric(value, note="no interval: falls within a day make what whole days cannot give")
    return make_metric(value, *ends, method)


def _resample_falls(returns: Floats, years: float, resampling: Resampling) -> tuple[Floats, Floats]:
    """Deepest falls of curves of resampled days, and their annual return over depth; (n_resamples,), NaN undefined."""
    n_days = returns.size
    nothing = np.empty(0)
    if n_days < LEAST_BLOCKS:
        return nothing, nothing
    length = choose_block_length(returns)
    n_starts = -(-n_days // length)
    random = np.random.default_rng(resampling.seed)
    starts = random.integers(0, n_days, (resampling.n_resamples, n_starts))
    rows = ((starts[:, :, None] + np.arange(length)) % n_days).reshape(resampling.n_resamples, -1)[:, :n_days]
    drawn = returns[rows]
    curves = 1.0 + np.cumsum(np.column_stack([np.zeros(len(drawn)), drawn]), axis=1)
    falls: Floats = (curves / np.maximum.accumulate(curves, axis=1)).min(axis=1) - 1.0
    unknown = np.full(falls.shape, np.nan)
    ratios = np.divide(drawn.sum(axis=1) / years, -falls, out=unknown, where=falls < 0.0)
    return falls, ratios


def _percentiles(values: Floats) -> tuple[float, float]:
    """The middle 95 %; NaN where a resample is not defined, or nothing was drawn."""
    if not values.size or np.isnan(values).any():
        return math.nan, math.nan
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _longest_fall_ms(time_ms: Integers, curve: Floats) -> int:
    """The longest time from a peak to the first moment at that height again, or to the end."""
    falls = compute_drawdowns(curve)
    at_peak = np.flatnonzero(falls == 0.0)
    ends = np.append(at_peak[1:], curve.size - 1)
    under_water = ends > at_peak + 1
    under_water[-1] = ends[-1] > at_peak[-1]
    return int(((time_ms[ends] - time_ms[at_peak])[under_water]).max(initial=0))


def _block_words(blocks: Integers) -> str:
    length = int((blocks == 0).sum())
    return "days" if length == 1 else f"blocks of {length} days"


def _count_words(blocks: Integers) -> str:
    return f"{int(blocks[-1]) + 1} {_block_words(blocks)}"

"""Exploratory tables of question 3: shares explained, decomposition, who comes first, and the plan's key question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.schema import COUNT, FLOAT, Column, Table
from liqlab.core.time import MS_PER_MINUTE, MS_PER_S
from liqlab.stats import (
    CrossCorrelation,
    adjust_benjamini_hochberg,
    compute_cross_correlation,
    estimate_by_influence,
    rank_average,
)
from liqlab.study._evidence import Evidence
from liqlab.study._q3_open_interest_bars import QUIET, VOLATILE, Bars, fit_shared_variance, make_bars
from liqlab.study._q3_open_interest_lag import measure_intervals

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

_TEXT = pl.String()
_BY_BLOCKS = "95 % interval, Student's t over blocks of 6 h"
_SYMBOL = Column("symbol", _TEXT, "", "instrument; `ALL` for all together, with a mean for each")
_REGIME = Column("regime", _TEXT, "", "`all`, or bars that began in the `quiet` or `volatile` regime")
_BAR = Column("bar_min", COUNT, "min", "length of a bar")

OI_EXPLAINED = Table(
    "oi_explained",
    "OI changes on total liquidated quantity in one set of bars",
    (
        _SYMBOL,
        _REGIME,
        _BAR,
        Column("lag_s", COUNT, "s", "open interest is taken so long after the edge of the bar: its publication lag"),
        Column(
            "r2",
            FLOAT,
            "fraction",
            "share of the variance of OI changes that goes with liquidations, cut at 99 %",
        ),
        Column("r2_low", FLOAT, "fraction", f"{_BY_BLOCKS}, lower end"),
        Column("r2_high", FLOAT, "fraction", "upper end"),
        Column("r2_plain", FLOAT, "fraction", "the same with nothing cut: a few large liquidations may decide it"),
        Column("slope", FLOAT, "", "change of OI for each unit liquidated: -1 if every counterparty closes too"),
        Column("slope_low", FLOAT, "", f"{_BY_BLOCKS}, lower end"),
        Column("slope_high", FLOAT, "", "upper end"),
        Column("p_zero", FLOAT, "probability", "two-sided p that the slope is 0, same procedure"),
        Column("p_minus_one", FLOAT, "probability", "two-sided p that the slope is -1"),
        Column("p_zero_adjusted", FLOAT, "probability", "Benjamini-Hochberg over this table"),
        Column("p_minus_one_adjusted", FLOAT, "probability", "Benjamini-Hochberg over this table"),
        Column("n", COUNT, "", "bars"),
    ),
)

OI_DECOMPOSITION = Table(
    "oi_decomposition",
    "changes of one symbol's open interest, taken apart",
    (
        _SYMBOL,
        _REGIME,
        _BAR,
        Column("n", COUNT, "", "bars"),
        Column("change", FLOAT, "base units", "sum of the changes of open interest"),
        Column("liquidated", FLOAT, "base units", "total quantity liquidated"),
        Column("organic", FLOAT, "base units", "change + liquidated: what is left if every forced order closed one"),
        Column("falls", FLOAT, "base units", "sum of the falls of open interest"),
        Column("rises", FLOAT, "base units", "sum of its rises"),
        Column(
            "completeness", FLOAT, "fraction", "liquidated / falls; small: most falls are no (published) forced order"
        ),
        Column("r2", FLOAT, "fraction", "share of the variance of changes that goes with liquidated quantity"),
        Column("organic_frac", FLOAT, "fraction", "1 - r2: the share that is organic"),
    ),
)

LEAD_LAG = Table(
    "oi_lead_lag",
    "the cross-correlation of two series of one symbol at one lag",
    (
        Column("symbol", _TEXT, "", "instrument"),
        Column("pair", _TEXT, "", "`first, second`: at a positive lag the first comes first"),
        Column("lag_s", FLOAT, "s", "the second is so much later"),
        Column("correlation", FLOAT, "correlation", "at this lag"),
        Column("pointwise_band", FLOAT, "correlation", "Bartlett's 95 % band for a single lag"),
        Column("band", FLOAT, "correlation", "95 % band for all lags together, for series that are autocorrelated"),
    ),
)

LEAD_LAG_PEAKS = Table(
    "oi_lead_lag_peaks",
    "the largest cross-correlation of two series of one symbol",
    (
        Column("symbol", _TEXT, "", "instrument"),
        Column("pair", _TEXT, "", "`first, second`: at a positive lag the first comes first"),
        Column("peak_lag_s", FLOAT, "s", "lag of the largest correlation in size"),
        Column("peak_low_s", FLOAT, "s", "95 % interval of that lag, block bootstrap, lower end"),
        Column("peak_high_s", FLOAT, "s", "upper end"),
        Column("correlation", FLOAT, "correlation", "there"),
        Column("band", FLOAT, "correlation", "95 % band for all lags together"),
        Column("p", FLOAT, "probability", "that independent series have as large a correlation at any of the lags"),
        Column("p_adjusted", FLOAT, "probability", "Benjamini-Hochberg over this table"),
    ),
)

OI_IC = Table(
    "oi_ic",
    "organic flow against total OI change as a forecast of one forward return",
    (
        Column("organic", _TEXT, "", "how liquidations are taken out of OI changes"),
        Column("horizon_s", COUNT, "s", "forward length of the return, from the first price after the bar"),
        Column("ic_organic", FLOAT, "correlation", "rank correlation of organic flow with the return"),
        Column("ic_total", FLOAT, "correlation", "rank correlation of the total change with the return, same bars"),
        Column("difference", FLOAT, "correlation", "the one less the other"),
        Column("ci_low", FLOAT, "correlation", f"{_BY_BLOCKS}, of the paired difference, lower end"),
        Column("ci_high", FLOAT, "correlation", "upper end"),
        Column("p", FLOAT, "probability", "two-sided p that there is no difference, same procedure"),
        Column("p_adjusted", FLOAT, "probability", "Benjamini-Hochberg over this table"),
        Column("n", COUNT, "", "bars"),
    ),
)

MAIN_BAR_MIN = 5
_BAR_WIDTHS_MIN = (1, 5, 15, 60)
_LAGS_S = range(0, 61, 5)
_HORIZONS_S = (300, 900, 3_600)
_REGIMES: tuple[tuple[str, int | None], ...] = (("all", None), ("quiet", QUIET), ("volatile", VOLATILE))
_BLOCK_MS = 360 * MS_PER_MINUTE
_MAX_LAG_MIN = 30
_MAX_LAG_INTERVALS = 12
_N_RESAMPLES = 499
#: Blocks of time that are resampled for the interval of a peak.
_BLOCK_S = 7_200
#: Bars that a trailing slope needs before it is used: a day.
_LEAST_BARS = 288


def explain_changes(evidence: Evidence, symbols: Sequence[str]) -> pl.DataFrame:
    """The table `OI_EXPLAINED`: by regime and bar size, by symbol, and by publication lag."""
    records = []
    for width_min in _BAR_WIDTHS_MIN:
        bars = make_bars(evidence, symbols, width_min)
        records += [_explain("ALL", words, bars, _inside(bars, code)) for words, code in _REGIMES]
        if width_min == MAIN_BAR_MIN:
            records += [_explain(name, "all", bars, bars.code == code) for code, name in enumerate(symbols)]
    for lag_s in _LAGS_S[1:]:
        bars = make_bars(evidence, symbols, MAIN_BAR_MIN, lag_s)
        records.append(_explain("ALL", "all", bars, _inside(bars, None), lag_s))
    frame = pl.DataFrame(
        records, schema=_without(OI_EXPLAINED, "p_zero_adjusted", "p_minus_one_adjusted"), orient="row"
    )
    return _finish(frame, OI_EXPLAINED, "p_zero", "p_minus_one")


def decompose_changes(evidence: Evidence, symbols: Sequence[str]) -> pl.DataFrame:
    """The table `OI_DECOMPOSITION`: each symbol by regime, in bars of 1 and 5 min."""
    records = []
    for width_min in (1, MAIN_BAR_MIN):
        bars = make_bars(evidence, symbols, width_min)
        for code, name in enumerate(symbols):
            for words, regime in _REGIMES:
                own = bars.is_known & (bars.code == code) & _inside(bars, regime)
                records.append((name, words, width_min, *_take_apart(bars, own)))
    return _finish(pl.DataFrame(records, schema=OI_DECOMPOSITION.dtypes, orient="row"), OI_DECOMPOSITION)


def relate_in_time(evidence: Evidence, symbols: Sequence[str], seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The tables `LEAD_LAG` and `LEAD_LAG_PEAKS`.

    Liquidated quantity with OI changes minute by minute, and returns with pressure on the ticker's own intervals.
    """
    lags, peaks = [LEAD_LAG.empty()], []
    for name, pair, step_s, found in _correlate(evidence, symbols, seed):
        if found.peak_lag is None:
            continue
        columns = {"lag_s": found.lags * step_s, "correlation": found.correlation}
        bands = [pl.lit(found.pointwise_band).alias("pointwise_band"), pl.lit(found.band).alias("band")]
        frame = pl.DataFrame(columns).with_columns(pl.lit(name).alias("symbol"), pl.lit(pair).alias("pair"), *bands)
        lags.append(frame.select(LEAD_LAG.names))
        ends = (found.peak_lag * step_s, found.peak_low * step_s, found.peak_high * step_s)
        peaks.append((name, pair, *ends, found.peak_correlation, found.band, found.p))
    table = pl.DataFrame(peaks, schema=_without(LEAD_LAG_PEAKS, "p_adjusted"), orient="row")
    return _finish(pl.concat(lags), LEAD_LAG), _finish(table, LEAD_LAG_PEAKS, "p")


def compare_forecasts(evidence: Evidence, symbols: Sequence[str]) -> pl.DataFrame:
    """The table `OI_IC`: which of the two, total OI change or its organic part, forecasts returns better."""
    bars = make_bars(evidence, symbols, MAIN_BAR_MIN)
    slopes = _trailing_slopes(bars)
    records = []
    for words, organic in (
        ("every forced order closed a contract", bars.change + bars.liquidated),
        ("trailing slope of OI changes on liquidated quantity", bars.change - slopes * bars.liquidated),
    ):
        for horizon_s in _HORIZONS_S:
            forward = _forward_returns(evidence, symbols, bars, horizon_s)
            records.append((words, horizon_s, *_compare_ranks(bars, organic, forward)))
    return _finish(pl.DataFrame(records, schema=_without(OI_IC, "p_adjusted"), orient="row"), OI_IC, "p")


def _explain(name: str, regime: str, bars: Bars, where: Booleans, lag_s: int = 0) -> tuple[object, ...]:
    fit, plain = fit_shared_variance(bars, where), fit_shared_variance(bars, where, kept_frac=1.0)
    slope, against_one = plain.describe_slope(0.0), plain.describe_slope(-1.0)
    width_min = bars.width_ms // MS_PER_MINUTE
    ends = (slope.estimate, slope.ci_low, slope.ci_high, slope.p, against_one.p)
    return (name, regime, width_min, lag_s, *fit.describe(), plain.r2, *ends, fit.n)


def _inside(bars: Bars, regime: int | None) -> Booleans:
    return np.ones(len(bars.code), dtype=bool) if regime is None else np.asarray(bars.regime == regime)


def _take_apart(bars: Bars, own: Booleans) -> tuple[float, ...]:
    """n to organic_frac of `OI_DECOMPOSITION`."""
    change, liquidated = (values[own] * bars.open_interest[own] for values in (bars.change, bars.liquidated))
    total, forced = float(change.sum()), float(liquidated.sum())
    falls, rises = float(-change[change < 0.0].sum()), float(change[change > 0.0].sum())
    completeness = forced / falls if falls > 0.0 else float("nan")
    r2 = fit_shared_variance(bars, own).r2
    return int(own.sum()), total, forced, total + forced, falls, rises, completeness, r2, 1.0 - r2


def _correlate(
    evidence: Evidence, symbols: Sequence[str], seed: int
) -> Iterator[tuple[str, str, float, CrossCorrelation]]:
    for name in symbols:
        minutes = make_bars(evidence, [name], 1)
        every = np.arange(evidence.start_ms + MS_PER_MINUTE, evidence.end_ms + 1, MS_PER_MINUTE)
        rows = (minutes.time_ms - every[0]) // MS_PER_MINUTE if len(every) else minutes.time_ms
        change, liquidated = np.full((2, len(every)), np.nan)
        change[rows], liquidated[rows] = minutes.change, minutes.liquidated
        found = compute_cross_correlation(liquidated, change, _MAX_LAG_MIN, _N_RESAMPLES, seed, _BLOCK_S // 60)
        yield name, "liquidated quantity, OI change", 60.0, found
        symbol = evidence.symbols[name]
        own = measure_intervals(symbol)
        if own.n_liquidations:
            step_s = symbol.ticker_interval_s
            found = compute_cross_correlation(
                own.return_bps,
                own.pressure_usd,
                _MAX_LAG_INTERVALS,
                _N_RESAMPLES,
                seed,
                max(int(_BLOCK_S / step_s), 2 * _MAX_LAG_INTERVALS + 1),
            )
            yield name, "return, signed liquidated notional", step_s, found


def _trailing_slopes(bars: Bars) -> Floats:
    """Slope of OI changes on liquidated quantity over the symbol's bars up to each; NaN for its first day."""
    slopes = np.full(len(bars.code), np.nan)
    for code in np.unique(bars.code).tolist():
        rows = np.flatnonzero((bars.code == code) & bars.is_known)
        x, y = bars.liquidated[rows], bars.change[rows]
        n, sx, sy, sxx, sxy = (np.cumsum(values) for values in (np.ones(len(rows)), x, y, x * x, x * y))
        spread = sxx - sx * sx / n
        usable = (n >= _LEAST_BARS) & (spread > 1e-12 * sxx)
        slopes[rows[usable]] = ((sxy - sx * sy / n)[usable]) / spread[usable]
    return slopes


def _forward_returns(evidence: Evidence, symbols: Sequence[str], bars: Bars, horizon_s: int) -> Floats:
    forward = np.full(len(bars.code), np.nan)
    for code, name in enumerate(symbols):
        rows = bars.code == code
        forward[rows] = evidence.symbols[name].forward_return_bps(bars.time_ms[rows], horizon_s * MS_PER_S)
    return forward


def _compare_ranks(bars: Bars, organic: Floats, forward: Floats) -> tuple[float, ...]:
    """ic_organic to n of `OI_IC` but for the adjusted p: ranks within each symbol, influence of Pearson on ranks."""
    rows = np.flatnonzero(np.isfinite(organic) & np.isfinite(bars.change) & np.isfinite(forward))
    code = bars.code[rows]
    label, *signals = (_rank_within(values[rows], code) for values in (forward, organic, bars.change))
    if len(rows) < 3:
        return (*(float("nan"),) * 6, len(rows))
    ics = [float((signal * label).mean()) for signal in signals]
    influences = [signal * label - ic / 2.0 * (signal**2 + label**2) for signal, ic in zip(signals, ics, strict=True)]
    blocks = bars.time_ms[rows] // _BLOCK_MS
    found = estimate_by_influence(ics[0] - ics[1], (influences[0] - influences[1]) / len(rows), blocks)
    return (*ics, found.estimate, found.ci_low, found.ci_high, found.p, len(rows))


def _rank_within(values: Floats, code: Integers) -> Floats:
    """Ranks within each symbol, of mean 0 and variance 1; zero without spread."""
    ranks = np.zeros(len(values))
    for own in np.unique(code).tolist():
        rows = code == own
        ranked = rank_average(values[rows])
        spread = float(ranked.std())
        ranks[rows] = (ranked - ranked.mean()) / spread if spread > 0.0 else 0.0
    return ranks


def _without(table: Table, *names: str) -> dict[str, pl.DataType]:
    return {name: dtype for name, dtype in table.dtypes.items() if name not in names}


def _finish(frame: pl.DataFrame, table: Table, *p_columns: str) -> pl.DataFrame:
    """The frame with adjusted p beside each p, null for NaN, columns as declared."""
    adjusted = [
        pl.Series(f"{name}_adjusted", adjust_benjamini_hochberg(frame[name].to_numpy()), FLOAT) for name in p_columns
    ]
    return frame.with_columns(*adjusted).with_columns(pl.selectors.float().fill_nan(None)).select(table.names)

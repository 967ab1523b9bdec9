"""Contagion between series of liquidated notional: cross-correlations, leads and lags, conditional Granger tests."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, permutations
from typing import Any

import numpy as np
import polars as pl

from liqlab.core.time import MS_PER_HOUR, MS_PER_MINUTE, MS_PER_S
from liqlab.stats import (
    CrossCorrelation,
    GrangerConfig,
    adjust_benjamini_hochberg,
    adjust_benjamini_yekutieli,
    compute_cross_correlation,
    compute_granger,
)
from liqlab.study._evidence import STEP_MS, Evidence, Floats, SymbolEvidence
from liqlab.study._inference import QuestionConfig
from liqlab.study._q7_contagion_regimes import sum_notional
from liqlab.study._q7_contagion_tables import CONTAGION_CORRELATIONS, CONTAGION_GRANGER, CONTAGION_LEADS

#: Bar widths in steps of the grid, and how far leads and lags are followed at each, in bars.
_WIDTHS = {1: 12, 6: 10, 12: 10}
_GRANGER_STEPS = MS_PER_MINUTE // STEP_MS
_MOST_LAGS, _FIXED_LAGS = 4, (1,)
_LEAST_EFFECTIVE = 10.0
#: Resamples of whole hours behind the interval of a peak.
_PEAK_RESAMPLES = 999


def correlate_pairs(
    evidence: Evidence, leader: str | None, config: QuestionConfig
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Tables `contagion_correlations` (every pair and width) and `contagion_leads` (lags of BTC and each other symbol).

    A pair with BTC has BTC first. See `stats.compute_cross_correlation`.
    """
    names = sorted(evidence.symbols, key=lambda name: name != leader)
    pairs: list[dict[str, Any]] = []
    leads: list[dict[str, Any]] = []
    for steps, most in _WIDTHS.items():
        bars = {name: _sum_bars(evidence.symbols[name], steps) for name in names}
        seconds = steps * STEP_MS / MS_PER_S
        for first, second in combinations(names, 2):
            found = compute_cross_correlation(
                bars[first], bars[second], most, _PEAK_RESAMPLES, config.seed, max(MS_PER_HOUR // STEP_MS // steps, 1)
            )
            pairs.append({"first": first, "second": second, "width_s": seconds, **_describe_peak(found, seconds)})
            if first == leader:
                leads += _list_lags(found, first, second, seconds)
    rows = add_adjusted(pairs, adjust_benjamini_hochberg)
    return (
        pl.DataFrame(rows, schema=CONTAGION_CORRELATIONS.dtypes, orient="row"),
        pl.DataFrame(leads, schema=CONTAGION_LEADS.dtypes, orient="row"),
    )


def _sum_bars(symbol: SymbolEvidence, steps: int) -> Floats:
    """log(1 + USD liquidated) of whole bars of `steps`, aligned in calendar time."""
    ends = symbol.times_ms % (steps * STEP_MS) == 0
    return np.asarray(sum_notional(symbol, steps)[ends])


def _describe_peak(found: CrossCorrelation, seconds: float) -> dict[str, Any]:
    most = len(found.lags) // 2
    ahead, behind = found.correlation[most + 1 :].mean(), found.correlation[:most].mean()
    return {
        "correlation": _number(found.correlation[most]),
        "peak_lag_s": None if found.peak_lag is None else found.peak_lag * seconds,
        "peak_low_s": _number(found.peak_low * seconds),
        "peak_high_s": _number(found.peak_high * seconds),
        "peak_correlation": _number(found.peak_correlation),
        "band": _number(found.band),
        "p": _number(found.p),
        "asymmetry": _number(ahead - behind),
    }


def _list_lags(found: CrossCorrelation, first: str, second: str, seconds: float) -> list[dict[str, Any]]:
    return [
        {
            "first": first,
            "second": second,
            "width_s": seconds,
            "lag_s": lag * seconds,
            "correlation": _number(correlation),
            "pointwise_band": _number(found.pointwise_band),
            "band": _number(found.band),
        }
        for lag, correlation in zip(found.lags.tolist(), found.correlation.tolist(), strict=True)
    ]


def list_granger(evidence: Evidence) -> pl.DataFrame:
    """Table `contagion_granger`: every ordered pair of symbols, at lags by criterion and at fixed ones.

    Bars of a minute: in sparser ones the test rests on a few coincidences. Given are the returns of both assets, their
    sizes, and their trailing volatility, at the same lags. The p is that of the sum of the coefficients, which keeps
    its size in sparse bars better than the joint test.
    """
    names = list(evidence.symbols)
    bars = {name: _sum_bars(evidence.symbols[name], _GRANGER_STEPS) for name in names}
    given = {name: _describe_minutes(evidence.symbols[name]) for name in names}
    rows: list[dict[str, Any]] = []
    for cause, effect in permutations(names, 2):
        conditions = np.column_stack([given[cause], given[effect]])
        for lags in (None, *_FIXED_LAGS):
            settings = GrangerConfig(lags=lags, max_lags=_MOST_LAGS)
            found = compute_granger(bars[effect], bars[cause], conditions, settings)
            trusted = found.sum_n_effective >= _LEAST_EFFECTIVE
            rows.append(
                {
                    "cause": cause,
                    "effect": effect,
                    "bar_s": _GRANGER_STEPS * STEP_MS / MS_PER_S,
                    "lags": found.lags,
                    "lag_rule": "criterion" if lags is None else "fixed",
                    "coefficient_sum": _number(found.coefficient_sum),
                    "ci_low": _number(found.ci_low),
                    "ci_high": _number(found.ci_high),
                    "p": _number(found.sum_p) if trusted else None,
                    "gain_frac": _number(found.gain_frac),
                    "n_effective": _number(found.sum_n_effective),
                    "n": found.n,
                }
            )
    adjusted = add_adjusted(rows, adjust_benjamini_yekutieli)
    return pl.DataFrame(adjusted, schema=CONTAGION_GRANGER.dtypes, orient="row")


def add_adjusted(rows: list[dict[str, Any]], adjust: Callable[[list[float]], Floats]) -> list[dict[str, Any]]:
    """The rows with `p_adjusted` over all of them, None where there is no p."""
    if not rows:
        return []
    adjusted = adjust([np.nan if row["p"] is None else row["p"] for row in rows])
    return [row | {"p_adjusted": _number(value)} for row, value in zip(rows, adjusted.tolist(), strict=True)]


def _describe_minutes(symbol: SymbolEvidence) -> Floats:
    """Return of the minute in units of the hour's volatility, its size, and the log of the realised move, (n, 3)."""
    ends = symbol.times_ms % MS_PER_MINUTE == 0
    volatility = symbol.volatility_bps / np.sqrt(60.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        move = symbol.trailing_return_bps(60) / volatility
        table = np.column_stack([move, np.log1p(np.abs(move)), np.log(volatility)])
    table[~np.isfinite(table)] = np.nan
    return np.asarray(table[ends])


def _number(value: float | np.floating[Any]) -> float | None:
    return float(value) if np.isfinite(value) else None

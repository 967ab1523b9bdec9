"""How good the forecasts of question 5 are, model by model and against one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from liqlab.core.schema import Table, check_frame
from liqlab.core.time import MS_PER_HOUR, MS_PER_MINUTE
from liqlab.stats import (
    Estimate,
    adjust_benjamini_hochberg,
    diebold_mariano,
    estimate_by_influence,
    rank_average,
)
from liqlab.study._evidence import Booleans, Floats
from liqlab.study._q5_volatility_forecasts import Forecasts
from liqlab.study._q5_volatility_rows import HORIZONS_MIN, VolatilityRows
from liqlab.study._q5_volatility_tables import COMPARISONS, FORECASTS

ALL = "ALL"
PRICE, BOTH, RATES, ATR, BOLLINGER = (
    "price only",
    "price and liquidations",
    "liquidations alone",
    "ATR alone",
    "Bollinger alone",
)
MODELS = (PRICE, BOTH, RATES, ATR, BOLLINGER)
#: The past mean of each symbol, against which R2 is measured.
MEAN = "past mean"
_PAIRS = ((BOTH, PRICE), (BOTH, ATR), (BOTH, BOLLINGER), (RATES, ATR), (RATES, BOLLINGER))
_BLOCK_MS = 2 * MS_PER_HOUR
_LEAST_BLOCKS = 8
_NAN = float("nan")


def lose_qlike(target: Floats, log_forecast: Floats) -> Floats:
    """QLIKE of a variance forecast, RV / F - log(RV / F) - 1, from the logs of both: Patton (2011)."""
    ratio = target - log_forecast
    loss: Floats = np.exp(ratio) - ratio - 1.0
    return loss


def describe_forecasts(rows: VolatilityRows, forecasts: Mapping[int, Mapping[str, Forecasts]]) -> pl.DataFrame:
    """R2, QLIKE and IC of each model's forecasts by horizon (in minutes), for each symbol and for all."""
    records = []
    for column, horizon in enumerate(HORIZONS_MIN):
        models, target = forecasts[horizon], rows.target[:, :, column]
        known = np.isfinite(target) & np.isfinite(models[MEAN].values)
        for model in MODELS:
            ics = [
                _correlate_ranks(models[model].values[code], target[code], known[code]) for code in range(len(known))
            ]
            for code, symbol in enumerate((*rows.symbols, ALL)):
                own = slice(None) if symbol == ALL else slice(code, code + 1)
                r2, qlike = _score(rows, models, model, target, known, own, horizon)
                defined = [ic for ic in ics[own] if np.isfinite(ic)]
                ic = float(np.mean(defined)) if defined else _NAN
                n = int(known[own].sum())
                records.append((horizon, symbol, model, n, r2.estimate, r2.ci_low, r2.ci_high, qlike, ic))
    return _frame(FORECASTS, records)


def describe_comparisons(rows: VolatilityRows, forecasts: Mapping[int, Mapping[str, Forecasts]]) -> pl.DataFrame:
    """Diebold-Mariano tests of the models with liquidations against those without, by horizon and loss."""
    records: list[tuple[object, ...]] = []
    for column, horizon in enumerate(HORIZONS_MIN):
        models, target = forecasts[horizon], rows.target[:, :, column]
        losses = {
            "QLIKE": {name: lose_qlike(target, model.of_mean) for name, model in models.items()},
            "squared error": {name: (target - model.values) ** 2 for name, model in models.items()},
        }
        for loss, by_model in losses.items():
            means = {name: _mean_over_symbols(values) for name, values in by_model.items()}
            records += [(horizon, loss, a, b, *_compare(means[a], means[b], horizon)) for a, b in _PAIRS]
    frame = _frame(COMPARISONS, records)
    adjusted = adjust_benjamini_hochberg(frame["p"].fill_null(_NAN).to_numpy())
    return frame.with_columns(p_adjusted=pl.Series(adjusted).fill_nan(None))


def _score(
    rows: VolatilityRows,
    models: Mapping[str, Forecasts],
    model: str,
    target: Floats,
    known: Booleans,
    own: slice,
    horizon_min: int,
) -> tuple[Estimate, float]:
    """R2 against the past mean with its interval, and the mean QLIKE."""
    where = known[own]
    y, forecast, mean = target[own][where], models[model].values[own][where], models[MEAN].values[own][where]
    qlike = lose_qlike(y, models[model].of_mean[own][where])
    times = np.broadcast_to(rows.times_ms, where.shape)[where]
    error, reference = (y - forecast) ** 2, (y - mean) ** 2
    total = float(reference.sum())
    if not total > 0.0:
        return Estimate(_NAN, _NAN, _NAN, _NAN, _NAN, _NAN, 0, 0), _NAN
    ratio = float(error.sum()) / total
    blocks = times // max(_BLOCK_MS, 2 * horizon_min * MS_PER_MINUTE)
    found = estimate_by_influence(1.0 - ratio, (ratio * reference - error) / total, blocks)
    if found.n_clusters < _LEAST_BLOCKS:
        found = Estimate(1.0 - ratio, _NAN, _NAN, _NAN, _NAN, _NAN, y.size, found.n_clusters)
    return found, float(qlike.mean())


def _correlate_ranks(forecast: Floats, target: Floats, known: Booleans) -> float:
    if known.sum() < 3:
        return _NAN
    a, b = rank_average(forecast[known]), rank_average(target[known])
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0.0 else _NAN


def _mean_over_symbols(losses: Floats) -> Floats:
    """Mean loss of each minute (m,), NaN where no symbol has one."""
    count = np.isfinite(losses).sum(axis=0)
    total = np.where(np.isfinite(losses), losses, 0.0).sum(axis=0)
    mean: Floats = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    return mean


def _compare(loss: Floats, other: Floats, horizon_min: int) -> tuple[int, float, float, float, float, float, float]:
    """Minutes, gain in % with interval, t, p, and room for the adjusted p."""
    both = np.isfinite(loss) & np.isfinite(other)
    scale = float(other[both].mean()) / 100.0 if both.any() else _NAN
    found = diebold_mariano(other, loss, horizon_min)
    gain, low, high = (value / scale if scale > 0.0 else _NAN for value in (found.mean, found.ci_low, found.ci_high))
    return int(both.sum()), gain, low, high, found.t, found.p, _NAN


def _frame(table: Table, records: Sequence[tuple[object, ...]]) -> pl.DataFrame:
    return check_frame(pl.DataFrame(list(records), schema=table.dtypes, orient="row").fill_nan(None), table)

"""What out-of-fold forecasts are worth, with intervals that hold under overlap.

Simultaneous symbols are one time point: every measure is a ratio of sums over time points, and its interval is that of
the mean of the measure's influence at each of them, by equal-weighted cosines (`stats.fixed_b_mean`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liqlab.core.schema import Table
from liqlab.models._ic_config import RETURN, VOLATILITY, Target
from liqlab.models._models import MODELS, WITHOUT
from liqlab.models._walk_forward_sample import Sample
from liqlab.models._walk_forward_tables import ALL, COMPARISONS, SCORES
from liqlab.stats import (
    MeanInference,
    adjust_benjamini_hochberg,
    choose_cosines,
    diebold_mariano,
    fixed_b_mean,
    rank_average,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

SQUARED_ERROR, QLIKE = "squared error", "QLIKE"
_LOSSES = {RETURN: (SQUARED_ERROR,), VOLATILITY: (SQUARED_ERROR, QLIKE)}
_BASELINES = {RETURN: ("zero", "mean"), VOLATILITY: ("mean", "har")}
_TOO_SHORT = "too few independent stretches of the horizon's length for an interval"
_ONE_FOLD = "fewer than two folds: not testable"


@dataclass(frozen=True)
class Forecasts:
    """Out-of-fold forecasts of one target and split: by model, (n,) over the sample's rows, NaN where there is none."""

    target: Target
    split: str
    step_ms: int
    overlap: int
    n_folds: int
    by_model: Mapping[str, Floats]


@dataclass(frozen=True)
class _Rows:
    """Rows of one symbol, or all, that have an outcome; arrays of shape (n,).

    `moments` are time points counted in steps from the first; `weights` make the mean squared label of every symbol 1.
    """

    symbol: str
    rows: Integers
    codes: Integers
    moments: Integers
    labels: Floats
    weights: Floats
    overlap: int
    testable: bool

    def keep(self, mask: Mask) -> _Rows:
        """The rows of a mask (n,)."""
        return replace(
            self,
            rows=self.rows[mask],
            codes=self.codes[mask],
            moments=self.moments[mask],
            labels=self.labels[mask],
            weights=self.weights[mask],
        )

    @property
    def n_times(self) -> int:
        """Distinct time points."""
        return int(np.unique(self.moments).size)


@dataclass(frozen=True)
class _Estimate:
    value: float
    ci_low: float = float("nan")
    ci_high: float = float("nan")
    note: str = ""


def compute_scores(sample: Sample, forecasts: Forecasts) -> pl.DataFrame:
    """R2 against the baselines, IC, hit rate and QLIKE of every model, pooled and per symbol: the table `SCORES`."""
    found = [row for rows in _selections(sample, forecasts) for row in _score_rows(forecasts, rows)]
    return _frame(found, SCORES)


def compute_comparisons(sample: Sample, forecasts: Forecasts) -> pl.DataFrame:
    """Diebold-Mariano tests, pooled and per symbol: the table `COMPARISONS`, `p_adjusted` not filled yet."""
    found = [row for rows in _selections(sample, forecasts) for row in _comparison_rows(forecasts, rows)]
    return _frame(found, COMPARISONS)


def adjust_comparisons(comparisons: pl.DataFrame) -> pl.DataFrame:
    """The table with Benjamini-Hochberg p over all its rows; one without p counts as 1 in the family."""
    if comparisons.height == 0:
        return comparisons
    p = comparisons["p"].fill_null(float("nan")).to_numpy()
    adjusted = pl.Series("p_adjusted", np.asarray(adjust_benjamini_hochberg(p), dtype=np.float64))
    return comparisons.with_columns(adjusted.fill_nan(None))


def _frame(rows: list[dict[str, Any]], table: Table) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=table.dtypes, orient="row")
    return frame.with_columns(pl.selectors.float().fill_nan(None))


def _selections(sample: Sample, forecasts: Forecasts) -> Iterator[_Rows]:
    """All symbols together, then each."""
    labels = sample.labels[forecasts.target.column]
    predicted = [np.isfinite(values) for values in forecasts.by_model.values()]
    rows = np.flatnonzero(np.isfinite(labels) & np.any(predicted, axis=0)) if predicted else np.empty(0, np.int64)
    if rows.size == 0:
        return
    codes, times = sample.codes[rows], sample.times_ms[rows]
    squares = np.bincount(codes, weights=labels[rows] ** 2, minlength=len(sample.symbols))
    counts = np.bincount(codes, minlength=len(sample.symbols))
    weight = np.divide(counts, squares, out=np.ones(counts.size), where=squares > 0.0)
    moments = (times - times[0]) // forecasts.step_ms
    testable = forecasts.n_folds >= 2
    everything = _Rows(ALL, rows, codes, moments, labels[rows], weight[codes], forecasts.overlap, testable)
    yield everything
    for code, symbol in enumerate(sample.symbols):
        own = everything.keep(codes == code)
        if own.rows.size:
            yield replace(own, symbol=symbol)


def _head(forecasts: Forecasts, rows: _Rows) -> dict[str, Any]:
    target = forecasts.target
    return {"target": target.kind, "horizon_s": target.horizon_s, "split": forecasts.split, "symbol": rows.symbol}


def _score_rows(forecasts: Forecasts, rows: _Rows) -> Iterator[dict[str, Any]]:
    for model, values in forecasts.by_model.items():
        own = rows.keep(np.isfinite(values[rows.rows]))
        if own.rows.size == 0:
            continue
        for metric, against, estimate, n in _measures(forecasts, own, model):
            yield {
                **_head(forecasts, rows),
                "model": model,
                "metric": metric,
                "against": against,
                "value": estimate.value,
                "ci_low": estimate.ci_low,
                "ci_high": estimate.ci_high,
                "n": n,
                "n_times": own.n_times,
                "note": estimate.note,
            }


def _measures(forecasts: Forecasts, rows: _Rows, model: str) -> Iterator[tuple[str, str, _Estimate, int]]:
    forecast = forecasts.by_model[model][rows.rows]
    for baseline in _BASELINES[forecasts.target.kind]:
        other = forecasts.by_model.get(baseline)
        if other is not None and baseline != model:
            shared = np.isfinite(other[rows.rows])
            yield "r2", baseline, _r2(rows.keep(shared), forecast[shared], other[rows.rows][shared]), int(shared.sum())
    yield "ic", "", _information_coefficient(rows, forecast), rows.rows.size
    centre = _centre(forecasts, rows)
    decided = np.isfinite(centre) & (forecast != centre) & (rows.labels != centre)
    hits = _hit_rate(rows.keep(decided), (forecast - centre)[decided], centre[decided])
    yield "hit_rate", "", hits, int(decided.sum())
    if forecasts.target.kind == VOLATILITY:
        positive = (rows.labels > 0.0) & (forecast > 0.0)
        own = rows.keep(positive)
        losses = _qlike(own.labels, forecast[positive])
        yield "qlike", "", _ratio(own, losses, np.ones(own.rows.size)), own.rows.size


def _centre(forecasts: Forecasts, rows: _Rows) -> Floats:
    """What a direction is counted from: zero for returns, the training mean of the symbol for volatility."""
    if forecasts.target.kind == RETURN:
        return np.zeros(rows.rows.size)
    mean = forecasts.by_model.get("mean")
    return np.full(rows.rows.size, np.nan) if mean is None else mean[rows.rows]


def _ratio(rows: _Rows, numerator: Floats, denominator: Floats) -> _Estimate:
    """sum(numerator) / sum(denominator), (n,) each, with the interval of its influence per time point.

    With sums a_t and b_t over the symbols at t and r = sum a / sum b, the influence r + (a_t - r b_t) / mean(b) has
    mean r, and its standard error is that of r to first order (delta method).
    """
    total = float(denominator.sum())
    if rows.rows.size == 0 or not total > 0.0:
        return _Estimate(float("nan"), note="no row to measure on")
    value = float(numerator.sum()) / total
    per_time = _per_time(rows, numerator - value * denominator)
    mean_denominator = total / rows.n_times
    return _with_interval(rows, value, value + per_time / mean_denominator)


def _per_time(rows: _Rows, values: Floats) -> Floats:
    """Sums over simultaneous symbols on the regular grid of time points; NaN where there is no row."""
    moments = rows.moments - rows.moments.min()
    sums = np.bincount(moments, weights=values)
    return np.where(np.bincount(moments) > 0, sums, np.nan)


def _with_interval(rows: _Rows, value: float, influence: Floats) -> _Estimate:
    if not rows.testable:
        return _Estimate(value, note=_ONE_FOLD)
    cosines = choose_cosines(rows.n_times, rows.overlap)
    if cosines is None:
        return _Estimate(value, note=_TOO_SHORT)
    found = fixed_b_mean(influence, cosines)
    return _Estimate(value, found.ci_low, found.ci_high)


def _r2(rows: _Rows, forecast: Floats, baseline: Floats) -> _Estimate:
    """1 - sum of squared errors / sum of the baseline's, each symbol's in units of its mean squared label."""
    own = rows.weights * (rows.labels - forecast) ** 2
    other = rows.weights * (rows.labels - baseline) ** 2
    return _ratio(rows, other - own, other)


def _information_coefficient(rows: _Rows, forecast: Floats) -> _Estimate:
    """Spearman correlation of forecast and label, ranked within each symbol.

    Its influence at a row is zx zy - ic (zx^2 + zy^2) / 2, z the standardised ranks.
    """
    x, y = (_standardised_ranks(values, rows.codes) for values in (forecast, rows.labels))
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        return _Estimate(float("nan"), note="forecast or outcome is constant")
    rows, x, y = rows.keep(known), x[known], y[known]
    ic = float(np.mean(x * y))
    per_time = _per_time(rows, x * y - ic * (x * x + y * y) / 2)
    return _with_interval(rows, ic, ic + per_time * rows.n_times / rows.rows.size)


def _standardised_ranks(values: Floats, codes: Integers) -> Floats:
    """Ranks within each symbol with mean 0 and variance 1; NaN for a symbol whose values are all equal."""
    found = np.full(values.size, np.nan)
    for code in np.unique(codes):
        own = codes == code
        ranks = rank_average(values[own])
        centred = ranks - ranks.mean()
        deviation = float(np.sqrt(np.mean(centred**2)))
        if deviation > 0.0:
            found[own] = centred / deviation
    return found


def _hit_rate(rows: _Rows, side: Floats, centre: Floats) -> _Estimate:
    """Share of rows whose outcome lies on the forecast side of the centre; rows exactly on it do not count."""
    hits = (np.sign(side) == np.sign(rows.labels - centre)).astype(np.float64)
    return _ratio(rows, hits, np.ones(hits.size))


def _qlike(labels: Floats, forecast: Floats) -> Floats:
    """y / f - ln(y / f) - 1: Patton's (2011) loss, least on average for the mean of y; zero for a perfect forecast."""
    share = labels / forecast
    return np.asarray(share - np.log(share) - 1.0)


def _pairs(forecasts: Forecasts) -> Iterator[tuple[str, str]]:
    """(model, against): each model with the baselines before it, and with itself without liquidation columns."""
    present = [model.name for model in MODELS if model.name in forecasts.by_model]
    baselines = [name for name in _BASELINES[forecasts.target.kind] if name in present]
    for model in present:
        earlier = baselines[: baselines.index(model)] if model in baselines else baselines
        yield from ((model, against) for against in earlier)
        if f"{model}{WITHOUT}" in present:
            yield model, f"{model}{WITHOUT}"


def _comparison_rows(forecasts: Forecasts, rows: _Rows) -> Iterator[dict[str, Any]]:
    for model, against in _pairs(forecasts):
        own, other = forecasts.by_model[model][rows.rows], forecasts.by_model[against][rows.rows]
        both = np.isfinite(own) & np.isfinite(other)
        for loss in _LOSSES[forecasts.target.kind]:
            kept = both & (rows.labels > 0.0) & (own > 0.0) & (other > 0.0) if loss == QLIKE else both
            if kept.any():
                compared = _compare(rows.keep(kept), own[kept], other[kept], loss)
                words = {
                    "null": f"the expected {loss} of {model} equals that of {against}",
                    "alternative": f"the expected {loss} of {model} differs from that of {against}",
                }
                yield {
                    **_head(forecasts, rows),
                    "loss": loss,
                    "model": model,
                    "against": against,
                    **compared,
                    **words,
                    "p_adjusted": None,
                }


def _compare(rows: _Rows, forecast: Floats, against: Floats, loss: str) -> dict[str, Any]:
    """Mean loss saved, as a share of the other's, tested on the series of mean losses per time point."""
    if loss == QLIKE:
        own, other = _qlike(rows.labels, forecast), _qlike(rows.labels, against)
    else:
        own, other = (rows.weights * (rows.labels - values) ** 2 for values in (forecast, against))
    share = rows.n_times / rows.rows.size
    own_series, other_series = _per_time(rows, own) * share, _per_time(rows, other) * share
    mean_loss = float(np.nanmean(other_series))
    found, note = _test(rows, own_series, other_series)
    unit = 1.0 / mean_loss if mean_loss > 0.0 else float("nan")
    return {
        "gain": float(np.nanmean(other_series - own_series)) * unit,
        "ci_low": found.ci_low * unit if found else float("nan"),
        "ci_high": found.ci_high * unit if found else float("nan"),
        "t": found.t if found else float("nan"),
        "p": found.p if found else float("nan"),
        "n_times": rows.n_times,
        "note": note,
    }


def _test(rows: _Rows, own: Floats, other: Floats) -> tuple[MeanInference | None, str]:
    if not rows.testable:
        return None, _ONE_FOLD
    if choose_cosines(rows.n_times, rows.overlap) is None:
        return None, _TOO_SHORT
    if np.array_equal(own, other, equal_nan=True):
        return None, "the forecasts are the same"
    return diebold_mariano(other, own, rows.overlap), ""

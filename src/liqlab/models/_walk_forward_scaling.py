"""Scales learned on a training window and applied after it: of the columns, and of what is forecast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_TAIL_FRAC = 0.005
#: Returns count for no more than this many scale units in training.
_LONGEST_RETURN = 5.0
#: Share of training rows that must lack a column, or have it, for its absence to be a column of its own.
_INDICATOR_FRAC = 0.01


@dataclass(frozen=True)
class ColumnScaler:
    """Per symbol and column: winsorising bounds, mean, standard deviation, median; each of shape (symbols, columns).

    Bounds are the 0.5 % and 99.5 % quantiles of the training values other than zero, widened to zero where that occurs:
    of a column that is zero most of the time, quantiles over everything would cut off whatever happens. Columns
    without spread in a symbol become 0 there; a symbol without training rows has NaN throughout.
    """

    low: Floats
    high: Floats
    mean: Floats
    deviation: Floats
    median: Floats

    @classmethod
    def fit(cls, values: Floats, codes: Integers, n_symbols: int) -> ColumnScaler:
        """Learn from `values` (n, k) of the symbols `codes` (n,); NaN is missing."""
        parts = [_fit_symbol(values[codes == code]) for code in range(n_symbols)]
        return cls(*(np.stack(part) for part in zip(*parts, strict=True)))

    @property
    def varies(self) -> NDArray[np.bool_]:
        """Columns that vary within at least one symbol, shape (k,)."""
        return np.asarray((self.deviation > 0.0).any(axis=0))

    def transform(self, values: Floats, codes: Integers) -> Floats:
        """Winsorised values in standard deviations from the training mean of their symbol, (n, k); NaN stays."""
        clipped = np.clip(values, self.low[codes], self.high[codes]) - self.mean[codes]
        deviation = self.deviation[codes]
        return np.divide(clipped, deviation, out=np.where(np.isnan(clipped), np.nan, 0.0), where=deviation > 0.0)

    def impute(self, scaled: Floats, codes: Integers) -> Floats:
        """Scaled values with the training median of their symbol, else its mean, in place of NaN; (n, k)."""
        spread = np.where(self.deviation > 0.0, self.deviation, 1.0)
        median = np.nan_to_num((self.median - self.mean) / spread)
        return np.where(np.isnan(scaled), median[codes], scaled)


def _fit_symbol(values: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Bounds, mean, standard deviation and lower median of each column of one symbol, each (k,)."""
    missing = np.full(values.shape[1], np.nan)
    if values.shape[0] == 0:
        return missing, missing, missing, missing, missing
    ordered = np.sort(np.where(values == 0.0, np.nan, values), axis=0)
    n_other = np.isfinite(ordered).sum(axis=0)
    n_zero = (values == 0.0).sum(axis=0)
    low = _at(ordered, np.floor(_TAIL_FRAC * (n_other - 1)), n_other)
    high = _at(ordered, np.ceil((1.0 - _TAIL_FRAC) * (n_other - 1)), n_other)
    low = np.where(n_zero > 0, np.fmin(low, 0.0), low)
    high = np.where(n_zero > 0, np.fmax(high, 0.0), high)
    clipped = np.clip(values, low, high)
    n = n_other + n_zero
    mean = np.divide(np.nansum(clipped, axis=0), n, out=missing.copy(), where=n > 0)
    square = np.divide(np.nansum((clipped - mean) ** 2, axis=0), n, out=np.zeros(n.size), where=n > 0)
    deviation = np.where(high > low, np.sqrt(square), 0.0)
    return low, high, mean, deviation, np.clip(_lower_median(ordered, n_zero, n_other), low, high)


def _at(ordered: Floats, places: Floats, counts: Integers) -> Floats:
    """The value at each column's place; NaN in a column without values."""
    rows = np.clip(places, 0, ordered.shape[0] - 1).astype(np.int64)
    return np.where(counts > 0, np.take_along_axis(ordered, rows[None, :], axis=0)[0], np.nan)


def _lower_median(ordered: Floats, n_zero: Integers, n_other: Integers) -> Floats:
    """The lower median of each column, whose zeros stand outside `ordered`."""
    n_negative = (ordered < 0.0).sum(axis=0)
    place = (n_other + n_zero - 1) // 2
    below = _at(ordered, place.astype(np.float64), n_other)
    above = _at(ordered, (place - n_zero).astype(np.float64), n_other)
    median = np.where(place < n_negative, below, np.where(place < n_negative + n_zero, 0.0, above))
    return np.where(n_other + n_zero > 0, median, np.nan)


@dataclass(frozen=True)
class MissingColumns:
    """Which columns' absence is a column of its own: one per distinct pattern, with its training mean."""

    columns: Integers
    mean: Floats

    @classmethod
    def fit(cls, scaled: Floats) -> MissingColumns:
        """Learn from the scaled training values (n, k)."""
        absent = np.isnan(scaled)
        share = absent.mean(axis=0)
        candidates = np.flatnonzero((share >= _INDICATOR_FRAC) & (share <= 1.0 - _INDICATOR_FRAC))
        patterns: dict[bytes, int] = {}
        for column in candidates:
            patterns.setdefault(np.packbits(absent[:, column]).tobytes(), int(column))
        columns = np.array(list(patterns.values()), dtype=np.int64)
        return cls(columns, share[columns])

    def transform(self, scaled: Floats) -> Floats:
        """1 where the column is absent, else 0, less the training mean; (n, k) to (n, patterns)."""
        return np.asarray(np.isnan(scaled[:, self.columns]) - self.mean)


class TargetScale(Protocol):
    """What a model forecasts in place of the label, and the way back."""

    def forward(self, labels: Floats, codes: Integers, volatility: Floats) -> Floats:
        """The model's target of each row, (n,)."""

    def back(self, forecasts: Floats, codes: Integers, volatility: Floats, factor: float) -> Floats:
        """The forecast label of each row, (n,); `factor` corrects the mean where the way back is not linear."""


@dataclass(frozen=True)
class ReturnScale:
    """Returns in units of trailing volatility, so that quiet and wild hours, and symbols, weigh alike.

    A row's unit is ratio x max(trailing volatility, floor) of its symbol, where ratio makes the mean square of the
    training returns 1 and the floor is the 10 % quantile of the training volatilities; where the trailing volatility is
    missing, the root mean square of the symbol's training returns. All of shape (symbols,).
    """

    ratio: Floats
    floor: Floats
    fallback: Floats

    @classmethod
    def fit(cls, labels: Floats, codes: Integers, volatility: Floats, n_symbols: int) -> ReturnScale:
        """Learn from training labels (n,) without NaN."""
        parts = [_return_units(labels[codes == code], volatility[codes == code]) for code in range(n_symbols)]
        return cls(*(np.array(part) for part in zip(*parts, strict=True)))

    def _units(self, codes: Integers, volatility: Floats) -> Floats:
        by_volatility = self.ratio[codes] * np.fmax(volatility, self.floor[codes])
        usable = np.isfinite(volatility) & np.isfinite(by_volatility)
        return np.where(usable, by_volatility, self.fallback[codes])

    def forward(self, labels: Floats, codes: Integers, volatility: Floats) -> Floats:
        """Returns in units, those beyond 5 units cut to 5."""
        return np.clip(labels / self._units(codes, volatility), -_LONGEST_RETURN, _LONGEST_RETURN)

    def back(self, forecasts: Floats, codes: Integers, volatility: Floats, factor: float) -> Floats:
        """Forecast returns; `factor` is not used, the way back is linear."""
        del factor
        return np.asarray(forecasts * self._units(codes, volatility))


def _return_units(labels: Floats, volatility: Floats) -> tuple[float, float, float]:
    mean_square = float(np.mean(labels**2)) if labels.size else 0.0
    fallback = float(np.sqrt(mean_square)) if mean_square > 0.0 else 1.0
    known = np.isfinite(volatility)
    if not known.any() or not (labels[known] != 0.0).any():
        return np.nan, np.nan, fallback
    floor = float(np.quantile(volatility[known], 0.1))
    units = np.fmax(volatility[known], floor)
    return float(np.sqrt(np.mean((labels[known] / units) ** 2))), floor, fallback


@dataclass(frozen=True)
class LogScale:
    """Logarithms of volatility, standardised per symbol; the way back multiplies with a smearing factor.

    exp of a forecast logarithm is a median, not a mean: the factor, mean exp(residual) over rows that did not train
    (Duan 1983), makes it the mean. Volatilities below the smallest positive one of training count as that.
    """

    smallest: Floats
    mean: Floats
    deviation: Floats

    @classmethod
    def fit(cls, labels: Floats, codes: Integers, volatility: Floats, n_symbols: int) -> LogScale:
        """Learn from training labels (n,) without NaN; `volatility` is not used."""
        del volatility
        parts = [_log_moments(labels[codes == code]) for code in range(n_symbols)]
        return cls(*(np.array(part) for part in zip(*parts, strict=True)))

    def forward(self, labels: Floats, codes: Integers, volatility: Floats) -> Floats:
        """Standardised logarithms."""
        del volatility
        return np.asarray((np.log(np.fmax(labels, self.smallest[codes])) - self.mean[codes]) / self.deviation[codes])

    def back(self, forecasts: Floats, codes: Integers, volatility: Floats, factor: float) -> Floats:
        """Forecast volatilities, always positive."""
        del volatility
        return np.asarray(factor * np.exp(forecasts * self.deviation[codes] + self.mean[codes]))

    def smearing_factor(self, residuals: Floats, codes: Integers) -> float:
        """mean exp(e - mean(e)), e the residuals (n,) turned back into logarithms; 1 without rows."""
        if residuals.size == 0:
            return 1.0
        logs = residuals * self.deviation[codes]
        return float(np.mean(np.exp(logs - logs.mean())))


def _log_moments(labels: Floats) -> tuple[float, float, float]:
    positive = labels[labels > 0.0]
    if positive.size == 0:
        return 1.0, 0.0, 1.0
    logs = np.log(np.fmax(labels, positive.min()))
    deviation = float(logs.std())
    return float(positive.min()), float(logs.mean()), deviation if deviation > 0.0 else 1.0

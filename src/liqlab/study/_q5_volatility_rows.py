"""Every minute of every symbol, as question 5 looks at it: volatility to come, and what was known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from liqlab.core.time import MS_PER_DAY, MS_PER_MINUTE, MS_PER_S
from liqlab.stats import rolling_max, rolling_moments, rolling_sum
from liqlab.study._evidence import STEP_MS, STEPS_PER_MINUTE, Evidence, Floats, Integers, SymbolEvidence

HORIZONS_MIN = (5, 15, 60)
MINUTES_PER_HOUR = 60
#: Variance of a minute, in squared bps, below which markets do not differ: 2 % a year.
_FLOOR = 0.1
_BPS = 1e4
#: Seconds between two prices from which variance is summed; they divide a minute.
_SAMPLING_S = (15, 30, 60)
_INTERVALS_PER_SAMPLE = 3
#: Windows of the first columns of `price`.
HAR_MIN = (1, 5, 15, 60, 360, 1_440)
#: The window of 15 min among them.
_RECENT = 2
_SHAPE_MIN = (15, 60)
_RATE_MIN = (5, 15, 60)
_ATR_MIN, _BOLLINGER_MIN = 14, 20
_HARMONICS = 3
#: A trailing window needs half of its minutes, at most half an hour of them.
_LEAST_PRESENT_MIN = 30
_LEAST_PRESENT_FRAC = 0.5
#: Variance ahead needs this share of its returns.
_LEAST_AHEAD_FRAC = 0.8


@dataclass(frozen=True)
class VolatilityRows:
    """Minutes (m,) of S symbols, all at the same times; arrays start with the shape (S, m), NaN where not known.

    `target` (S, m, 3) is the log of the variance per minute, in squared bps, over the next 5, 15 and 60 min, from the
    first price at or after the minute on. Known at the minute: `price` (S, m, k) what past prices tell, of which
    `atr` and `width` (Bollinger) are parts (S, m, 1); `rates` (S, m, l) what past liquidations tell; `state` (S, m, 4)
    how far the last hour's volatility is from where the regime changes, and what comes into that hour and leaves it;
    `level`, the log variance per minute from which the regime is volatile; `regime`; `events_per_min` over 5 min.
    """

    symbols: tuple[str, ...]
    times_ms: Integers
    target: Floats
    price: Floats
    rates: Floats
    atr: Floats
    width: Floats
    state: Floats
    level: Floats
    events_per_min: Floats
    regime: npt.NDArray[np.int8]

    @property
    def day(self) -> Integers:
        """The calendar day in which each minute was known, (m,); midnight belongs to the day that it ends."""
        days: Integers = (self.times_ms - 1) // MS_PER_DAY
        return days


def list_volatility(evidence: Evidence, symbols: Sequence[str]) -> VolatilityRows:
    """Rows of these symbols; variance is summed over steps of at least three intervals of the slowest ticker."""
    own = [evidence.symbols[name] for name in symbols]
    slowest_s = max((one.ticker_interval_s for one in own), default=0.0)
    usable = [step for step in _SAMPLING_S if step >= _INTERVALS_PER_SAMPLE * slowest_s]
    step_s = usable[0] if usable else _SAMPLING_S[-1]
    parts = [_list_symbol(one, step_s) for one in own]
    minutes = _Minutes.of(own[0]).ends_ms if own else np.empty(0, np.int64)
    stacked: dict[str, Any] = {name: np.stack([part[name] for part in parts]) for name in (parts[0] if parts else {})}
    return VolatilityRows(tuple(symbols), minutes, **stacked)


@dataclass(frozen=True)
class _Minutes:
    """The whole minutes of a grid: rows `first` to `last` (not included), `ends_ms` (m,)."""

    first: int
    last: int
    ends_ms: Integers

    @classmethod
    def of(cls, symbol: SymbolEvidence) -> _Minutes:
        times = symbol.times_ms
        lead = int((-(times[0] - STEP_MS) % MS_PER_MINUTE) // STEP_MS) if len(times) else 0
        count = max(len(times) - lead, 0) // STEPS_PER_MINUTE
        last = lead + count * STEPS_PER_MINUTE
        return cls(lead, last, times[lead + STEPS_PER_MINUTE - 1 : last : STEPS_PER_MINUTE])

    def fold(self, values: Floats) -> Floats:
        """The grid's values by minute, (m, 12)."""
        return values[self.first : self.last].reshape(-1, STEPS_PER_MINUTE)


@dataclass(frozen=True)
class _Returns:
    """By minute (m,): sums of squared returns, of those below zero, of products of neighbours, and how many."""

    squares: Floats
    downward: Floats
    bipower: Floats
    count: Floats

    @classmethod
    def of(cls, returns: Floats, per_minute: int) -> _Returns:
        """From returns in bps (m x per_minute,), in order."""
        known = np.isfinite(returns)
        filled = np.where(known, returns, 0.0)
        products = np.zeros(filled.shape)
        products[1:] = np.abs(filled[1:] * filled[:-1]) * (np.pi / 2.0)
        parts = (filled**2, np.where(filled < 0.0, filled**2, 0.0), products, known.astype(np.float64))
        return cls(*(part.reshape(-1, per_minute).sum(axis=1) for part in parts))


def _list_symbol(symbol: SymbolEvidence, step_s: int) -> dict[str, npt.NDArray[Any]]:
    minutes = _Minutes.of(symbol)
    ends, per_minute = minutes.ends_ms, 60 // step_s
    at = slice(minutes.first + STEPS_PER_MINUTE - 1, minutes.last, STEPS_PER_MINUTE)
    steps = step_s * MS_PER_S // STEP_MS
    known = minutes.fold(symbol.price)[:, steps - 1 :: steps].ravel()
    past = _Returns.of(_returns_bps(known), per_minute)
    atr, width = _trailing_ranges(minutes, symbol)
    rates, events = _liquidation_rates(minutes, symbol)
    har = _har(past)
    level = _log(symbol.grid["threshold_bps"][at] ** 2 / MINUTES_PER_HOUR)
    return {
        "target": _look_ahead(symbol, ends, step_s),
        "price": np.column_stack([har, _shape(past), _ranges(minutes, symbol), atr, width, _hours(ends)]),
        "rates": rates,
        "atr": atr[:, None],
        "width": width[:, None],
        "state": _state(_log(symbol.volatility_bps[at] ** 2 / MINUTES_PER_HOUR) - level, har[:, _RECENT]),
        "level": level,
        "events_per_min": events,
        "regime": symbol.regime[at],
    }


def _state(distance: Floats, recent: Floats) -> Floats:
    """Distance from the level of the regime, what replaces what in the hour, and their products (m, 4)."""
    leaving = np.full(recent.shape, np.nan)
    shift = MINUTES_PER_HOUR - HAR_MIN[_RECENT]
    leaving[shift:] = recent[:-shift]
    turnover = recent - leaving
    return np.column_stack([distance, distance**2, turnover, turnover * distance])


def _returns_bps(prices: Floats) -> Floats:
    """Log returns in bps between neighbours; the first has none."""
    returns = np.full(prices.shape, np.nan)
    returns[1:] = _BPS * np.diff(np.log(np.where(prices > 0.0, prices, np.nan)))
    return returns


def _look_ahead(symbol: SymbolEvidence, ends_ms: Integers, step_s: int) -> Floats:
    """Log variance per minute after each minute, (m, 3): from the first prices at or after each step."""
    per_minute = 60 // step_s
    moments = (ends_ms[:, None] + step_s * MS_PER_S * np.arange(per_minute)).ravel()
    ahead = np.full(moments.size + 1, np.nan)
    ahead[:-1] = symbol.prices.first_from(moments, symbol.tolerance_ms)
    if moments.size:
        ahead[-1:] = symbol.prices.first_from(moments[-1:] + step_s * MS_PER_S, symbol.tolerance_ms)
    found = _Returns.of(_returns_bps(ahead)[1:], per_minute)
    target = np.full((ends_ms.size, len(HORIZONS_MIN)), np.nan)
    for column, horizon in enumerate(HORIZONS_MIN):
        # What ends at minute i + horizon - 1 of this series is what comes within the horizon after minute i.
        mean, share = _trailing_mean(found, found.squares, horizon, per_minute)
        mean = np.where(share >= _LEAST_AHEAD_FRAC, mean, np.nan)[horizon - 1 :]
        target[: mean.size, column] = _log(mean)
    return target


def _trailing_mean(past: _Returns, values: Floats, window: int, per_minute: int) -> tuple[Floats, Floats]:
    """Mean per minute of the values over a window, and the share of the window's returns that are there."""
    count = rolling_sum(past.count, window) / per_minute
    total = rolling_sum(values, window)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0.0)
    return mean, count / window


def _log(variance: Floats) -> Floats:
    return np.log(np.maximum(variance, _FLOOR))


def _har(past: _Returns) -> Floats:
    """Logs of the mean variance over 1 min to a day."""
    per_minute = int(past.count.max(initial=1.0))
    columns = []
    for window in HAR_MIN:
        mean, share = _trailing_mean(past, past.squares, window, per_minute)
        enough = share * window >= min(_LEAST_PRESENT_FRAC * window, _LEAST_PRESENT_MIN)
        columns.append(np.where(enough, _log(mean), np.nan))
    return np.column_stack(columns)


def _shape(past: _Returns) -> Floats:
    """Over 15 and 60 min: share of downward moves in the variance, and of jumps, 1 - bipower / variance."""
    columns = []
    for window in _SHAPE_MIN:
        total = rolling_sum(past.squares, window)
        for part, start in ((past.downward, 0.5), (past.bipower, 1.0)):
            share = np.divide(rolling_sum(part, window), total, out=np.full(total.shape, start), where=total > 0.0)
            columns.append(share - 0.5 if start == 0.5 else np.clip(1.0 - share, 0.0, 1.0))
    return np.column_stack(columns)


def _extremes(minutes: _Minutes, symbol: SymbolEvidence) -> tuple[Floats, Floats]:
    """Highest and lowest log price of each minute (m,); NaN in one without a price."""
    folded = _BPS * np.log(minutes.fold(symbol.price))
    return np.fmax.reduce(folded, axis=1), np.fmin.reduce(folded, axis=1)


def _ranges(minutes: _Minutes, symbol: SymbolEvidence) -> Floats:
    """Logs of the squared range per minute over 15 and 60 min."""
    high, low = _extremes(minutes, symbol)
    columns = [_log((rolling_max(high, n) + rolling_max(-low, n)) ** 2 / n) for n in _SHAPE_MIN]
    return np.column_stack(columns)


def _trailing_ranges(minutes: _Minutes, symbol: SymbolEvidence) -> tuple[Floats, Floats]:
    """Logs of the average true range over 14 min and of the Bollinger width over 20 min, both as variances."""
    high, low = _extremes(minutes, symbol)
    close = _BPS * np.log(minutes.fold(symbol.price)[:, -1])
    before = np.concatenate([[np.nan], close[:-1]])
    true_range = np.fmax(high, before) - np.fmin(low, before)
    atr = rolling_moments(true_range, _ATR_MIN).mean
    width = 4.0 * rolling_moments(close, _BOLLINGER_MIN).std
    return _log(atr**2), _log(width**2)


def _liquidation_rates(minutes: _Minutes, symbol: SymbolEvidence) -> tuple[Floats, Floats]:
    """Logs of events and thousands of USD per minute over 5, 15 and 60 min and their change; events over 5 min."""
    grid = symbol.grid
    listened = minutes.fold(symbol.covered.astype(np.float64)).min(axis=1, initial=1.0)
    columns = []
    for names, unit in (
        (("liq_buy_count", "liq_sell_count"), 1.0),
        (("liq_buy_notional", "liq_sell_notional"), 1e3),
    ):
        amount = minutes.fold(np.nan_to_num(grid[names[0]]) + np.nan_to_num(grid[names[1]])).sum(axis=1) / unit
        rates = {
            n: np.where(rolling_sum(listened, n) >= min(n, _LEAST_PRESENT_MIN), rolling_sum(amount, n) / n, np.nan)
            for n in _RATE_MIN
        }
        columns += [np.log1p(rate) for rate in rates.values()]
        before = np.concatenate([np.full(min(_RATE_MIN[0], amount.size), np.nan), columns[-3][: -_RATE_MIN[0]]])
        columns.append(columns[-3] - before)
        if unit == 1.0:
            events = rates[_RATE_MIN[0]]
    return np.column_stack(columns), events


def _hours(times_ms: Integers) -> Floats:
    """Sines and cosines of the hour of the day."""
    angle = 2.0 * np.pi * (times_ms % MS_PER_DAY)[:, None] / MS_PER_DAY * np.arange(1, _HARMONICS + 1)
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)

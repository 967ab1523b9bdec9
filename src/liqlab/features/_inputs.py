"""What features compute from: one symbol, one stretch of the 5 s grid, as arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt

from liqlab.features._config import ROWS_PER_MINUTE, STEP_S
from liqlab.features._market import Market
from liqlab.stats import RollingMoments, rolling_correlation, rolling_max, rolling_moments, rolling_sum

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: Columns that the stretch is made of; NaN where null, where not usable and where the recorder did not listen.
BAR_COLUMNS = ("liq_volume_1s", "liq_count", "liq_volume", "liq_buy_volume", "liq_sell_volume", "liq_notional")
POSITIVE_COLUMNS = ("mark_price", "last_price", "index_price", "open_interest", "ratio")
FINITE_COLUMNS = (*BAR_COLUMNS, "funding_rate")
COLUMNS = (*FINITE_COLUMNS, *POSITIVE_COLUMNS)


def rows_of(seconds: float) -> int:
    """Rows of the 5 s grid that a stretch of so many seconds touches, at least 1.

    >>> rows_of(300), rows_of(1)
    (60, 1)
    """
    return max(1, math.ceil(seconds / STEP_S))


def shift(values: Floats, rows: int) -> Floats:
    """For each row the value so many rows before, NaN where there is none; shape (n,)."""
    shifted = np.full(len(values), np.nan)
    if rows < len(values):
        shifted[rows:] = values[: len(values) - rows]
    return shifted


def divide(numerator: Floats, denominator: Floats) -> Floats:
    """The quotient; NaN where the denominator is not positive."""
    quotient = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient


class FeatureInputs:
    """One symbol's stretch of consecutive grid times; all arrays have shape (n,).

    `columns` are those of `COLUMNS`. Intermediates that several features share are computed once, when first asked
    for. Statistics are those of `liqlab.stats`, whose blocks begin with the stretch: stretches that begin on a whole
    hour give the same bits for the same time, wherever they begin and end.
    """

    def __init__(
        self,
        times_ms: Integers,
        covered: Mask,
        columns: Mapping[str, Floats],
        market: Market,
        min_covered_frac: float = 0.8,
    ) -> None:
        self.times_ms = times_ms
        self.covered = covered
        self.market = market
        self.min_covered_frac = min_covered_frac
        self._columns = columns
        self._sums: dict[tuple[str, int], Floats] = {}
        self._moments: dict[tuple[str, int], RollingMoments] = {}

    def __getitem__(self, name: str) -> Floats:
        """A column of the dataset."""
        return self._columns[name]

    def need(self, size: int) -> int:
        """How many of `size` values must be there."""
        return math.ceil(self.min_covered_frac * size - 1e-9)

    def is_ready(self, lookback_s: int) -> Mask:
        """Where the recorder listens and did so for enough of the lookback."""
        rows = rows_of(lookback_s)
        ready: Mask = self.covered & (rolling_sum(self.covered, rows) >= self.need(rows))
        return ready

    def sum_of(self, name: str, rows: int) -> Floats:
        """Sum of a column over the last `rows` covered bars; NaN where none is."""
        key = name, rows
        if key not in self._sums:
            self._sums[key] = rolling_sum(self[name], rows)
        return self._sums[key]

    def moments_of(self, name: str, rows: int) -> RollingMoments:
        """Count, mean and standard deviation of a series (a column, `imbalance`, `rate`, ...) over the last rows."""
        key = name, rows
        if key not in self._moments:
            self._moments[key] = rolling_moments(self._series(name), rows)
        return self._moments[key]

    def max_of(self, name: str, rows: int) -> Floats:
        """Largest value of a column over the last rows."""
        return rolling_max(self[name], rows)

    def _series(self, name: str) -> Floats:
        series: Floats = self[name] if name in self._columns else getattr(self, name)
        return series

    @cached_property
    def price(self) -> Floats:
        """Mark price, else last price, USD."""
        return np.where(np.isnan(self["mark_price"]), self["last_price"], self["mark_price"])

    @cached_property
    def log_price(self) -> Floats:
        """Natural logarithm of the price."""
        return np.log(self.price)

    @cached_property
    def squared_minute_return(self) -> Floats:
        """Squared log return over the last minute."""
        change = self.log_price - shift(self.log_price, ROWS_PER_MINUTE)
        return change * change

    @cached_property
    def minute_range(self) -> Floats:
        """Highest less lowest price of the last minute, its first price included; USD."""
        rows = ROWS_PER_MINUTE + 1
        spread = rolling_max(self.price, rows) + rolling_max(-self.price, rows)
        present = rolling_sum(~np.isnan(self.price), rows)
        return np.where(present >= self.need(rows), spread, np.nan)

    @cached_property
    def imbalance(self) -> Floats:
        """(sell - buy) / (sell + buy) volume of the bar; NaN in an empty one."""
        sell, buy = self["liq_sell_volume"], self["liq_buy_volume"]
        return divide(sell - buy, sell + buy)

    @cached_property
    def rate(self) -> Floats:
        """Liquidations per covered minute over the last minute."""
        events = self.sum_of("liq_count", ROWS_PER_MINUTE)
        covered = rolling_sum(self.covered, ROWS_PER_MINUTE)
        rate = divide(events * ROWS_PER_MINUTE, covered)
        return np.where(self.is_ready(ROWS_PER_MINUTE * STEP_S), rate, np.nan)

    @cached_property
    def cascade_volume(self) -> Floats:
        """Volume so far of the cascade that goes on, 0.0 without one; base units."""
        return self.market.cascades.volume_at(self.times_ms)

    @cached_property
    def lead_volume(self) -> Floats:
        """Volume of BTC's bar, base units."""
        if self.market.lead is None:
            return np.full(len(self.times_ms), np.nan)
        return self.market.lead.volume_at(self.times_ms)

    def mean_correlation(self, name: str, rows: int) -> Floats:
        """Mean over the other symbols of the correlation of their notional with a column; NaN where none varies."""
        total, count = np.zeros(len(self.times_ms)), np.zeros(len(self.times_ms))
        for flow in self.market.others:
            correlation = rolling_correlation(self[name], flow.notional_at(self.times_ms), rows)
            is_there = ~np.isnan(correlation)
            total[is_there] += correlation[is_there]
            count += is_there
        return divide(total, count)

    def minute_values(self, values: Floats, minutes: int) -> Floats:
        """Values now, a minute ago, ... as (minutes, n): NaN before the stretch."""
        return np.stack([shift(values, minute * ROWS_PER_MINUTE) for minute in range(minutes)])

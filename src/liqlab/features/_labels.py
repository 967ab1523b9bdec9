"""What came after: forward returns and forward volatility. The only module that looks ahead."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.schema import LABEL_HORIZONS_S, LABELS, SYMBOL, TIME, VOLATILITY_HORIZONS_S
from liqlab.core.time import MS_PER_S
from liqlab.features._config import (
    ROWS_PER_MINUTE,
    STEP_MS,
    STEP_S,
    FeatureConfig,
    describe_coarseness,
    is_coarser,
)
from liqlab.features._notes import ColumnNote, Tally
from liqlab.panel import Intervals, PanelDay, PriceSeries, Scope, mark_covered, select_intervals

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_LEAST_TOLERANCE_MS = 15_000
_LONGEST_S = max(*LABEL_HORIZONS_S, *VOLATILITY_HORIZONS_S)
_MINUTE_S = 60
_ROUNDING = 1e-9
_NEVER = "no value: no price in time, or the recorder did not listen"


class LabelWalk:
    """The labels of one symbol, `core.schema.LABELS`; feed it the days of `walk_days` in order, then `finish`.

    With P(s) the first ticker price (mark, else last) known at or after s, within `label_tolerance_intervals` typical
    ticker intervals (at least 15 s), and u = t + decision delay:

    - return over h = P(u + h) / P(u) - 1;
    - volatility over h = root of the sum over k of log(P(u + k min) / P(u + (k - 1) min))^2, k = 1..h / 1 min; where at
      least `min_covered_frac` of the terms are there, the sum is scaled up for the others.

    Null where a price is missing, where one and the same row would answer for both ends, where the recorder did not
    listen at u or at u + h, or listened for less than `min_covered_frac` of the time between. A return over less than
    the ticker interval, and volatility with a ticker coarser than a minute, are null throughout.
    """

    def __init__(self, symbol: str, scope: Scope, config: FeatureConfig | None = None) -> None:
        self.symbol = symbol
        self.config = config or FeatureConfig()
        self._delay_ms = round(self.config.decision_delay_s * MS_PER_S)
        self._intervals = select_intervals(scope.coverage, symbol)
        interval_ms = scope.ticker_interval_ms.get(symbol)
        self._tolerance_ms = max(_LEAST_TOLERANCE_MS, self.config.label_tolerance_intervals * (interval_ms or 0))
        self._missing = dict(_list_missing(interval_ms))
        self._until_ms: int | None = None
        self._pending: Integers = np.empty(0, np.int64)
        self._prices = PriceSeries(np.empty(0, np.int64), np.empty(0))
        self._tallies = {name: Tally() for name in LABELS.names[2:]}

    def add(self, day: PanelDay) -> pl.DataFrame:
        """The rows of `LABELS` that no later price can change any more; every grid time comes exactly once."""
        if day.symbol != self.symbol:
            raise ValueError(f"these labels are of {self.symbol}, the day is of {day.symbol}")
        times = np.arange(day.start_ms + STEP_MS, day.end_ms + 1, STEP_MS, dtype=np.int64)
        if self._until_ms is not None and day.start_ms < self._until_ms:
            raise ValueError(f"days must come in order: {day.start_ms} lies before {self._until_ms}")
        self._until_ms = day.end_ms
        self._pending = np.concatenate([self._pending, times])
        new = PriceSeries.from_ticker(day.ticker)
        self._prices = PriceSeries(
            np.concatenate([self._prices.known_ms, new.known_ms]), np.concatenate([self._prices.price, new.price])
        )
        reach_ms = self._delay_ms + _LONGEST_S * MS_PER_S + self._tolerance_ms
        return self._release(int(np.searchsorted(self._pending + reach_ms, day.end_ms, side="left")))

    def finish(self) -> pl.DataFrame:
        """The rest, from what there is."""
        return self._release(len(self._pending))

    @property
    def notes(self) -> tuple[ColumnNote, ...]:
        """What there is to say of each label over the rows given so far."""
        return tuple(
            tally.describe(self.symbol, name, self._missing.get(name, _NEVER), [])
            for name, tally in self._tallies.items()
        )

    def _release(self, count: int) -> pl.DataFrame:
        times, self._pending = self._pending[:count], self._pending[count:]
        if not count:
            return LABELS.empty()
        least_frac = self.config.min_covered_frac
        path = _Path(times + self._delay_ms, self._prices, self._tolerance_ms, self._intervals, least_frac)
        series = [
            pl.repeat(self.symbol, count, dtype=SYMBOL, eager=True).alias("symbol"),
            pl.Series("time", times).cast(TIME),
        ]
        for name, tally in self._tallies.items():
            values = np.full(count, np.nan) if name in self._missing else path.compute(name)
            series.append(pl.Series(name, tally.add(times, values), nan_to_null=True))
        self._forget(int(times[-1]) + STEP_MS + self._delay_ms)
        return pl.DataFrame(series)

    def _forget(self, before_ms: int) -> None:
        keep = int(np.searchsorted(self._prices.known_ms, before_ms, side="left"))
        self._prices = PriceSeries(self._prices.known_ms[keep:].copy(), self._prices.price[keep:].copy())


class _Path:
    """Prices and coverage on the 5 s grid, row 0 being the first of the moments u; n of them are asked for.

    `rows` says which ticker row answers for each grid time.
    """

    def __init__(
        self, moments_ms: Integers, prices: PriceSeries, tolerance_ms: int, intervals: Intervals, least_frac: float
    ) -> None:
        until_ms = int(moments_ms[-1]) + _LONGEST_S * MS_PER_S
        grid: Integers = np.arange(moments_ms[0], until_ms + 1, STEP_MS, dtype=np.int64)
        self._at = (moments_ms - moments_ms[0]) // STEP_MS
        self._price = prices.first_from(grid, tolerance_ms)
        self._row = np.searchsorted(prices.known_ms, grid, side="left")
        self._covered = mark_covered(grid, intervals)
        self._covered_before = np.concatenate([[0], np.cumsum(self._covered)])
        self._least_frac = least_frac

    def compute(self, name: str) -> Floats:
        """A column of `LABELS`, shape (n,), NaN where there is no value."""
        kind, horizon = name.removesuffix("s").split("_")
        rows = int(horizon) // STEP_S
        values = self._returns(rows) if kind == "return" else self._volatility(rows)
        return np.where(self._is_covered(rows), values, np.nan)

    def _returns(self, rows: int) -> Floats:
        ratio: Floats = self._price[self._at + rows] / self._price[self._at] - 1.0
        return np.where(self._row[self._at + rows] > self._row[self._at], ratio, np.nan)

    def _volatility(self, rows: int) -> Floats:
        minutes = rows // ROWS_PER_MINUTE
        total, count = np.zeros(len(self._at)), np.zeros(len(self._at))
        for minute in range(minutes):
            square = self._squared_minute_return[self._at + minute * ROWS_PER_MINUTE]
            is_there = ~np.isnan(square)
            total += np.where(is_there, square, 0.0)
            count += is_there
        enough = count >= self._least_frac * minutes - _ROUNDING
        scale = np.divide(minutes, count, out=np.full(len(count), np.nan), where=enough)
        volatility: Floats = np.sqrt(total * scale)
        return volatility

    @cached_property
    def _squared_minute_return(self) -> Floats:
        log_price = np.log(self._price)
        change = log_price[ROWS_PER_MINUTE:] - log_price[:-ROWS_PER_MINUTE]
        return np.where(self._row[ROWS_PER_MINUTE:] > self._row[:-ROWS_PER_MINUTE], change * change, np.nan)

    def _is_covered(self, rows: int) -> npt.NDArray[np.bool_]:
        first, last = self._at, self._at + rows
        between = self._covered_before[last + 1] - self._covered_before[first + 1]
        enough = between >= self._least_frac * rows - _ROUNDING
        covered: npt.NDArray[np.bool_] = enough & self._covered[first] & self._covered[last]
        return covered


def _list_missing(interval_ms: int | None) -> Iterator[tuple[str, str]]:
    """Columns that such a ticker cannot give, and why."""
    steps = {f"return_{horizon}s": horizon for horizon in LABEL_HORIZONS_S}
    steps |= {f"volatility_{horizon}s": _MINUTE_S for horizon in VOLATILITY_HORIZONS_S}
    for name, step_s in steps.items():
        if interval_ms is None:
            yield name, "no ticker prices"
        elif is_coarser(interval_ms, step_s):
            yield name, describe_coarseness(interval_ms, step_s)

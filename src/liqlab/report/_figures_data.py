"""What the figures compute before they draw: bins of time, gaps of the coverage, the price line."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liqlab.core.schema import BAR_WIDTHS_MS
from liqlab.core.time import MS_PER_DAY, MS_PER_MINUTE, MS_PER_S
from liqlab.panel import list_gaps, measure_ticker_interval_ms, select_intervals

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

#: What the panel of all symbols together is called.
ALL_SYMBOLS = "All symbols"

_BIN_LADDER_MS = (
    *(seconds * MS_PER_S for seconds in (1, 2, 5, 10, 15, 30)),
    *(minutes * MS_PER_MINUTE for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720)),
    *(days * MS_PER_DAY for days in (1, 2, 5, 10, 30, 90, 365)),
)

#: A silence of the ticker longer than this many of its intervals, and than a minute, is a gap in the price.
_GAP_INTERVALS = 3
_GAP_MINIMUM_MS = MS_PER_MINUTE

#: Width of a panel in a saved picture.
_PIXELS = 1_500


class PriceLine(NamedTuple):
    """A price over time in milliseconds, ready to draw: a NaN stands in each gap.

    `interval_ms` is the ticker's typical interval, None with fewer than two observations.
    """

    times_ms: Integers
    prices: Floats
    interval_ms: int | None


def to_ms(times: pl.Series) -> Integers:
    """A column of times as milliseconds UTC, shape (rows,)."""
    return times.dt.epoch("ms").to_numpy().astype(np.int64)


def choose_bin_ms(span_ms: float, most_bins: int, smallest_ms: int = MS_PER_S) -> int:
    """The finest round width, a multiple of `smallest_ms`, that cuts `span_ms` into at most `most_bins` bins."""
    for width in _BIN_LADDER_MS:
        if width % smallest_ms == 0 and span_ms <= width * most_bins:
            return width
    return _BIN_LADDER_MS[-1]


def bar_width_ms(width: str) -> int:
    """The length of a bar named as in `BAR_WIDTHS_MS`; `ValueError` for any other name."""
    if width not in BAR_WIDTHS_MS:
        raise ValueError(f"no bars of width {width!r}; available: {', '.join(BAR_WIDTHS_MS)}")
    return BAR_WIDTHS_MS[width]


def rank_symbols(frame: pl.DataFrame, notional: str) -> list[str]:
    """Symbols by falling sum of the column `notional`, ties by name."""
    totals = frame.group_by("symbol").agg(pl.col(notional).sum())
    return totals.sort(notional, "symbol", descending=[True, False])["symbol"].to_list()


def find_uncovered(coverage: pl.DataFrame, symbol: str, low_ms: int, high_ms: int) -> list[tuple[int, int]]:
    """The stretches of [low_ms, high_ms] in which no recorder of the symbol's liquidations listened.

    Those too short to be seen, under 1/1,500 of the span, are left out. None when the table of coverage is empty: then
    it is unknown, which is not the same as uncovered.
    """
    intervals = select_intervals(coverage, symbol)
    if not len(intervals):
        return []
    return [gap for gap in list_gaps(intervals, low_ms, high_ms) if (gap[1] - gap[0]) * _PIXELS >= high_ms - low_ms]


def price_line(ticker: pl.DataFrame, symbol: str, low_ms: float, high_ms: float, bins: int = 800) -> PriceLine:
    """The ticker price (mark, else last) of `symbol` by event time in [low_ms, high_ms], the last one in each bin.

    `bins` of equal length cut the span. Observations without a price are left out. Where none came for longer than
    three typical intervals, and a minute, a NaN keeps the line from crossing the gap.
    """
    own = ticker.filter(pl.col("symbol") == symbol)
    interval_ms = measure_ticker_interval_ms(own)
    observed = (
        own.select(time=pl.col("event_time").dt.epoch("ms"), price=pl.coalesce("mark_price", "last_price"))
        .filter(pl.col("price").is_finite() & pl.col("time").is_between(low_ms, high_ms))
        .sort("time", maintain_order=True)
    )
    gap_ms = max(_GAP_MINIMUM_MS, _GAP_INTERVALS * (interval_ms or 0))
    times, prices = observed["time"].to_numpy().astype(np.int64), observed["price"].to_numpy()
    return PriceLine(*_thin(times, prices, (high_ms - low_ms) / bins, gap_ms), interval_ms)


def _thin(times: Integers, prices: Floats, bin_ms: float, gap_ms: float) -> tuple[Integers, Floats]:
    """The first observation, the last of each bin, and a NaN where `times` leap by more than `gap_ms`."""
    if len(times) == 0:
        return times, prices
    leaps = np.diff(times) > gap_ms
    next_bin = np.diff(np.floor(times / max(bin_ms, 1.0))) > 0
    kept = np.concatenate((leaps | next_bin, [True]))
    kept[0] = True
    leapt = np.concatenate((leaps, [False]))[kept]
    places = np.flatnonzero(leapt) + 1
    return np.insert(times[kept], places, times[kept][leapt] + 1), np.insert(prices[kept], places, np.nan)
